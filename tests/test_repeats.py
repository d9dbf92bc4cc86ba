"""What readers would take for a repetition is recognised, and nothing else."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import ModerationSettings
from bot.moderation import Moderator, Repeats
from tests.factories import sentences

SAID = "The kettle sang all night and nobody in the harbour slept."


def hold(text: str, *said: str, prompt: str = "") -> bool:
    return Repeats({str(number): other for number, other in enumerate(said)}).hold(text, prompt)


@pytest.mark.parametrize(
    "text",
    [
        SAID,
        "the KETTLE sang... all night, and nobody in the harbour slept!!! 🫖",
        "The kettle sang all night\n\nand nobody in the harbour slept https://t.co/abc",
        "The kettle sang all night and nobody in the village slept.",
        "Again: the kettle sang all night and nobody in the harbour slept. Sorry.",
        "The kettle sang all night and nobody slept.",
        "Nobody in the harbour slept and the kettle sang all night.",
    ],
)
def test_most_of_the_words_in_the_same_order_are_a_repetition(text: str) -> None:
    assert hold(text, "Bread is patience.", SAID)
    judge = Moderator.of(ModerationSettings())
    assert judge.judge(text, "", None, recent=Repeats({"a": SAID})).reasons[:1] == ("repeats",)
    assert "repeats" not in judge.judge(text, "", None).reasons


@pytest.mark.parametrize(
    "text",
    [
        "The kettle sang all night and then we all went home to bed.",
        "The kettle sang, so I made tea for everyone on the boat.",
        "Nobody slept. The harbour was all kettles and night, in a way.",
        "slept harbour the in nobody and night all sang kettle the",
        "all night",
        "",
        "🫖",
    ],
)
def test_other_words_or_another_order_are_none(text: str) -> None:
    assert not hold(text, SAID)


def test_short_texts_repeat_only_the_same_words() -> None:
    assert hold("good morning!", "Good  morning 🌞")
    assert not hold("good morning everyone", "good morning")
    assert not hold("2 days ago", "3 days ago")
    assert hold("🌞🌞", "🌞")
    assert not hold("🌞🌞", "🌚")
    assert hold("…!", "…!!")
    assert not hold("…!", "good morning")


def test_letters_of_scripts_without_blanks_count_half() -> None:
    said = "昨日の夜はやかんがずっと歌っていて誰も眠れなかった"
    assert hold("昨日の夜はやかんがずっと歌っていて誰も眠れなかったよ", said)
    assert hold("昨日の夜はやかんがずっと歌っていて僕も眠れなかった", said)
    assert not hold("昨日の夜はパンを焼いた", said)
    assert not hold("おはよう!みんな", "おはよう")


def test_what_the_prompt_says_counts_for_neither_text() -> None:
    prompt = "Thought of the day from the lighthouse keeper of this town:"
    said, other, same = (f"{prompt} {end}" for end in ("gulls never pay rent.", "bring two coats.", "gulls never pay!"))
    assert hold(other, said)
    assert not hold(other, said, prompt=prompt)
    assert hold(same, said, prompt=prompt)
    assert hold(said.upper(), said, prompt=prompt)


def test_what_is_no_longer_recent_is_forgotten_and_what_was_edited_is_replaced() -> None:
    other = "Every fox in this town owes me at least one umbrella by now."
    recent = Repeats({"1": SAID, "2": SAID, "3": other})
    recent.keep({"2": SAID, "3": other})
    assert len(recent) == 2
    assert recent.hold(SAID)
    assert recent.hold(other)
    recent.keep({"2": other})
    assert not recent.hold(SAID)
    assert recent.hold(other)
    recent.keep({})
    assert len(recent) == 0
    assert not recent.hold(other)


@given(texts=st.lists(st.text(max_size=60), max_size=8), kept=st.sets(st.integers(0, 7)))
def test_a_kept_index_says_what_a_new_one_would(texts: list[str], kept: set[int]) -> None:
    every = {str(number): text for number, text in enumerate(texts)}
    some = {number: text for number, text in every.items() if int(number) in kept}
    recent = Repeats(every)
    recent.keep(some)
    for text in texts:
        assert recent.hold(text) == Repeats(some).hold(text)
    assert all(recent.hold(text) for text in some.values())


def test_a_thousand_recent_posts_are_looked_through_in_under_a_millisecond() -> None:
    recent = Repeats({str(number): text for number, text in enumerate(sentences(1_000, 1, 8, 30))})
    texts = sentences(200, 2, 8, 30)
    spent = []
    for text in texts:
        begin = time.perf_counter()
        recent.hold(text)
        spent.append(time.perf_counter() - begin)
    assert sorted(spent)[len(spent) // 2] < 0.001
