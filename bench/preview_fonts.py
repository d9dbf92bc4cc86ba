"""Make the fonts of the preview picture, smaller, from those that their authors publish; needs fonttools and brotli.

    python -m bench.preview_fonts SOURCES training/preview/fonts

SOURCES holds the files that training/preview/fonts/README.md names.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fontTools import subset
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables._c_m_a_p import CmapSubtable

# The preview asks for an emoji of several characters by one of these, so that no library has to shape it.
FIRST_EMOJI = 0xF0000
ADVANCE = 540  # of an emoji that is 512 wide: two flags shall not touch

EUROPE = [
    (0x20, 0x7E), (0xA0, 0x52F), (0x1D00, 0x1DBF), (0x1E00, 0x1FFF), (0x2000, 0x22FF), (0x25CC, 0x25CC),
    (0x2C60, 0x2C7F), (0xA720, 0xA7FF), (0xFB00, 0xFB06), (0xFFFD, 0xFFFD),
]  # fmt: skip
SYMBOLS = [(0x2190, 0x23FF), (0x2400, 0x27BF), (0x27F0, 0x28FF), (0x2900, 0x297F), (0x2B00, 0x2BFF)]
MATHS = [(0x2100, 0x214F), (0x1D400, 0x1D7FF)]
ALL = [(0x20, 0x10FFFF)]


def within(ranges: Iterable[tuple[int, int]]) -> set[int]:
    return {code for first, last in ranges for code in range(first, last + 1)}


def rows(encoding: str, first: int, last: int, lead: int = 0xA0) -> set[int]:
    """The characters in these rows of an East Asian standard, the common ones being in the first rows of each."""
    found = set()
    for row in range(first, last + 1):
        for cell in range(0x40, 0x100):
            try:
                found.add(ord(bytes([row + lead, cell]).decode(encoding)))
            except (UnicodeDecodeError, TypeError):
                continue
    return found


PUNCTUATION = within([(0x3000, 0x303F), (0xFF00, 0xFFEF)])
KANA = within([(0x3040, 0x30FF), (0x31F0, 0x31FF), (0x3200, 0x33FF)])
JAPANESE = PUNCTUATION | KANA | rows("euc_jp", 1, 8) | rows("euc_jp", 16, 47)
CHINESE = within([(0x3100, 0x312F)]) | rows("gb2312", 16, 55) | rows("big5", 0xA4, 0xC6, lead=0)
KOREAN = within([(0x1100, 0x11FF), (0x3130, 0x318F)]) | rows("euc_kr", 16, 40)

# file: (source, face in a collection, characters)
WANTED = {
    "NotoSans-Regular.ttf": ("NotoSans_400Regular.ttf", -1, within(EUROPE)),
    "NotoSans-Bold.ttf": ("NotoSans_700Bold.ttf", -1, within(EUROPE)),
    "NotoSansArabic-Regular.ttf": ("NotoSansArabic_400Regular.ttf", -1, within(ALL)),
    # FreeType refuses to draw its U+FDFD ("raster overflow")
    "NotoSansArabic-Bold.ttf": ("NotoSansArabic_700Bold.ttf", -1, within(ALL) - {0xFDFD}),
    "NotoSansHebrew-Regular.ttf": ("NotoSansHebrew_400Regular.ttf", -1, within(ALL)),
    "NotoSansHebrew-Bold.ttf": ("NotoSansHebrew_700Bold.ttf", -1, within(ALL)),
    "NotoSansDevanagari-Regular.ttf": ("NotoSansDevanagari_400Regular.ttf", -1, within(ALL)),
    "NotoSansDevanagari-Bold.ttf": ("NotoSansDevanagari_700Bold.ttf", -1, within(ALL)),
    "NotoSansThai-Regular.ttf": ("NotoSansThai_400Regular.ttf", -1, within(ALL)),
    "NotoSansThai-Bold.ttf": ("NotoSansThai_700Bold.ttf", -1, within(ALL)),
    "NotoSansMath-Regular.ttf": ("NotoSansMath_400Regular.ttf", -1, within(MATHS)),
    "NotoSansSymbols2-Regular.ttf": ("NotoSansSymbols2_400Regular.ttf", -1, within(SYMBOLS)),
    "NotoSansCJKjp-Regular.otf": ("NotoSansCJK-Regular.ttc", 0, JAPANESE),
    "NotoSansCJKkr-Regular.otf": ("NotoSansCJK-Regular.ttc", 1, KOREAN),
    "NotoSansCJKsc-Regular.otf": ("NotoSansCJK-Regular.ttc", 2, CHINESE),
}  # fmt: skip


def shrink(source: Path, face: int, characters: set[int], target: Path) -> None:
    options = subset.Options(hinting=False, glyph_names=False, notdef_outline=True, name_IDs=[0, 1, 2, 4, 5, 6, 13, 14])
    options.drop_tables += ["DSIG", "STAT", "meta", "vhea", "vmtx", "VORG", "MATH"]
    if face >= 0:  # what an East Asian font has for other countries and for columns would bring thousands of glyphs
        options.layout_features = ["ccmp", "ljmo", "vjmo", "tjmo"]
    font = TTFont(source, fontNumber=face, recalcTimestamp=False)
    kept = characters & set(font.getBestCmap())
    if characters is CHINESE:  # what the Japanese font draws alike is not kept twice
        japanese = TTFont(source, fontNumber=0).getBestCmap()
        kept -= {code for code in JAPANESE & kept if japanese.get(code) == font.getBestCmap()[code]}
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=kept)
    subsetter.subset(font)
    font.save(target)


def frame(layers: Iterable[Any]) -> Any:
    """A box around the layers of an emoji: Pillow makes room by the outline that a layered glyph has itself."""
    shown = [layer for layer in layers if layer.numberOfContours]
    left, bottom = min(layer.xMin for layer in shown), min(layer.yMin for layer in shown)
    right, top = max(layer.xMax for layer in shown), max(layer.yMax for layer in shown)
    pen = TTGlyphPen(None)
    pen.moveTo((left, bottom))
    for corner in ((left, top), (right, top), (right, bottom)):
        pen.lineTo(corner)
    pen.closePath()
    glyph = pen.glyph()
    glyph.recalcBounds(None)
    return glyph


def emoji(source: Path, target: Path, names: Path) -> None:
    """Give every sequence a character of its own; line n of `names` is the sequence of character FIRST_EMOJI + n."""
    font = TTFont(source, recalcTimestamp=False)
    named = {glyph: code for code, glyph in font.getBestCmap().items()}
    sequences = {}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            for first, ligatures in table.ligatures.items():
                for ligature in ligatures:
                    parts = [named[glyph] for glyph in [first, *ligature.Component]]
                    sequences["".join(map(chr, parts)).replace("\ufe0f", "")] = ligature.LigGlyph
    lone = {code: glyph for code, glyph in font.getBestCmap().items() if code > 0xA8 or code in (0x23, 0x2A)}
    ordered = sorted(sequences)
    table = CmapSubtable.newSubtable(12)
    table.platformID, table.platEncID, table.language = 3, 10, 0
    table.cmap = lone | {FIRST_EMOJI + at: sequences[sequence] for at, sequence in enumerate(ordered)}
    font["cmap"].tables = [table]
    for gone in ("GSUB", "GDEF", "FFTM", "gasp"):
        del font[gone]
    outlines = font["glyf"]
    for glyph, layers in font["COLR"].ColorLayers.items():
        outlines[glyph] = frame([outlines[layer.name] for layer in layers])
        font["hmtx"][glyph] = (ADVANCE, outlines[glyph].xMin)
    font["post"].formatType = 3.0
    font.flavor = None
    font.save(target)
    names.write_text("".join(f"{sequence}\n" for sequence in ordered), "utf-8")


def main() -> None:
    sources, target = map(Path, sys.argv[1:])
    for name, (source, face, characters) in WANTED.items():
        shrink(sources / source, face, characters, target / name)
    emoji(sources / "twemoji.woff2", target / "Twemoji.ttf", target / "emoji.txt")


if __name__ == "__main__":
    main()
