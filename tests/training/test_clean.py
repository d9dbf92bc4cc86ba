"""Tests of the cleaning: the original's way to the letter, and ours without its faults."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import clean


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("tea &amp; toast &lt;3 &gt;", "tea & toast <3 >"),
        ("&amp;lt;b&amp;gt;", "<b>"),  # &amp; goes first, so a double escape is undone twice
        ("she said &quot;no&quot; &#39;twice&#39;", "she said &quot;no&quot; &#39;twice&#39;"),
        ("look https://t.co/a at this", "look at this"),
        ("http://t.co/a look", "look"),
        ("look\nhttps://t.co/a at\nthis", "look at this"),
        ("look https://t.co/a\nat this", "look at this"),
        ("see (https://x.example) ok", "see (ok"),
        ("HTTPS://T.CO/A stays", "HTTPS://T.CO/A stays"),
        ("http: alone stays", "http: alone stays"),
        ("one\n\n  two\tthree ", "one two three"),
        ("@friend hello #tag", "@friend hello #tag"),
    ],
)
def test_the_originals_cleaning_is_kept_to_the_letter(text: str, cleaned: str) -> None:
    assert clean.huggingtweets(text) == cleaned


@pytest.mark.parametrize(
    ("cleaned", "short"),
    [
        ("", True),
        ("two words", True),
        ("three plain words", False),
        ("@a @b #c two words", True),
        ("@a three plain words", False),
        ("see HTTP://x.example now", True),
        ("今日はとてもいい天気ですね", True),
    ],
)
def test_short_means_fewer_than_three_words_without_links_mentions_or_tags(cleaned: str, short: bool) -> None:
    assert clean.is_short(cleaned) is short


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("&quot;tea&quot; &amp; &#39;toast&#39; &#x1F600;", "\"tea\" & 'toast' 😀"),
        ("a literal &amp;lt; is undone once", "a literal &lt; is undone once"),
        ("?a=1&copy=2 &unknown; AT&T", "?a=1&copy=2 &unknown; AT&T"),
        ("cafe\u0301", "café"),
        ("see HTTPS://T.CO/Ab ok", "see ok"),
        ("see t.co/Ab and at.co/Ab", "see and at.co/Ab"),
        ("see pic.twitter.com/Ab ok", "see ok"),
        ("see (https://x.example/a) ok", "see ok"),
        ("see (here: https://x.example/a) ok", "see (here:) ok"),
        ("a (b https://en.example/wiki/C_(d)) e", "a (b) e"),
        ("first https://t.co/Ab, then https://x.example/c.", "first, then."),
        ("これhttps://t.co/abcを見た", "これ を見た"),
        ("a cut link https://t.c…", "a cut link"),
        ("a cut link https:…", "a cut link"),
        ("a thought…", "a thought…"),
        ("@one @two: so @three said", "so @three said"),
        ("https://t.co/Ab @one so", "so"),
        ("@one's rocket", "@one's rocket"),
        (".@one so", ".@one so"),
        ("one \r\n  two\u2028three", "one\ntwo\nthree"),
        ("one\n\n\n\n \ntwo", "one\n\ntwo"),
        ("one\nhttps://t.co/a\ntwo", "one\ntwo"),
        ("one \t  two\u00a0three", "one two three"),
        ("in\u200bvis\u202eible\u0007\ufeff\ud800", "invisible"),
        (
            "👩\u200d🚀 ❤\ufe0f🏴\U000e0067\U000e0062\U000e007f a\u200db",
            "👩\u200d🚀 ❤\ufe0f🏴\U000e0067\U000e0062\U000e007f ab",
        ),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("https://t.co/a", ""),
    ],
)
def test_our_cleaning_mends_the_originals_faults(text: str, cleaned: str) -> None:
    assert clean.mended(text) == cleaned


@pytest.mark.parametrize(
    ("cleaned", "too_little"),
    [
        ("", True),
        ("two words", True),
        ("three plain words", False),
        ("ok", True),
        ("今日はとてもいい天気ですね", False),
        ("今日は", True),
        ("วันนี้อากาศดีมาก", False),
        ("オッケー #今日はとてもいい天気 @someone", True),
        ("안녕하세요여러분", True),  # Hangul puts blanks between words, so this is one word
        ("안녕하세요 여러분 반갑습니다", False),
    ],
)
def test_scripts_without_blanks_are_measured_by_letters(cleaned: str, too_little: bool) -> None:
    assert clean.holds_too_little(cleaned) is too_little


@given(
    st.lists(
        st.sampled_from(["http", "https://x", "t.co/a", " ", "\n", "(", ")", "@a ", "&lt;", "…", "猫", "\u200b", "."])
    )
)
def test_no_line_of_a_mended_text_has_blanks_at_its_ends_or_a_link(pieces: list[str]) -> None:
    cleaned = clean.mended("".join(pieces))
    assert all(line == line.strip() for line in cleaned.split("\n"))
    assert "\n\n\n" not in cleaned
    assert "https://x" not in cleaned


@given(st.text(st.characters()))
def test_any_text_can_be_cleaned_and_then_stored(text: str) -> None:
    cleaned = clean.mended(text)
    assert cleaned == cleaned.strip() == unicodedata.normalize("NFC", cleaned)
    cleaned.encode("utf-8")
    assert clean.huggingtweets(clean.huggingtweets(text)) is not None


def test_a_hostile_text_is_cleaned_in_linear_time() -> None:
    for piece in (")", " ", "@a ", "(https://", "https://x)", "&", "\n \n"):
        clean.mended("https://x" + piece * 200_000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@al hello", True),
        (" @al @bo, hello", True),
        ("＠al hello", True),
        ("@al", True),
        ("@nasa's rocket", False),
        (".@al hello", False),
        ("hello @al", False),
        ("", False),
    ],
)
def test_what_begins_with_mentions_is_said_to_somebody(text: str, expected: bool) -> None:
    assert clean.is_addressed(text) is expected
    assert expected == (clean.mended(text) != text)
