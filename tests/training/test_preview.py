"""Tests of the preview picture: its size, what it shows, what nobody may make it do, and that letters are there."""

import ctypes
import ctypes.util
import functools
import io
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from training.preview import HEIGHT, WIDTH, Person, avatar, bidi, draw, fonts, joining, lines, picture

JO = Person("lighthousejo", "Lighthouse Jo")
BREAD = Person("breadwizard_ok", "the bread wizard")
PROF = Person("ProfPettigrew", "Prof. A. Pettigrew")
DREAM = "My dream is"
SAID = "My dream is to keep one lamp lit."


def same(one: Image.Image, other: Image.Image, box: tuple[int, int, int, int]) -> bool:
    return ImageChops.difference(one.crop(box), other.crop(box)).getbbox() is None


def faces(text: str = "", *, bold: bool = False) -> tuple[fonts.Face, ...]:
    return fonts.shipped(bold, fonts.KANA.search(text) is not None)


# --- The picture ------------------------------------------------------------------------------------------------------


def test_a_preview_is_a_png_of_the_promised_size() -> None:
    png = draw([JO], DREAM, SAID)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    with Image.open(io.BytesIO(png)) as image:
        image.load()
        assert (image.format, image.size, image.mode) == ("PNG", (1120, 586), "RGB")
    assert (WIDTH, HEIGHT) == (1120, 586)


def test_the_same_is_drawn_the_same() -> None:
    assert draw([JO, BREAD, PROF], DREAM, SAID) == draw([JO, BREAD, PROF], DREAM, SAID)


def test_whatever_differs_is_drawn_differently() -> None:
    pictures = [
        picture.paint(people, prompt, text).tobytes()
        for people, prompt, text in [
            ([JO], DREAM, SAID),
            ([JO], DREAM, SAID + "!"),
            ([JO], "Your dream is", SAID),
            ([Person(JO.handle, "Jo")], DREAM, SAID),
            ([Person("jo", JO.name)], DREAM, SAID),
            ([JO, BREAD], DREAM, SAID),
        ]
    ]
    assert len(set(pictures)) == len(pictures)


def test_a_bot_is_of_one_and_a_cyborg_of_several() -> None:
    one, two, three = (picture.paint([JO] * count, "", "") for count in (1, 2, 3))
    badge = (890, 70, 1040, 120)
    assert not same(one, two, badge)
    assert same(two, three, badge)


def test_nobody_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="at least one person"):
        draw([], DREAM, SAID)


def test_a_text_read_from_the_right_has_its_prompt_and_arrow_there() -> None:
    left, right = (60, 200, 190, 270), (930, 200, 1060, 270)
    empty = picture.paint([JO], "", "")
    latin, arabic = picture.paint([JO], "hi", "hello"), picture.paint([JO], "حلمي", "حلمي هو")
    assert not same(latin, empty, left)
    assert same(latin, empty, right)
    assert same(arabic, empty, left)
    assert not same(arabic, empty, right)


# --- Avatars ----------------------------------------------------------------------------------------------------------


def file(colour: str, size: tuple[int, int] = (60, 40)) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, colour).save(written, "PNG")
    return written.getvalue()


