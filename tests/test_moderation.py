"""Moderation refuses what it should, for the reasons it should, and leaves ordinary sentences alone."""

import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.config import ModerationSettings
from bot.errors import BadConfig
from bot.moderation import Moderator, Repeats, ShingleIndex

TWEET = "The sourdough starter died again, and I don't know how to tell my mother about it."
OTHER = "Every lighthouse keeper I ever met was afraid of the dark but never said so aloud."


def moderator(**settings: Any) -> Moderator:
    return Moderator.of(ModerationSettings(**settings))


def with_block_list(folder: Path, content: str) -> Moderator:
    file = folder / "block.txt"
    file.write_text(content, "utf-8")
    return moderator(block_list=str(file))


def reasons(text: str, prompt: str = "", sources: ShingleIndex | None = None, **settings: Any) -> tuple[str, ...]:
    return moderator(**settings).judge(text, prompt, sources).reasons


# --- All together -----------------------------------------------------------------------------------------------------


def test_an_ordinary_text_is_accepted() -> None:
    verdict = moderator().judge("Bread is just patience with salt in it.", "Bread is", ShingleIndex([TWEET]))
    assert verdict.reasons == ()
    assert verdict.accepted


def test_all_reasons_are_given_in_their_order() -> None:
    text = f"@someone nigger {TWEET} jo@example.com https://example.com {'x' * 280}"
    assert reasons(text, sources=ShingleIndex([TWEET])) == (
        "blocked",
        "verbatim",
        "personal data",
        "mention",
        "link",
        "too long",
    )
    assert reasons("… ") == ("empty",)


def test_a_reply_that_repeats_eight_words_of_its_message_is_refused() -> None:
    judge = moderator()
    assert judge.judge(f"ha, {OTHER.lower()}", "", None, OTHER).reasons == ("echo",)
    assert judge.judge("Every lighthouse keeper I ever met was brave.", "", None, OTHER).reasons == ()
    assert judge.judge(f"{OTHER} Indeed.", OTHER, None, OTHER).reasons == ()
    assert judge.judge(OTHER, "", None).reasons == ()


def test_a_prompt_is_judged_by_block_list_and_personal_data_only() -> None:
    assert moderator().judge_prompt(f"@someone https://example.com {'x' * 300}").reasons == ()
    assert moderator().judge_prompt("").reasons == ()
    assert moderator().judge_prompt("nigger jo@example.com").reasons == ("blocked", "personal data")


def test_a_text_of_a_person_may_say_what_its_prompt_says_but_is_bound_by_the_settings() -> None:
    judge = moderator(max_length=20)
    assert judge.judge("the gull", "the gull", None).reasons == ("empty",)
    assert judge.judge_text("the gull", "the gull").accepted
    assert judge.judge_text("@jo the gull", "@jo").accepted
    assert judge.judge_text("@jo the gull").reasons == ("mention",)
    assert judge.judge_text(" … ").reasons == ("empty",)


def test_every_reason_has_words_for_people() -> None:
    judge = moderator(max_length=280).banning(["Periwinkle"])
    text = f"@jo periwinkle jo@example.com https://example.com {'x' * 300}"
    verdict = judge.judge_text(text)
    assert verdict.reasons == ("blocked", "personal data", "mention", "link", "too long")
    assert judge.in_words(verdict, text) == (
        "it holds a blocked or banned phrase",
        "it holds a mail address or telephone number",
        "it mentions somebody, which moderation.allow_mentions does not allow",
        "it holds a link, which moderation.allow_links does not allow",
        "it is 354 characters long, counted the way X does, and 280 are allowed",
    )
    sources, recent = ShingleIndex([TWEET, OTHER]), Repeats({"a": OTHER})
    verdict = judge.judge(OTHER, "", sources, OTHER, recent)
    assert verdict.reasons == ("verbatim", "echo", "repeats")
    assert len(judge.in_words(verdict, OTHER)) == 3
    assert judge.in_words(judge.judge_text(""), "") == ("it says nothing",)


def test_banned_phrases_replace_those_before_and_leave_the_block_list() -> None:
    judge = moderator().banning(["periwinkle"]).banning(["kettle"])
    assert judge.forbids("a periwinkle") is None
    assert judge.forbids("a k3ttle") == judge.forbids("nigger") == "it holds a blocked or banned phrase"
    assert judge.judge_prompt("kettles and a kettle").reasons == ("blocked",)


