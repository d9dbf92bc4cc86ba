"""Draw: the preview picture, 1120 x 586, of a persona, what it was asked to go on from, and what it said."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from training.preview import avatar, lines

WIDTH, HEIGHT = 1120, 586
SHOWN = 3  # people whose avatars are drawn
FINER = avatar.FINER

CARD = (36, 34, 1084, 552)
LEFT, RIGHT = 84, 1036
AVATAR, SMALLER, RING, OVERLAP, TOP = 112, 92, 5, 20, 66  # SMALLER: of several people
PROMPT_TOP, PROMPT_HEIGHT, PROMPT_SIZE = 210, 54, 27
TEXT_BOTTOM, INDENT = 496, 76
FOOT = 530
SIZES = (56, 50, 45, 41, 37, 34, 31, 28, 26, 23, 21)
NAME_SIZES, NAME_HEIGHT, HANDLE_SIZES = (42, 38, 34, 30), 74, (25, 23, 21, 19)
INK, GREY, PALE = "#16202c", "#5b6b7c", "#8795a4"
NOTICE = "Written by a language model with Mockingbird"


@dataclass(frozen=True)
class Person:
    """One who is imitated. `avatar`: an image file (PNG, JPEG, WebP or GIF); initials where it is not readable."""

    handle: str
    name: str = ""
    avatar: bytes | None = None


def draw(people: Sequence[Person], prompt: str, text: str, *, fonts: Sequence[Path] = ()) -> bytes:
    """The picture as a PNG file, the same bytes for the same input, Pillow and fonts.

    `text` is shown as it is given, the prompt not taken off. Both may be in any script: see training/preview/fonts.py
    for which are shipped, and `fonts` for files to look for other characters in. What is too long ends in an ellipsis.
    Without FriBiDi on the system Arabic is joined plainly and Devanagari's signs are not built.
    Raises ValueError for no people.
    """
    file = io.BytesIO()
    paint(people, prompt, text, fonts).save(file, "PNG")
    return file.getvalue()


def paint(people: Sequence[Person], prompt: str, text: str, fonts: Sequence[Path] = ()) -> Image.Image:
    """What `draw` makes a file of."""
    if not people:
        raise ValueError("a preview needs at least one person")
    hues = [avatar.hue(person.handle or person.name) for person in people[:SHOWN]]
    image = ground(hues)
    accent = avatar.tone(hues[0], 0.38, 0.62)
    header(image, people, accent, fonts)
    passage = paragraphs(text, fonts)
    start = lines.paragraph(lines.one_line(prompt), fonts=fonts)
    mirrored = bool(passage and passage[0].base)
    top = PROMPT_TOP
    if start.glyphs:
        below = chip(image, start, hues[0], mirrored)
        top += PROMPT_HEIGHT + 14
    first = body(image, passage, top, INDENT if start.glyphs else 0, mirrored)
    if start.glyphs:
        elbow(image, below, first, hues[0], mirrored)
    write(image, (LEFT, FOOT - 20, RIGHT, FOOT + 12), lines.paragraph(NOTICE).glyphs, 17, PALE, right=True)
    return image


def ground(hues: Sequence[float]) -> Image.Image:
    """A slope from the colour of the first person to that of the last, and the white card on it."""
    last = hues[-1] if len(hues) > 1 else hues[0] + 0.09
    slope = Image.linear_gradient("L").rotate(60, expand=True, resample=Image.Resampling.BICUBIC)
    inside = slope.width // 4
    slope = slope.crop((inside, inside, slope.width - inside, slope.height - inside)).resize((WIDTH, HEIGHT))
    far, near = (Image.new("RGB", (WIDTH, HEIGHT), avatar.tone(hue % 1, 0.70, 0.62)) for hue in (last, hues[0]))
    image = Image.composite(far, near, slope)
    shadow = Image.new("L", (WIDTH, HEIGHT))
    rounded(shadow, (CARD[0], CARD[1] + 8, CARD[2], CARD[3] + 8), 30, 64)
    image.paste((20, 30, 45), mask=shadow.filter(ImageFilter.GaussianBlur(14)))
    rounded(image, CARD, 30, "white")
    return image


def rounded(image: Image.Image, box: lines.Box, radius: int, colour: lines.Colour | int) -> None:
    """Fill a box with round and smooth corners."""
    left, top, right, bottom = box
    mask = Image.new("L", (right - left, bottom - top), 255)
    corner = avatar.disc(2 * radius)
    for across, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        part = corner.crop((across * radius, down * radius, (across + 1) * radius, (down + 1) * radius))
        mask.paste(part, (across * (right - left - radius), down * (bottom - top - radius)))
    image.paste(colour, box, mask)


def header(image: Image.Image, people: Sequence[Person], accent: tuple[int, int, int], fonts: Sequence[Path]) -> None:
    """Avatars, names, handles, and whether it is a bot of one or a cyborg of several."""
    shown = people[:SHOWN]
    side = AVATAR if len(shown) == 1 else SMALLER
    top, step = TOP + (AVATAR - side) // 2, side - OVERLAP
    for at, person in reversed(list(enumerate(shown))):  # the first lies on top
        x = LEFT + at * step
        image.paste("white", (x - RING, top - RING), avatar.disc(side + 2 * RING))
        face = avatar.drawn(person.name, person.handle, person.avatar, side, fonts)
        image.paste(face, (x, top), avatar.disc(side))
    x = LEFT + side + (len(shown) - 1) * step + 28
    right = badge(image, "AI CYBORG" if len(people) > 1 else "AI BOT", accent) - 24

    handles = [handle for person in people if (handle := lines.one_line(person.handle).removeprefix("@"))]
    names = [name for person in people if (name := lines.one_line(person.name) or lines.one_line(person.handle))]
    title = lines.joined(names or ["Somebody"], " & ", bold=True, fonts=fonts)
    size = next((size for size in NAME_SIZES if lines.width(title, size) <= right - x), NAME_SIZES[-1])
    rows = lines.wrap(title, size, right - x, 2)
    if len(rows) > 1:
        rows = [rows[0], lines.shortened(lines.rest(title, rows[0]), size, right - x)]
    pitch = size * 1.24
    middle = TOP + (37 if len(rows) < 2 else 31 - pitch / 2)
    placed = [lines.Row(x, middle + at * pitch + size * 0.36, row, size) for at, row in enumerate(rows)]
    lines.write(image, (x, TOP - 12, right, TOP + NAME_HEIGHT), placed, INK, bold=True)
    account = lines.joined([f"@{handle}" for handle in handles], "  ·  ", fonts=fonts)
    size = next((size for size in HANDLE_SIZES if lines.width(account, size) <= RIGHT - x), HANDLE_SIZES[-1])
    write(
        image,
        (x, TOP + NAME_HEIGHT - (4 if len(rows) < 2 else 0), RIGHT, TOP + 110),
        lines.shortened(account, size, RIGHT - x),
        size,
        GREY,
    )


def badge(image: Image.Image, word: str, colour: tuple[int, int, int]) -> int:
    """Write the word in a coloured box at the right; the left end of the box."""
    glyphs = lines.paragraph(word, bold=True).glyphs
    left, top, bottom = RIGHT - round(lines.width(glyphs, 19)) - 36, TOP + 10, TOP + 50
    rounded(image, (left, top, RIGHT, bottom), 20, colour)
    write(image, (left + 18, top, RIGHT, bottom), glyphs, 19, "white", bold=True)
    return left


def write(
    image: Image.Image, box: lines.Box, glyphs: Sequence[lines.Glyph], size: int, colour: lines.Colour,
    *, bold: bool = False, right: bool = False,
) -> None:  # fmt: skip
    """One line in the middle of a box, at its left or its right."""
    x = box[2] - lines.width(glyphs, size) if right else box[0]
    lines.write(image, box, [lines.Row(x, (box[1] + box[3]) / 2 + size * 0.36, glyphs, size)], colour, bold=bold)


def chip(image: Image.Image, start: lines.Paragraph, hue: float, mirrored: bool) -> float:
    """The prompt in a tinted box; where the arrow leaves it."""
    room = RIGHT - LEFT - 48
    glyphs = lines.shortened(start.glyphs, PROMPT_SIZE, room)
    wide = round(lines.width(glyphs, PROMPT_SIZE)) + 48
    left = RIGHT - wide if mirrored else LEFT
    rounded(image, (left, PROMPT_TOP, left + wide, PROMPT_TOP + PROMPT_HEIGHT), 18, avatar.tone(hue, 0.93, 0.6))
    box = (left + 24, PROMPT_TOP + 1, left + wide - 16, PROMPT_TOP + PROMPT_HEIGHT - 1)
    write(image, box, glyphs, PROMPT_SIZE, GREY)
    return RIGHT - 30 if mirrored else LEFT + 30


def elbow(image: Image.Image, x: float, y: float, hue: float, mirrored: bool) -> None:
    """An arrow down from the prompt and to the text."""
    left, top, bend, half = round(x) - 50, PROMPT_TOP + PROMPT_HEIGHT, 14, 2.5
    mask = Image.new("L", (100 * FINER, (TEXT_BOTTOM - top) * FINER))
    pen = ImageDraw.Draw(mask)

    def stroke(*points: tuple[float, float]) -> None:
        scaled = [((50 + way * across) * FINER, (down - top) * FINER) for across, down in points]
        pen.line(scaled, fill=255, width=round(2 * half * FINER), joint="curve")
        for a, b in (scaled[0], scaled[-1]):
            pen.ellipse((a - half * FINER, b - half * FINER, a + half * FINER, b + half * FINER), fill=255)

    way = -1 if mirrored else 1
    turns = [math.pi / 2 * part / 8 for part in range(9)]
    stroke((0, top + 8), *((bend * (1 - math.cos(turn)), y - bend * (1 - math.sin(turn))) for turn in turns), (32, y))
    stroke((21, y - 11), (32, y), (21, y + 11))
    image.paste(avatar.tone(hue, 0.62, 0.55), (left, top), mask.reduce(FINER))


def paragraphs(text: str, fonts: Sequence[Path]) -> list[lines.Paragraph]:
    """One for each line of the text that is not empty."""
    rows = [" ".join(row.split()) for row in lines.clean(text[: lines.MAX_CLUSTERS * 8]).split("\n")]
    return [found for row in rows if (found := lines.paragraph(row, fonts=fonts)).glyphs]


def body(image: Image.Image, passage: Sequence[lines.Paragraph], top: int, indent: int, mirrored: bool) -> float:
    """The text as large as it fits; the middle of its first line."""
    left, right = (LEFT, RIGHT - indent) if mirrored else (LEFT + indent, RIGHT)
    room, height = right - left, TEXT_BOTTOM - top
    natural = sum(lines.width(found.glyphs, SIZES[-1]) for found in passage) / SIZES[-1]
    for size in SIZES:
        pitch = size * lines.LINE
        fits = int(height / pitch)
        if size > SIZES[-1] and natural * size > fits * room:
            continue  # for sure it does not fit
        rows = [(row, found.base) for found in passage for row in lines.wrap(found.glyphs, size, room, fits + 1)]
        if len(rows) <= fits:
            break
    if len(rows) > fits:
        rows = rows[:fits]
        rows[-1] = (lines.shortened(rows[-1][0], size, room, always=True), rows[-1][1])
    begin = top + min((height - len(rows) * pitch) / 2, 40 if indent else 70)
    placed = [
        lines.Row(right - lines.width(row, size) if base else left, begin + at * pitch + size * lines.ASCENT, row, size)
        for at, (row, base) in enumerate(rows)
    ]
    lines.write(image, (left - 4, top, right + 4, TEXT_BOTTOM), placed, INK)
    return begin + size * (lines.ASCENT - 0.34)
