"""Avatars: round pictures of people, or their initials on a colour that follows from the handle."""

import colorsys
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from training.preview import lines

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
MAX_PIXELS = 16_000_000
FINER = 4  # shapes are drawn so many times larger, for smooth edges
HUES = (8, 24, 152, 168, 184, 198, 212, 226, 244, 262, 282, 304, 326, 346)  # degrees; white can be read on all


def hue(handle: str) -> float:
    """0 to 1, the same for a handle however it is written."""
    digest = hashlib.sha256(handle.lower().encode("utf-8", "replace")).digest()
    return HUES[int.from_bytes(digest[:4]) % len(HUES)] / 360


def tone(hue: float, lightness: float, saturation: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def initials(name: str, handle: str) -> str:
    """The first letters of the first two words of the name, or else of the handle; "?" where neither has one."""
    for text in (name, handle):
        found = []
        for word in lines.one_line(text).replace("_", " ").split():
            letter = next((part for part in lines.CLUSTER.findall(word) if part[0].isalnum()), None)
            if letter is not None:
                found.append(letter)
        if found:
            return "".join(found[:2] if not lines.EASTERN.match(found[0]) else found[:1]).upper()
    return "?"


def disc(side: int) -> Image.Image:
    """A round mask of `side` pixels."""
    mask = Image.new("L", (side * FINER, side * FINER))
    ImageDraw.Draw(mask).ellipse((0, 0, side * FINER - 1, side * FINER - 1), fill=255)
    return mask.reduce(FINER)


def picture(avatar: bytes, side: int) -> Image.Image | None:
    """The middle square of an image file; None where it cannot be read or is too large."""
    try:
        with Image.open(io.BytesIO(avatar), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    fitted = ImageOps.fit(upright, (side, side), Image.Resampling.LANCZOS)
    ground = Image.new("RGBA", fitted.size, "white")
    ground.alpha_composite(fitted)
    return ground.convert("RGB")


def drawn(name: str, handle: str, avatar: bytes | None, side: int, fonts: Sequence[Path] = ()) -> Image.Image:
    """A square of `side` pixels, to be pasted through `disc(side)`."""
    found = picture(avatar, side) if avatar else None
    if found is not None:
        return found
    colour = hue(handle or name)
    top, bottom = tone(colour, 0.55, 0.58), tone(colour, 0.39, 0.58)
    ramp = Image.linear_gradient("L").resize((side, side))
    ground = Image.composite(Image.new("RGB", (side, side), bottom), Image.new("RGB", (side, side), top), ramp)
    glyphs = lines.paragraph(initials(name, handle), bold=True, fonts=fonts).glyphs
    size = round(side * 0.42)
    while size > 8 and lines.width(glyphs, size) > side * 0.7:
        size -= 2
    row = lines.Row((side - lines.width(glyphs, size)) / 2, side / 2 + size * 0.36, glyphs, size)
    lines.write(ground, (0, 0, side, side), [row], "white", bold=True)
    return ground
