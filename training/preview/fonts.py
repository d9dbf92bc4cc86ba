"""Fonts: which of them has a character, and in which form it is asked for it.

Those in fonts/ cover Latin, Greek, Cyrillic, Hebrew, Arabic, Devanagari, Thai, the common characters of Japanese,
Korean and Chinese, mathematical letters, symbols and emoji. What they lack is looked for in the fonts that the caller
names (`system_fonts` lists what is installed); what nobody has is drawn as a small box.
"""

import bisect
import functools
import mmap
import os
import struct
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import regex
from PIL import ImageFont, features

FOLDER = Path(__file__).with_name("fonts")
SUFFIXES = (".ttf", ".otf", ".ttc")
INVISIBLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}]")
EMOJI = regex.compile(r"\p{Emoji_Presentation}|\ufe0f|\u20e3")
TONES = regex.compile(r"\p{Emoji_Modifier}")
KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
STYLED = regex.compile("Bold|Italic|Oblique|Black|Light|Thin|Medium|Condensed|Mono|Serif|Math")
FIRST_EMOJI = 0xF0000  # the font has each emoji of several characters as one of its own, in the order of emoji.txt
NOWHERE = "□"


@dataclass(frozen=True)
class Face:
    """One face of a font file. `bold`: it is; else a bold text is drawn with a thicker line."""

    path: str
    number: int = 0
    bold: bool = False


@dataclass(frozen=True)
class Piece:
    """What is drawn at once, and never parted: a character with its marks, or an emoji."""

    text: str
    face: Face
    cluster: str


EMOJI_FACE = Face(f"{FOLDER}/Twemoji.ttf")


def shaping() -> bool:
    """Whether Pillow has what joins Arabic and builds Devanagari: libraqm, which needs FriBiDi from the system."""
    return bool(features.check_feature("raqm"))


@functools.lru_cache(maxsize=128)
def opened(face: Face, size: int) -> ImageFont.FreeTypeFont:
    layout = ImageFont.Layout.RAQM if shaping() else ImageFont.Layout.BASIC
    return ImageFont.truetype(face.path, size, index=face.number, layout_engine=layout)


def covers(face: Face, characters: str) -> bool:
    """Whether the font has a glyph for each of them; it has none where it cannot be read."""
    starts, ends = ranges(face)
    for character in characters:
        at = bisect.bisect_right(starts, ord(character)) - 1
        if at < 0 or ord(character) > ends[at]:
            return False
    return True


@functools.cache
def ranges(face: Face) -> tuple[list[int], list[int]]:
    """The first and the last of each run of characters that a font has."""
    try:
        with open(face.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as font:
            found = sorted(mapping(font, face.number))
        opened(face, 20)
    except (OSError, ValueError, IndexError, struct.error):
        found = []
    starts: list[int] = []
    ends: list[int] = []
    for first, last in found:
        if ends and first <= ends[-1] + 1:
            ends[-1] = max(ends[-1], last)
        else:
            starts.append(first)
            ends.append(last)
    return starts, ends


def mapping(font: mmap.mmap, number: int) -> Iterator[tuple[int, int]]:
    """Read the `cmap` of an OpenType font (formats 4 and 12), which Pillow does not tell of."""
    start = struct.unpack_from(">I", font, 12 + 4 * number)[0] if font[:4] == b"ttcf" else 0
    tables = struct.unpack_from(">H", font, start + 4)[0]
    records = (struct.unpack_from(">4sIII", font, start + 12 + 16 * at) for at in range(tables))
    cmap = next((offset for tag, _, offset, _ in records if tag == b"cmap"), None)
    if cmap is None:
        return
    for at in range(struct.unpack_from(">H", font, cmap + 2)[0]):
        table = cmap + struct.unpack_from(">HHI", font, cmap + 4 + 8 * at)[2]
        form = struct.unpack_from(">H", font, table)[0]
        if form == 12:
            for group in range(struct.unpack_from(">I", font, table + 12)[0]):
                yield struct.unpack_from(">II", font, table + 16 + 12 * group)
        elif form == 4:
            count = struct.unpack_from(">H", font, table + 6)[0] // 2
            ends = struct.unpack_from(f">{count}H", font, table + 14)
            starts = struct.unpack_from(f">{count}H", font, table + 16 + 2 * count)
            yield from ((first, last) for first, last in zip(starts, ends, strict=True) if first != 0xFFFF)


def system_fonts() -> tuple[Path, ...]:
    """The font files in the usual folders of this system, Noto's before others, for `draw(fonts=...)`."""
    home = Path.home()
    folders = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".fonts", home / ".local/share/fonts",
               Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]  # fmt: skip
    found = [
        Path(folder) / name
        for top in folders
        for folder, _, names in os.walk(top)
        for name in names
        if name.lower().endswith(SUFFIXES) and "color" not in name.lower()
    ]
    return tuple(sorted(found, key=lambda path: ("Noto" not in path.name, len(STYLED.findall(path.name)), str(path))))


@functools.cache
def shipped(bold: bool, japanese: bool) -> tuple[Face, ...]:
    weight = "Bold" if bold else "Regular"
    east = ["jp", "kr", "sc"] if japanese else ["sc", "jp", "kr"]
    return (
        *(Face(f"{FOLDER}/NotoSans{script}-{weight}.ttf", bold=bold)
          for script in ("", "Hebrew", "Arabic", "Devanagari", "Thai")),
        Face(f"{FOLDER}/NotoSansArabic-Regular.ttf"),  # has one sign that the bold one has not
        *(Face(f"{FOLDER}/NotoSansCJK{country}-Regular.otf") for country in east),
        *(Face(f"{FOLDER}/NotoSans{name}-Regular.ttf") for name in ("Math", "Symbols2")),
    )  # fmt: skip


@functools.cache
def emoji() -> dict[str, str]:
    """sequence without U+FE0F: the character that the emoji font has for it."""
    lines = (FOLDER / "emoji.txt").read_text("utf-8").split("\n")
    return {sequence: chr(FIRST_EMOJI + at) for at, sequence in enumerate(lines) if sequence}


def pieces(cluster: str, faces: Sequence[Face]) -> list[Piece]:
    """What is drawn for a cluster: one piece, or several where no font knows it as one."""
    plain = cluster.replace("\ufe0f", "")
    visible = INVISIBLE.sub("", plain)
    if not visible:
        return []
    if EMOJI.search(cluster) or plain in emoji():
        for known in (plain, TONES.sub("", plain)):
            if known in emoji():
                return [Piece(emoji()[known], EMOJI_FACE, cluster)]
            if len(known) == 1 and not INVISIBLE.match(known) and covers(EMOJI_FACE, known):
                return [Piece(known, EMOJI_FACE, cluster)]
        if "\u200d" in plain:  # a family that the font does not know is drawn one after another
            return [piece for part in plain.split("\u200d") if part for piece in pieces(part, faces)]
    for form in (plain, unicodedata.normalize("NFC", INVISIBLE.sub("", unicodedata.normalize("NFKC", plain)))):
        for face in faces:
            if covers(face, INVISIBLE.sub("", form)):
                return [Piece(form, face, cluster)]
    if len(visible) > 1:  # no font has the letter with all its marks
        return pieces(visible[0], faces)
    if covers(EMOJI_FACE, visible):
        return [Piece(visible, EMOJI_FACE, cluster)]
    return [Piece(NOWHERE, next(face for face in faces if covers(face, NOWHERE)), cluster)]