@pytest.mark.parametrize(("phrase", "text"), [("やかん", "昨日はやかんが歌った"), ("猫 カフェ", "その猫カフェで")])
def test_a_phrase_without_blanks_between_words_is_found_anywhere(phrase: str, text: str) -> None:
    assert moderator().banning([phrase]).forbids(text) is not None
    assert moderator().banning([phrase]).forbids("昨日はパンを焼いた") is None


@given(text=st.text(), prompt=st.text())
def test_any_text_gets_the_same_verdict_twice(text: str, prompt: str) -> None:
    judge, sources = moderator(), ShingleIndex([text])
    first, again = (judge.judge(prompt + text, prompt, sources) for _ in range(2))
    assert first == again
    assert judge.judge_prompt(prompt) == judge.judge_prompt(prompt)


@pytest.mark.parametrize(
    "text",
    [
        "1 " * 6_000,
        "01 " * 4_000,
        "a." * 6_000,
        "a@" * 6_000,
        "@" * 12_000,
        "a [at] " * 2_000,
        "$a " * 4_000,
        "+1" * 6_000,
    ],
)
def test_a_hostile_text_takes_no_long_time(text: str) -> None:
    judge = moderator()
    began = time.perf_counter()
    judge.judge(text, "", ShingleIndex([text]))
    assert time.perf_counter() - began < 2


# --- The block list ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "you nigger",
        "NIGGER!",
        "n1gg3r",
        "N\u200bigg\u00ader",
        "ｎｉｇｇｅｒ",
        "n̷i̷g̷g̷e̷r",
        "niiiigggger",
        "niggerrrrr",
        "n i g g e r",
        "n.i.g.g.e.r",
        "n_i_g_g_e_r",
        "@nigger",
        "#nigger",
        "f@gg0t",
        "r@ghe@d",
        "5pic$",
        "porch monkey",
        "porch\nmonkeys",
        "Porch-M0nkey",
    ],
)
def test_a_slur_is_blocked_through_the_usual_disguises(text: str) -> None:
    assert "blocked" in reasons(text)


@pytest.mark.parametrize(
    "text",
    [
        "Scunthorpe, Penistone and Lightwater",
        "Nigeria borders Niger, and the Nigerrr joke is old",
        "she sniggered niggardly",
        "spice, spick and span, auspices, 5 spices, 5p1ce",
        "cocoon, raccoons, Maine Coon, tycoons",
        "a chink in the armour",
        "Kike Hernández at bat",
        "kaffir lime leaves",
        "gobbledygook",
        "Pakistan",
        "the monkey on the porch",
        "the porch. A monkey.",
        "assassin, classic, Essex, Sussex, cockpit, Dickens, shiitake",
        "a b c d e f g",
        "I am a b 1 2 3",
    ],
)
def test_innocent_words_are_not_blocked(text: str) -> None:
    assert "blocked" not in reasons(text)


def test_the_users_words_and_phrases_are_added_to_the_built_in_ones(tmp_path: Path) -> None:
    judge = with_block_list(tmp_path, "# my list\n\nMoist\nsour  dough\n  Straße \nbook\n455\n")
    assert judge.judge("how moist it is", "", None).reasons == ("blocked",)
    assert judge.judge("SOUR dough", "", None).reasons == ("blocked",)
    assert judge.judge("die STRASSE", "", None).reasons == ("blocked",)
    assert judge.judge("a boooook", "", None).reasons == ("blocked",)
    assert judge.judge("a nigger", "", None).reasons == ("blocked",)
    assert judge.judge("my list: moisture, sourdough, dough sour, a bok", "", None).reasons == ()


def test_a_doubled_letter_is_spelling_and_a_trebled_one_is_stretching(tmp_path: Path) -> None:
    judge = with_block_list(tmp_path, "bok")
    assert judge.judge("a book", "", None).reasons == ()
    assert judge.judge("a boook", "", None).reasons == ("blocked",)


def test_numbers_are_not_read_as_letters(tmp_path: Path) -> None:
    judge = with_block_list(tmp_path, "ass\nso\n")
    assert judge.judge("455 people at 50 degrees", "", None).reasons == ()
    assert judge.judge("what an a55", "", None).reasons == ("blocked",)


def test_a_missing_or_unreadable_block_list_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"moderation\.block_list: the file .*nowhere.* cannot be read"):
        moderator(block_list=str(tmp_path / "nowhere.txt"))
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(BadConfig, match="not UTF-8"):
        moderator(block_list=str(tmp_path / "latin.txt"))


def test_the_built_in_list_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert moderator().judge_prompt("nigger").reasons == ("blocked",)


