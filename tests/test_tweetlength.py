"""A text is as long as X says: judged by the official conformance cases of twitter-text."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.tweetlength import urls, weighted_length

SHARED = Path(os.environ.get("MOCKINGBIRD_SHARED") or Path(__file__).parents[2] / "shared")
SPECIFICATION = SHARED / "specs" / "twitter-text"

# These two belong to configuration 2, which counted emoji by their code points; the same texts stand, with the lengths
# of configuration 3, in WeightedTweetsWithDiscountedEmojiCounterTest.
EXCLUDED = {
    ("WeightedTweetsCounterTest", "Count a mix of single byte single word, and double word unicode characters"),
    (
        "WeightedTweetsCounterTest",
        "Count unicode emoji chars outside the basic multilingual plane with skin tone modifiers",
    ),
}


def cases(file: str, *sections: str) -> Iterator[tuple[str, Any]]:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed, and the conformance cases are YAML")
    if not SPECIFICATION.is_dir():
        pytest.skip(f"{SPECIFICATION} is not there: name the folder of the specifications in MOCKINGBIRD_SHARED")
    tests = yaml.load((SPECIFICATION / file).read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))["tests"]
    return ((section, case) for section in sections for case in tests[section])


@pytest.mark.parametrize(
    ("section", "count"),
    [
        ("WeightedTweetsCounterTest", 18),
        ("WeightedTweetsWithDiscountedEmojiCounterTest", 22),
        ("UnicodeDirectionalMarkerCounterTest", 2),
    ],
)
def test_lengths_are_those_of_twitter_text(section: str, count: int) -> None:
    included = [case for _, case in cases("validate.yml", section) if (section, case["description"]) not in EXCLUDED]
    found = {case["description"]: weighted_length(case["text"]) for case in included}
    assert len(found) == count
    assert found == {case["description"]: case["expected"]["weightedLength"] for case in included}


def test_urls_are_those_of_twitter_text() -> None:
    included = [
        *cases("extract.yml", "urls", "urls_with_indices", "urls_with_directional_markers", "tco_urls_with_params"),
        *cases("tlds.yml", "country", "generic"),
    ]
    assert len(included) > 1_600
    wrong = {
        case["text"]: found
        for _, case in included
        if (found := [case["text"][start:end] for start, end in urls(case["text"])])
        != [url["url"] if isinstance(url, dict) else url for url in case["expected"]]
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", 0),
        ("hello", 5),
        ("e\u0301", 1),  # NFC makes it one code point
        ("日本語", 6),
        ("👍🏽", 2),
        ("🇫🇷🇩🇪", 4),
        ("👩‍❤️‍💋‍👨", 2),
        ("3️⃣ apples", 9),
        ("2 + 3 # 4", 9),  # digits are emoji only as keycaps
        ("see https://example.com/a/very/long/path?with=query, now", 4 + 23 + 5),
        ("example.com", 23),
        ("Wait...what", 11),
        ("mail jo@example.com", 19),
    ],
)
def test_a_text_has_its_length(text: str, length: int) -> None:
    assert weighted_length(text) == length


@given(st.text(alphabet="ab.-_/:@あ。 htps#$?é👍\u200d", max_size=60))
def test_urls_stand_in_order_and_hold_no_blank(text: str) -> None:
    end = 0
    for begins, ends in urls(text):
        assert end <= begins < ends <= len(text)
        assert " " not in text[begins:ends]
        end = ends


@given(st.text(), st.text())
def test_texts_on_two_lines_are_as_long_as_both_and_the_line_break(one: str, other: str) -> None:
    assert weighted_length(f"{one}\n{other}") == weighted_length(one) + 1 + weighted_length(other)


@pytest.mark.parametrize(
    "text",
    ["a." * 6_000 + "x", "あ" * 12_000 + ".", "a-" * 6_000 + ".", "http://a.com/" + "(a(a)" * 2_400, "a.a.あ." * 1_700],
)
def test_a_hostile_text_takes_no_long_time(text: str) -> None:
    began = time.perf_counter()
    weighted_length(text)
    assert time.perf_counter() - began < 2
