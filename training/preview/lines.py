"""Lines: text of any script, cleaned, broken into lines that fit a width, and drawn."""

import contextlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import regex
from PIL import Image, ImageDraw

from training.preview import bidi
from training.preview.fonts import EMOJI_FACE, INVISIBLE, KANA, Face, Piece, opened, pieces, shaping, shipped
from training.preview.joining import leftmost_first

FINER = 2  # letters are drawn so many times larger, for even spaces between them
LINE = 1.42  # the height of a line for a size of 1; Thai and Arabic need more than Latin
ASCENT = 1.08
MAX_CLUSTERS = 700  # more than the picture can hold at its smallest size
MAX_SHARE = 24  # of one of several names or handles
MAX_MARKS = 3  # on one letter, as many as Hebrew needs
ELLIPSIS = "…"
CLUSTER = regex.compile(r"\X")
UNWANTED = regex.compile(r"[\p{Cc}\p{Cf}\p{Cs}\p{Co}--[\n\u200c\u200d\U000e0020-\U000e007f]]", regex.V1)
BREAKS = regex.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
EASTERN = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\u3000-\u303f\uff00-\uffef]")
NOT_FIRST = regex.compile(r"[\p{Pe}\p{Pf}、。，．！？：；ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ…ะาๅๆฯ!?.,:;]")
NOT_LAST = regex.compile(r"[\p{Ps}\p{Pi}เแโใไ]")


Box = tuple[int, int, int, int]
Colour = str | tuple[int, int, int]


@dataclass(frozen=True)
class Glyph:
    """A piece with the direction it is read in."""

    piece: Piece
    level: int


@dataclass(frozen=True)
class Row:
    """A line at its place: the left end of its baseline, in pixels of the picture."""

    x: float
    y: float
    glyphs: Sequence[Glyph]
    size: int


@dataclass(frozen=True)
class Paragraph:
    """A line that is not yet broken. `base` is 1 where it is read from the right."""

    glyphs: tuple[Glyph, ...]
    base: int


def clean(text: str) -> str:
    """Without control and direction characters, or halves of pairs; newlines and joiners stay."""
    text = UNWANTED.sub("", BREAKS.sub("\n", text).replace("\t", " "))
    return unicodedata.normalize("NFC", text)


def one_line(text: str) -> str:
    """Nothing where nothing of it can be seen."""
    line = " ".join(clean(text[: MAX_CLUSTERS * 4]).split())
    return line if INVISIBLE.sub("", line).strip() else ""


def clusters(text: str) -> Iterator[str]:
    for cluster in CLUSTER.findall(text):
        marks = 0
        kept = []
        for letter in cluster:
            marks += unicodedata.category(letter) in ("Mn", "Me") and not "\ufe00" <= letter <= "\ufe0f"
            if marks <= MAX_MARKS or unicodedata.category(letter) not in ("Mn", "Me"):
                kept.append(letter)
        yield "".join(kept)


def paragraph(text: str, *, bold: bool = False, fonts: Sequence[Path] = (), base: int | None = None) -> Paragraph:
    """One line of text, not yet broken. `base`: its direction where its letters shall not decide."""
    faces = (*shipped(bold, KANA.search(text) is not None), *(Face(str(path)) for path in fonts))
    found = [piece for cluster in clusters(text[: MAX_CLUSTERS * 8]) for piece in pieces(cluster, faces)]
    found = found[:MAX_CLUSTERS]
    read = [piece.cluster for piece in found]
    base = bidi.base_level(read) if base is None else base
    return Paragraph(tuple(map(Glyph, found, bidi.levels(read, base))), base)


def joined(texts: Sequence[str], between: str, *, bold: bool = False, fonts: Sequence[Path] = ()) -> tuple[Glyph, ...]:
    """Texts from left to right, each in its own direction; of several none takes more than its part of the room."""
    found: list[Glyph] = []
    for text in texts:
        glyphs = paragraph(text, bold=bold, fonts=fonts).glyphs
        if len(texts) > 1 and len(glyphs) > MAX_SHARE:
            glyphs = (*stripped(glyphs[:MAX_SHARE]), *paragraph(ELLIPSIS, bold=bold, base=glyphs[0].level % 2).glyphs)
        found += (*paragraph(between, bold=bold).glyphs, *glyphs) if found else glyphs
    return tuple(found)


def runs(glyphs: Sequence[Glyph]) -> Iterator[tuple[Face, str, bool]]:
    """(face, text, right to left) from left to right; what one font draws in one direction at a time."""
    order = [glyphs[at] for at in bidi.visual([glyph.level for glyph in glyphs])]
    at = 0
    while at < len(order):
        end = at + 1
        while end < len(order) and (order[end].piece.face, order[end].level) == (order[at].piece.face, order[at].level):
            end += 1
        leftwards = order[at].level % 2 == 1
        texts = [glyph.piece.text for glyph in order[at:end]]
        yield order[at].piece.face, "".join(reversed(texts) if leftwards else texts), leftwards
        at = end