@given(st.text(alphabet="niger1@$ g.-_\u200b"), st.sampled_from(["moist", "sour dough"]))
def test_a_blocked_phrase_is_found_in_any_surroundings(
    tmp_path_factory: pytest.TempPathFactory, around: str, phrase: str
) -> None:
    judge = with_block_list(tmp_path_factory.getbasetemp(), phrase)
    assert "blocked" in judge.judge_prompt(f"{around} / {phrase} / {around}").reasons


# --- Verbatim copies --------------------------------------------------------------------------------------------------


def test_eight_words_in_a_row_are_a_copy_and_seven_are_not() -> None:
    sources = ShingleIndex([TWEET])
    assert reasons("so the sourdough starter died again and i dont KNOW", sources=sources) == ("verbatim",)
    assert reasons("so sourdough starter died again and i dont care", sources=sources) == ()


def test_the_number_of_words_is_a_choice() -> None:
    assert reasons("the sourdough starter lives", sources=ShingleIndex([TWEET], words=3)) == ("verbatim",)
    assert reasons("the sourdough starter lives", sources=ShingleIndex([TWEET], words=4)) == ()
    with pytest.raises(ValueError, match="at least one word"):
        ShingleIndex([TWEET], words=0)


def test_a_run_over_two_tweets_is_no_copy() -> None:
    sources = ShingleIndex(["one two three four five", "six seven eight nine ten"])
    assert reasons("one two three four five six seven eight nine ten", sources=sources) == ()


def test_the_words_of_the_prompt_do_not_count() -> None:
    sources = ShingleIndex(["one two three four five six seven eight nine"])
    full = "one two three four five six seven eight nine"
    assert reasons(full, prompt="one", sources=sources) == ("verbatim",)
    assert reasons(full, prompt="one two", sources=sources) == ()
    assert reasons(full, prompt="one two three four five six seven eight", sources=sources) == ()


def test_a_word_that_the_prompt_only_begins_counts_as_generated() -> None:
    sources = ShingleIndex(["one two three four five six seven eight nine"])
    full = "one two three four five six seven eight nine"
    assert reasons(full, prompt="one tw", sources=sources) == ("verbatim",)
    assert reasons(full, prompt="one two ", sources=sources) == ()


def test_a_text_that_does_not_begin_with_its_prompt_counts_whole() -> None:
    sources = ShingleIndex(["one two three four five six seven eight"])
    assert reasons("one two three four five six seven eight", prompt="zero", sources=sources) == ("verbatim",)


def test_in_scripts_without_blanks_two_letters_count_as_a_word() -> None:
    sources = ShingleIndex(["今日はとても天気がいいので散歩に行きました。"])
    assert reasons("昨日はとても天気がいいので散歩に行くよ", sources=sources) == ("verbatim",)
    assert reasons("今日はとても天気がいいから寝ていた", sources=sources) == ()


def test_an_index_does_not_depend_on_the_order_and_forgets_doubles() -> None:
    tweets = [f"{number} {TWEET} {number}" for number in range(50)]
    shuffled = tweets * 2
    random.Random(1).shuffle(shuffled)
    one, other = ShingleIndex(tweets), ShingleIndex(shuffled)
    assert len(one) == len(other) > 100
    assert one.holds_run_of(TWEET)
    assert other.holds_run_of(TWEET)
    assert not one.holds_run_of(OTHER)
    assert not ShingleIndex([]).holds_run_of(TWEET)


@given(
    st.lists(st.sampled_from(["a", "b", "c", "it's", "d,", "E!"]), max_size=30), st.integers(0, 30), st.integers(0, 30)
)
def test_every_run_of_a_tweet_is_found_and_no_other(words: list[str], start: int, length: int) -> None:
    sources, run = ShingleIndex([" ".join(words)], words=4), words[start : start + length]
    assert sources.holds_run_of(" ".join(run)) == (len(run) >= 4)
    assert not sources.holds_run_of(" z ".join(words))


# --- Personal data ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "mail me: jo.b+x@example.co.uk",
        "jo [at] example [dot] com",
        "jo at gmail dot com",
        "ｊｏ＠example.com",
        "+49 (0)30 901820",
        "+1-212-555-0123",
        "call (212) 555-0123",
        "212.555.0123",
        "2125550123",
        "1-800-273-8255",
        "06 12 34 56 78",
        "07911 123456",
        "0151/23456789",
        "(020) 7946 0958",
        "call me at 555-0123",
        "98765 43210",
        "0044 20 7946 0958",
        "tel:+4915123456789",
    ],
)
def test_addresses_and_numbers_to_call_are_personal_data(text: str) -> None:
    assert "personal data" in reasons(text)
    assert "personal data" in reasons(f"Hi, {text}. Bye")