def test_an_avatar_is_round_and_takes_the_place_of_the_initials() -> None:
    image = picture.paint([Person("jo", "Jo", file("#ff0000"))], DREAM, SAID)
    left, top, side = picture.LEFT, picture.TOP, picture.AVATAR
    assert image.getpixel((left + side // 2, top + side // 2)) == (255, 0, 0)
    assert image.getpixel((left + 2, top + 2)) == (255, 255, 255)


@pytest.mark.parametrize("broken", [b"", b"not an image", file("red")[:60], b"GIF89a\xff\xff\xff\xff"])
def test_an_avatar_that_cannot_be_read_gives_way_to_the_initials(broken: bytes) -> None:
    assert avatar.drawn("Jo", "jo", broken, 92).tobytes() == avatar.drawn("Jo", "jo", None, 92).tobytes()


def test_a_vast_avatar_is_not_unpacked() -> None:
    written = io.BytesIO()
    Image.new("1", (4001, 4000)).save(written, "PNG")
    assert avatar.picture(written.getvalue(), 100) is None


@pytest.mark.parametrize(
    ("name", "handle", "found"),
    [
        ("Lighthouse Jo 🌊", "lj", "LJ"),
        ("the bread wizard", "bw", "TB"),
        ("", "bread_wizard", "BW"),
        ("🌊🌊", "sea", "S"),
        ("さくら 直子", "sakura", "さ"),
        ("\u202e", "\u200b", "?"),
        ("éric", "", "É"),
    ],
)
def test_initials(name: str, handle: str, found: str) -> None:
    assert avatar.initials(name, handle) == found


def test_a_colour_follows_from_the_handle_and_not_from_its_case() -> None:
    assert avatar.hue("LightHouseJo") == avatar.hue("lighthousejo")
    assert len({avatar.hue(f"person{at}") for at in range(100)}) > 5


# --- Letters ----------------------------------------------------------------------------------------------------------

SCRIPTS = {
    "Latin": "The quick brown fox — “jumps” over €5 & ½ œuvres, ŁÓDŹ ğüşİ Tiếng Việt",
    "Greek": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία",
    "Cyrillic": "Съешь же ещё этих мягких французских булок ґєії",
    "Hebrew": "דג סקרן שט בים מאוכזב ולפתע מצא חברה שָׁלוֹם ״״",
    "Arabic": "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر گچپژ ؟،",
    "Devanagari": "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का सर्वनाश करने वाले।",
    "Thai": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน",
    "Japanese": "いろはにほへと カタカナ 日本語の文章、「夢」です。",
    "Chinese": "我的梦想是在海边开一家面包店，你們說這個好吃嗎？",
    "Korean": "키스의 고유조건은 입술끼리 만나야 하고",
    "fancy names": "𝓛𝓲𝓰𝓱𝓽 𝕁𝕠 ★ ♪ ✓ → ① ｗｉｄｅ",
    "emoji": "😀 🫠 👍🏽 👨‍👩‍👧‍👦 🏳️‍🌈 🇫🇷 🏴󠁧󠁢󠁥󠁮󠁧󠁿 👩🏾‍🚀 1️⃣ ❤️ ❤️‍🔥 🧑🏻‍❤️‍🧑🏿",
}


@pytest.mark.parametrize("bold", [False, True])
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_promised_script_has_its_letters(script: str, bold: bool) -> None:
    text = SCRIPTS[script]
    for cluster in lines.clusters(lines.clean(text)):
        (piece,) = fonts.pieces(cluster, faces(text, bold=bold))
        assert piece.text != fonts.NOWHERE, ascii(cluster)
        assert fonts.covers(piece.face, fonts.INVISIBLE.sub("", piece.text))


def test_a_glyph_that_is_promised_leaves_ink() -> None:
    for text in SCRIPTS.values():
        for glyph in set(lines.paragraph(text).glyphs):
            box = fonts.opened(glyph.piece.face, 20).getbbox(glyph.piece.text)
            assert lines.blank(glyph) or (box[2] > box[0] and box[3] > box[1]), ascii(glyph.piece.cluster)


def test_an_emoji_is_in_colour() -> None:
    ground = picture.paint([JO], "", "")
    shown = picture.paint([JO], "", "❤️")
    box = ImageChops.difference(ground, shown).getbbox()
    assert box is not None
    found = {pixel for _, pixel in shown.crop(box).getcolors(100_000) or []}
    assert any(red > 180 and green < 80 and blue < 100 for red, green, blue in found)


def test_a_family_that_no_font_knows_is_drawn_one_by_one() -> None:
    known = fonts.pieces("👩‍🚀", faces())
    unknown = fonts.pieces("🦄\u200d🚀", faces())
    assert len(known) == 1
    assert [piece.text for piece in unknown] == ["🦄", "🚀"]


def test_a_joiner_alone_is_not_drawn() -> None:
    assert fonts.pieces("\u200d\ufe0f", faces()) == []
    assert [piece.text for piece in fonts.pieces("🏽\u200d", faces())] == ["🏽"]


def test_what_no_font_has_is_a_box_unless_the_caller_knows_a_font() -> None:
    (piece,) = fonts.pieces("ꦑ", faces())
    assert piece.text == fonts.NOWHERE
    hebrew = next(face for face in faces() if "Hebrew" in face.path)
    without = tuple(face for face in faces() if face != hebrew)
    assert fonts.pieces("ש", without)[0].text == fonts.NOWHERE
    assert fonts.pieces("ש", (*without, hebrew))[0] == fonts.Piece("ש", hebrew, "ש")


def test_japanese_and_chinese_have_each_their_own_forms() -> None:
    japanese, chinese = lines.paragraph("直す").glyphs[0], lines.paragraph("直接").glyphs[0]
    assert "jp" in japanese.piece.face.path
    assert "sc" in chinese.piece.face.path


def test_without_shaping_arabic_is_joined_and_turned_round() -> None:
    assert joining.leftmost_first("سلام") == "\ufee1\ufefc\ufeb3"
    assert joining.leftmost_first("(ab") == "ba)"
    arabic = next(face for face in faces() if "Arabic" in face.path)
    assert fonts.covers(arabic, joining.leftmost_first("نصحكيملهسرقاطعوذوشأنعظيممكتوبعلىثوبأخضر"))


# --- Order ------------------------------------------------------------------------------------------------------------


def shown(text: str) -> str:
    base = bidi.base_level(text)
    return "".join(text[at] for at in bidi.visual(bidi.levels(text, base)))


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("abc 123", "abc 123"),
        ("abc שלום def", "abc םולש def"),
        ("שלום abc", "abc םולש"),
        ("ש 12:30 ל", "ל 12:30 ש"),
        ("abc ש 5% ל!", "abc ל 5% ש!"),
        ("ש @abc ל", "ל @abc ש"),  # a mention stays one word
    ],
)
def test_a_mixed_line_is_read_from_both_sides(text: str, order: str) -> None:
    assert shown(text) == order


