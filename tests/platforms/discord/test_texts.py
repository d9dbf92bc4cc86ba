"""What a person or a persona wrote is shown letter by letter, whatever it is, and pings nobody."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given

from bot.platforms.discord.texts import cleaned, escaped, label, name, quoted, said, units
from tests.platforms.discord.markdown import shown
from tests.platforms.discord.strategies import any_text, many

pytestmark = pytest.mark.discord
PINGS = re.compile(r"@everyone|@here|<@[!&]?\d+>|<#\d+>|</[^\n<>]+:\d+>|<a?:\w+:\d+>|<t:-?\d+|<id:\w+>", re.I)
LEADS = re.compile(r"https?://\S|discord\.gg|discord(app)?\.com", re.I)
TURNS = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@pytest.mark.parametrize(
    "tweet",
    [
        "just had the best sandwich of my life",
        "5 * 3 is still 15, don't @ me",
        "*typo, sorry",
        "#mondaymotivation #coffee > #tea",
        "snake_case is fine :) <3 (really) [sic] 100% ~ish",
        "1.5 miles - in the rain - 2. no more",
        "who's up? ->me<- :smile: $20 & change | or not",
        "first line\n\nsecond line",
        "ça va? Привет 👩‍👩‍👧‍👦 ❤️‍🔥 नमस्ते tiếng Việt မြှုံ 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    ],
)
def test_an_ordinary_tweet_is_left_as_it_is(tweet: str) -> None:
    assert said(tweet) == tweet


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so *very* good", r"so \*very\* good"),
        ("¯\\_(ツ)_/¯", r"¯\\\_(ツ)\_/¯"),
        ("# shouting", r"\# shouting"),
        ("~~a~~ ||b|| __c__ `d`", r"\~\~a\~\~ \|\|b\|\| \_\_c\_\_ \`d\`"),
        ("a\n- b\n 2. c\n> d\n-# e", "a\n\\- b\n 2\\. c\n\\> d\n\\-# e"),
        ("```py\nx", r"\`\`\`py" + "\nx"),
        ("[free](https://x.example)", "\\[free](https:\u200b//x.example)"),
        ("come to discord.gg/abc", "come to discord.\u200bgg/abc"),
        ("@everyone <@123> <#1>", "@\u200beveryone <\u200b@123> <\u200b#1>"),
        ("\u202eevil\u202c \u2067x", "evil x"),
        ("a" + "\u0301\u0302\u0303\u0316\u0317\u0318", "\u00e1\u0316\u0317\u0302"),
        ("a\r\n\n\n\n\nb\x00\t!", "a\n\nb !"),
        ("", "…"),
        (" \u200b\u3164\n\u202e", "…"),
    ],
)
def test_what_would_be_markdown_or_worse_is_taken_off_it(text: str, expected: str) -> None:
    assert said(text) == expected


def test_a_link_stays_whole_where_links_are_allowed() -> None:
    text = "*see* https://x.example/a_b_c*d and <https://y.example>"
    assert said(text, allow_links=True) == r"\*see\* https://x.example/a_b_c*d and <https://y.example>"


def test_what_is_too_long_is_cut_between_letters_and_says_so() -> None:
    family = "👩‍👩‍👧‍👦"
    cut = said(family * 1000)
    assert 1980 < units(cut) <= 2000
    assert cut == family * ((2000 - 1) // units(family)) + "…"
    stars = said("*" * 1500)
    assert 1990 < units(stars) <= 2000
    assert shown(stars).text == "*" * 999 + "…"
    assert said("\u200d".join("👩" * 2000)) == "\ufffd"


def test_a_quotation_is_a_few_lines_of_one_block() -> None:
    assert quoted("# a\n\n>b\nc") == "> \\# a\n> >b\n> c"
    assert quoted("a\nb\nc\nd\ne") == "> a\n> b\n> c\n> d…"


def test_a_name_cannot_join_with_what_is_around_it() -> None:
    assert name("*jo_\nsmith") == r"\*jo\_ smith"
    assert [name(one) for one in ("# a", "- a", "1. a", "> a")] == [r"\# a", r"\- a", r"1\. a", r"\> a"]
    assert name("@everyone") == "@\u200beveryone"
    assert name("שלום") == "\u2068שלום\u2069"
    assert label("*jo*\n`x`") == "*jo* `x`"


@many
@given(any_text)
def test_any_text_is_shown_as_it_is_and_pings_nobody(text: str) -> None:
    message = said(text)
    assert 0 < len(message) <= units(message) <= 2000
    assert message == message.strip() != ""
    plain = cleaned(text)
    seen = shown(message)
    assert seen.marks == ()
    assert seen.text == plain or seen.text.endswith("…")
    assert len(seen.text.split("\n")) <= len(plain.split("\n"))
    assert not PINGS.search(message), message
    assert not LEADS.search(message), message
    assert not TURNS & set(message)
    assert not re.search(r"\n\n\n", message)
    for at_once in re.findall(r"[\u0300-\u036f]+", unicodedata.normalize("NFD", message)):
        assert len(at_once) <= 6
    message.encode()


@many
@given(any_text)
def test_cleaning_and_escaping_are_done_once(text: str) -> None:
    plain = cleaned(text)
    assert cleaned(plain) == plain
    assert shown(escaped(plain)).text == plain
    if units(escaped(plain)) <= 2000:
        assert escaped(cleaned(shown(said(text)).text)) == said(text)


@many
@given(any_text)
def test_a_quotation_a_name_and_a_label_are_what_they_are_of_any_text(text: str) -> None:
    quotation, word, button = quoted(text), name(text), label(text)
    seen = shown(f"**{word}** · AI imitation of **{word}**\n{quotation}\nend")
    lines = len(quotation.split("\n"))
    assert lines <= 4
    assert seen.marks == ("strong", "strong", *["quote"] * lines)
    assert seen.text.endswith("\nend")
    assert (units(quotation), units(word), units(button)) <= (300, 80, 80)
    for part in (word, button):
        assert "\n" not in part
        assert part.count("\u2068") == part.count("\u2069") <= 1
    assert not PINGS.search(f"{quotation} {word} {button}")