@pytest.mark.parametrize(
    "text",
    [
        "in 2019 and 2020-2021",
        "1999-2004",
        "text 1984",
        "$1,299.99",
        "£2125550123",
        "1,000,000 views",
        "8.045.311.447 people",
        "10 000 000 000",
        "at 08:30-10:45, 19:30 - 21:45",
        "on 01.02.2023 10:30",
        "2023-01-02 10:30:00",
        "12/25/2024 18:00",
        "01/02/2023 - 03/04/2023",
        "6-4 7-5 6-4",
        "0-6 6-0 7-5 6-4 6-4",
        "won 3-2, 110-98",
        "+10000000 aura",
        "3.14159265358979",
        "1700000000",
        "100 200 3000",
        "192.168.100.200",
        "call of duty 2019-2020",
        "007",
        "v1.2.3, 99.99%, 24/7 365, 50-50",
        "07a1b2c3d4e5f6g7",
        "ISBN 978-3-16-148410-0",
        "@home at 5",
        "@user@mastodon.social",
        "I was @ the store.com",
        "look at the dot com boom",
    ],
)
def test_years_scores_prices_and_times_are_not_personal_data(text: str) -> None:
    assert "personal data" not in reasons(text)


# --- Mentions and links -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["@jo hi", "hi @Jo!", "(@jo)", "＠jo", ".@jo", "@everyone", "<@12345>", "<@&12345>"])
def test_a_mention_is_refused_unless_allowed(text: str) -> None:
    assert reasons(text) == ("mention",)
    assert reasons(text, allow_mentions=True) == ()


@pytest.mark.parametrize("text", ["5 @ 3", "@_@ so tired", "jo@example.com", "@", "c@t"])
def test_not_every_at_sign_is_a_mention(text: str) -> None:
    assert "mention" not in reasons(text)


def test_a_mention_of_the_prompt_may_come_again_but_not_grow() -> None:
    assert reasons("@Jo is right, @jo", prompt="@Jo is") == ()
    assert reasons("@john is right", prompt="@jo") == ("mention",)
    assert reasons("@jo and @kim", prompt="@jo and") == ("mention",)


@pytest.mark.parametrize(
    "text",
    [
        "see https://example.com/x",
        "HTTP://192.168.0.1/x",
        "www.example.photography",
        "bit.ly/abc",
        "example.com",
        "example.co.uk/x",
        "discord.gg/abc",
        "ftp://example.com",
        "mailto:someone",
        "これはexample.com/xです",
    ],
)
def test_a_link_is_refused_unless_allowed(text: str) -> None:
    assert reasons(text) == ("link",)
    assert reasons(text, allow_links=True) == ()


@pytest.mark.parametrize(
    "text", ["the end.it was fun", "and/or", "node.js", "3.5/5", "e.g. this", "wwww.hat", "ratio 1:2"]
)
def test_not_every_dot_or_slash_is_a_link(text: str) -> None:
    assert reasons(text) == ()


def test_a_link_of_the_prompt_may_come_again_but_not_grow() -> None:
    assert reasons("https://example.com/a is it. https://example.com/a.", prompt="https://example.com/a is") == ()
    assert reasons("https://example.com/abc", prompt="https://example.com/a") == ("link",)
    assert reasons("https://example.com/a bit.ly/b", prompt="https://example.com/a") == ("link",)


# --- Length and substance ---------------------------------------------------------------------------------------------


def test_the_length_is_counted_the_way_x_counts() -> None:
    assert reasons("x" * 280) == ()
    assert reasons("x" * 281) == ("too long",)
    assert reasons("日" * 141) == ("too long",)
    assert reasons("👩‍❤️‍💋‍👨" * 140) == ()
    assert reasons("x" * 281, max_length=281) == ()


@pytest.mark.parametrize(
    ("text", "prompt"), [("", ""), (" \n", ""), ("…!?", ""), ("Bread is", "Bread is"), ("Hi!", "Hi")]
)
def test_a_text_that_says_nothing_beyond_its_prompt_is_empty(text: str, prompt: str) -> None:
    assert reasons(text, prompt) == ("empty",)


@pytest.mark.parametrize("text", ["Bread is 7", "Bread is é", "Bread is 🍞", "Bread is 🇫🇷", "Bread is 日"])
def test_a_letter_a_digit_or_an_emoji_is_enough(text: str) -> None:
    assert reasons(text, "Bread is") == ()
