"""A timeline holds each tweet once, in its longest known form."""

import sqlite3
from collections.abc import Callable

import pytest
import sqlite_utils
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.store import timelines
from bot.store.migrations import migrations
from training import timeline
from training.timeline import Counts, Tweet


@pytest.fixture
def db() -> sqlite_utils.Database:
    return fresh()


def fresh() -> sqlite_utils.Database:
    opened = sqlite_utils.Database(sqlite3.connect(":memory:"))
    opened.execute("PRAGMA foreign_keys = ON")
    migrations.apply(opened)
    opened.execute("BEGIN")
    return opened


def tweet(id: str = "1", text: str = "one two three", at: int | None = None, **more: object) -> Tweet:
    return Tweet(id, text, at, "Jo", **more)  # type: ignore[arg-type]


def test_holding_the_same_tweets_again_changes_nothing(db: sqlite_utils.Database) -> None:
    some = [tweet("1"), tweet("2"), tweet("2")]
    assert timelines.hold(db, "Jo", "Jo March", some, now=1) == 2
    held = timelines.tweets(db, "jo")
    assert timelines.hold(db, "@JO", None, some, now=2) == 0
    assert timelines.tweets(db, "Jo") == held
    assert timelines.handles(db) == ["Jo"]
    assert timelines.spelled(db, " @jO ") == "Jo"


def test_nothing_held_is_not_an_empty_timeline(db: sqlite_utils.Database) -> None:
    assert timelines.counts(db, "jo") is None
    assert timelines.spelled(db, "jo") is None
    assert timelines.tweets(db, "jo") == []
    timelines.hold(db, "jo", None, [], now=1)
    assert timelines.counts(db, "jo") == Counts(0, 0, 0, 0)


def test_a_longer_text_replaces_the_shorter_one_and_is_not_new(db: sqlite_utils.Database) -> None:
    timelines.hold(db, "jo", None, [tweet("1", "too short", at=5)], now=1)
    assert timelines.counts(db, "jo") == Counts(1, 0, 1, 0)
    assert timelines.hold(db, "jo", None, [tweet("1", "too short to be cut off here", lang="en")], now=2) == 0
    assert timelines.hold(db, "jo", None, [tweet("1", "too short to be")], now=3) == 0
    (found,) = timelines.tweets(db, "jo")
    assert (found.text, found.created_at, found.lang) == ("too short to be cut off here", 5, "en")
    assert timelines.counts(db, "jo") == Counts(1, 0, 0, 1)


def test_retweets_are_counted_but_not_given(db: sqlite_utils.Database) -> None:
    timelines.hold(db, "jo", None, [tweet("1"), tweet("2", "RT @a: b c d", is_retweet=True), tweet("3", "hi")], now=1)
    assert timelines.counts(db, "jo") == Counts(downloaded=3, retweets=1, short=1, kept=1)
    assert [found.id for found in timelines.tweets(db, "jo")] == ["1", "3"]


def test_tweets_come_oldest_first_and_by_number_at_the_same_time(db: sqlite_utils.Database) -> None:
    some = [tweet("100", at=7), tweet("99", at=7), tweet("3", at=9), tweet("4", at=2)]
    timelines.hold(db, "jo", None, some, now=1)
    assert [found.id for found in timelines.tweets(db, "jo")] == ["4", "99", "100", "3"]


def test_the_display_name_is_kept_renewed_and_otherwise_the_tweets(db: sqlite_utils.Database) -> None:
    def name(display_name: str | None, *some: Tweet) -> str | None:
        timelines.hold(db, "jo", display_name, some, now=1)
        return timelines.tweets(db, "jo")[0].display_name

    assert name(None, tweet("1", display_name="From the file")) == "From the file"
    assert name(None, tweet("1")) == "From the file"
    assert name("Given", tweet("1", display_name="From the file")) == "Given"


def test_many_tweets_stream_through_in_batches(db: sqlite_utils.Database) -> None:
    assert timelines.hold(db, "jo", None, (tweet(str(n)) for n in range(1, 2002)), now=1) == 2001


@pytest.mark.parametrize("text", ["half \ud83d an emoji", "\udc00", "nul \0 inside", "👩‍👩‍👧 ok fine"])
def test_any_text_that_json_can_spell_is_held(db: sqlite_utils.Database, text: str) -> None:
    timelines.hold(db, "jo", None, [tweet("1", text)], now=1)
    assert timelines.tweets(db, "jo")[0].text == "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


def test_what_a_reply_answers_is_found_in_any_timeline_but_is_no_retweet(db: sqlite_utils.Database) -> None:
    own = [tweet("1", "how many loaves"), tweet("2", "seven of them", reply_to="1"), tweet("3", "ok", reply_to="20")]
    own += [tweet("4", "no", reply_to="21"), tweet("5", "gone", reply_to="99"), tweet("6", "RT @a: b", is_retweet=True)]
    timelines.hold(db, "jo", None, [*own, tweet("7", "so it is", reply_to="6")], now=1)
    others = [tweet("1", "not this one"), tweet("20", "shall we"), tweet("21", "RT @b: c", is_retweet=True)]
    timelines.hold(db, "al", None, [*others, tweet("22", "yes", reply_to="2")], now=1)
    assert timelines.answered(db, "@JO") == {"1": "how many loaves", "20": "shall we"}
    assert timelines.answered(db, "al") == {"2": "seven of them"}
    assert timelines.answered(db, "nobody") == {}


TEXTS = st.text(alphabet=st.sampled_from("ab @#\n"), max_size=12)
TWEETS = st.lists(
    st.builds(lambda id, text, rt: tweet(str(id), text, is_retweet=rt), st.integers(1, 8), TEXTS, st.booleans()),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(TWEETS, st.integers(0, 20), st.randoms(use_true_random=False))
def test_order_and_portions_of_an_import_do_not_matter(
    some: list[Tweet], cut: int, random: "Callable[[], float]"
) -> None:
    once, twice = fresh(), fresh()
    new = timelines.hold(once, "jo", None, some, now=1)
    shuffled = list(some)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    parts = timelines.hold(twice, "jo", None, shuffled[:cut], 1) + timelines.hold(twice, "jo", None, shuffled[cut:], 2)
    assert new == parts == len({found.id for found in some})
    assert [len(t.text) for t in timelines.tweets(once, "jo")] == [len(t.text) for t in timelines.tweets(twice, "jo")]
    counts = timelines.counts(once, "jo")
    assert counts is not None
    assert counts.downloaded == counts.retweets + counts.short + counts.kept == new


def test_counts_agree_with_the_readers_own(db: sqlite_utils.Database) -> None:
    some = [tweet("1"), tweet("2", "@a hi"), tweet("3", "https://t.co/x see this now ok"), tweet("4", is_retweet=True)]
    timelines.hold(db, "jo", None, some, now=1)
    assert timelines.counts(db, "jo") == timeline.count(some)