def prepared(text: str, leftwards: bool) -> tuple[str, str | None]:
    """(text, direction) as Pillow takes them."""
    if shaping():
        return text, "rtl" if leftwards else "ltr"
    return leftmost_first(text) if leftwards else text, None


def width(glyphs: Sequence[Glyph], size: int) -> float:
    total = 0.0
    for face, text, leftwards in runs(glyphs):
        drawn, direction = prepared(text, leftwards)
        total += opened(face, size * FINER).getlength(drawn, direction=direction)
    return total / FINER


def blank(glyph: Glyph) -> bool:
    return glyph.piece.cluster.isspace()


def words(glyphs: Sequence[Glyph]) -> Iterator[Sequence[Glyph]]:
    """The parts between which a line may end; Thai, which has no spaces, is parted between any two of its letters."""
    start = 0
    for at in range(1, len(glyphs)):
        before, after = glyphs[at - 1].piece.cluster, glyphs[at].piece.cluster
        eastern = EASTERN.match(before) or EASTERN.match(after)
        parted = eastern and not NOT_FIRST.match(after) and not NOT_LAST.match(before)
        if not blank(glyphs[at]) and (blank(glyphs[at - 1]) or parted):
            yield glyphs[start:at]
            start = at
    if glyphs:
        yield glyphs[start:]


def stripped(glyphs: Sequence[Glyph]) -> Sequence[Glyph]:
    end = len(glyphs)
    while end and blank(glyphs[end - 1]):
        end -= 1
    return glyphs[:end]


def wrap(glyphs: Sequence[Glyph], size: int, room: float, most: int = MAX_CLUSTERS) -> list[Sequence[Glyph]]:
    """The first lines, at least `most` where there are so many, of at most `room` pixels; a long word is broken."""
    lines: list[Sequence[Glyph]] = []
    line: list[Glyph] = []
    used = 0.0
    for word in words(glyphs):
        if len(lines) >= most:
            return lines
        if line and used + width(stripped(word), size) > room:
            lines.append(stripped(line))
            line, used = [], 0.0
        while len(lines) < most and width(stripped(word), size) > room:
            fits = fitting(word, size, room)
            lines.append(word[:fits])
            word = word[fits:]
        line += word
        used += width(word, size)
    return [*lines, stripped(line)] if line else lines


def rest(glyphs: Sequence[Glyph], line: Sequence[Glyph]) -> Sequence[Glyph]:
    """What follows the first line, without the space between."""
    at = len(line)
    while at < len(glyphs) and blank(glyphs[at]):
        at += 1
    return glyphs[at:]


def fitting(glyphs: Sequence[Glyph], size: int, room: float) -> int:
    """How many of the first glyphs fit; at least one."""
    low, high = 1, 1
    while high < len(glyphs) and width(glyphs[:high], size) <= room:
        low, high = high, min(2 * high, len(glyphs))
    while low < high:
        middle = (low + high + 1) // 2
        if width(glyphs[:middle], size) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def shortened(glyphs: Sequence[Glyph], size: int, room: float, *, always: bool = False) -> Sequence[Glyph]:
    """As many of the first glyphs as fit, then an ellipsis; all of them where they fit, unless `always`."""
    if not glyphs or (not always and width(glyphs, size) <= room):
        return glyphs
    face = glyphs[0].piece.face
    dots = paragraph(ELLIPSIS, bold=face.bold, base=0).glyphs[0].piece
    end = Glyph(dots, min(glyph.level for glyph in glyphs))
    kept = stripped(glyphs[: fitting(glyphs, size, room - width([end], size))])
    return [*kept, end]


def write(image: Image.Image, box: Box, rows: Sequence[Row], colour: Colour, *, bold: bool = False) -> None:
    """Draw rows into a box of one ground, which nothing leaves, however high somebody piles their marks."""
    left, top, right, bottom = box
    finer = image.crop(box).resize(((right - left) * FINER, (bottom - top) * FINER), Image.Resampling.NEAREST)
    pen = ImageDraw.Draw(finer)
    for row in rows:
        x, y, size = (row.x - left) * FINER, (row.y - top) * FINER, row.size * FINER
        for face, text, leftwards in runs(row.glyphs):
            drawn, direction = prepared(text, leftwards)
            font = opened(face, size)
            thicker = size / 40 if bold and not face.bold and face != EMOJI_FACE else 0
            # FreeType cannot draw every glyph that a font holds; a gap is better than no picture.
            with contextlib.suppress(OSError):
                pen.text(
                    (x, y), drawn, fill=colour, font=font, anchor="ls", direction=direction, embedded_color=True,
                    stroke_width=thicker,
                )  # fmt: skip
            x += font.getlength(drawn, direction=direction)
    image.paste(finer.reduce(FINER), box)