FRIBIDI = ctypes.util.find_library("fribidi")


@pytest.mark.skipif(FRIBIDI is None, reason="FriBiDi is not installed")
def test_levels_are_those_of_fribidi() -> None:
    library = ctypes.CDLL(FRIBIDI)
    drawn = random.Random(7)
    for _ in range(300):
        text = "".join(drawn.choices("ab אב عب 12 ١٢ .,:-+%$()[]", k=drawn.randint(1, 14))).strip() or "a"
        size = len(text)
        types, brackets = (ctypes.c_uint32 * size)(), (ctypes.c_uint32 * size)()
        letters, levels = (ctypes.c_uint32 * size)(*map(ord, text)), (ctypes.c_int8 * size)()
        for base, direction in ((0, 0x110), (1, 0x111)):
            library.fribidi_get_bidi_types(letters, size, types)
            library.fribidi_get_bracket_types(letters, size, types, brackets)
            library.fribidi_get_par_embedding_levels_ex(
                types, brackets, size, ctypes.byref(ctypes.c_uint32(direction)), levels
            )
            assert bidi.levels(text, base) == list(levels), ascii(text)


# --- Lines and hostile names ------------------------------------------------------------------------------------------


def test_no_line_is_wider_than_its_room_and_nothing_is_lost() -> None:
    for text in (*SCRIPTS.values(), "x" * 200, "a b " * 60):
        glyphs = lines.paragraph(lines.clean(text)).glyphs
        rows = lines.wrap(glyphs, 41, 400)
        assert all(lines.width(row, 41) <= 400 for row in rows)
        kept = [glyph for row in rows for glyph in row if not lines.blank(glyph)]
        assert kept == [glyph for glyph in glyphs if not lines.blank(glyph)]


def test_japanese_puts_no_full_stop_at_the_head_of_a_line() -> None:
    glyphs = lines.paragraph("夢。" * 40).glyphs
    assert all(row[0].piece.text != "。" for row in lines.wrap(glyphs, 40, 410))


@pytest.mark.parametrize(
    "hostile", ["\u202eevil\u202c", "\u2066a\u2069", "a\x00\x1b[31m\x7f", "\ud800\ue000", "\u200b"]
)
def test_nothing_that_turns_or_controls_is_left(hostile: str) -> None:
    assert set(lines.one_line(hostile)) <= set("evila[31m")


@pytest.mark.parametrize("nothing", ["", " \n", "\u200b\u200d", "\u3164", "\U000e0067"])
def test_a_name_that_cannot_be_seen_gives_way_to_the_handle(nothing: str) -> None:
    wanted = picture.paint([Person("jo", "jo"), BREAD], "", "")
    assert picture.paint([Person("jo", nothing), BREAD], "", "").tobytes() == wanted.tobytes()


def test_of_several_names_each_keeps_its_place_and_its_direction() -> None:
    glyphs = lines.joined(["נור abc", "דנה", "A" * 500], " & ")
    seen = "".join(text for _, text, _ in lines.runs(glyphs))
    assert seen == "abc נור & דנה & " + "A" * lines.MAX_SHARE + "…"  # a run from the right is given as it is read


HOSTILE = [
    "\u202eevil\u202c " * 9, "Z" + "\u0300\u0353\u0489" * 200, "A" * 500, "W " * 250, "one\ntwo\r\nthree\u2028", "",
    "\ud800", "ﷺ﷽" * 30, "<script>|BOT|CYBORG</script>", "\u0300\u0301", "🏳️‍🌈" * 100, "\u202b" * 500, "\U000e0067" * 9,
]  # fmt: skip


def margins(image: Image.Image) -> list[Image.Image]:
    """What no text may reach: around the card, and inside it left, right, and between the header and what follows."""
    boxes = [(0, 0, 1120, 34), (0, 553, 1120, 586), (0, 0, 36, 586), (1085, 0, 1120, 586), (40, 60, 78, 520),
             (1042, 60, 1080, 520), (90, 186, 1030, 208), (90, 498, 640, 540)]  # fmt: skip
    return [image.crop(box) for box in boxes]


@functools.cache
def unwritten(count: int) -> list[Image.Image]:
    return margins(picture.paint([Person("same", "-")] * count, "", ""))


def check_margins(names: list[str], prompt: str, text: str) -> None:
    people = [Person("same", name) for name in names]
    for got, wanted in zip(margins(picture.paint(people, prompt, text)), unwritten(len(people)), strict=True):
        assert ImageChops.difference(got, wanted).getbbox() is None


@pytest.mark.parametrize("at", range(0, len(HOSTILE), 3))
def test_hostile_names_stay_in_their_box(at: int) -> None:
    names = HOSTILE[at : at + 3]
    check_margins(names, names[0], names[-1])


@settings(max_examples=4, deadline=None, database=None, derandomize=True)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=3), st.text(max_size=40), st.text(max_size=300))
@example([""], "", "")
def test_whatever_is_written_stays_in_its_box(names: list[str], prompt: str, text: str) -> None:
    check_margins(names, prompt, text)


def test_a_text_that_is_too_long_ends_in_an_ellipsis() -> None:
    glyphs = lines.paragraph("word " * 200).glyphs
    short = lines.shortened(glyphs, 30, 300)
    assert short[-1].piece.text == "…"
    assert lines.width(short, 30) <= 300
    assert lines.shortened(glyphs[:3], 30, 300) == glyphs[:3]
