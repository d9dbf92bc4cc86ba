"""No window of any length ever holds more than its limit, and what was surely not used is not counted."""

import sqlite3

import pytest
import sqlite_utils
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.store import ledger
from bot.store.ledger import DAY_MS, HOUR_MS, MONTH_MS, Limits, Wait
from bot.store.migrations import migrations

NOW = 10**12


def database() -> sqlite_utils.Database:
    opened = sqlite_utils.Database(sqlite3.connect(":memory:"))
    migrations.apply(opened)
    return opened


@pytest.fixture
def db() -> sqlite_utils.Database:
    return database()


def post(
    db: sqlite_utils.Database, limits: Limits, now: int, micros: int = 0, account: str = "me", key: str = "a"
) -> Wait | None:
    return ledger.reserve(db, limits, "x", account, "post", 1, micros, now, key)


def test_the_next_post_waits_until_the_oldest_one_leaves_the_window(db: sqlite_utils.Database) -> None:
    limits = Limits(posts_per_hour=2)
    assert post(db, limits, NOW) is None
    assert post(db, limits, NOW + 10) is None
    assert post(db, limits, NOW + 20) == Wait("posts_per_hour", HOUR_MS, NOW + HOUR_MS)
    assert post(db, limits, NOW + 20, account="another") is None
    assert post(db, limits, NOW + HOUR_MS - 1) is not None
    assert post(db, limits, NOW + HOUR_MS) is None
    assert post(db, limits, NOW + HOUR_MS) == Wait("posts_per_hour", HOUR_MS, NOW + 10 + HOUR_MS)


def test_of_several_limits_the_longest_wait_counts(db: sqlite_utils.Database) -> None:
    limits = Limits(posts_per_hour=1, posts_per_day=1)
    post(db, limits, NOW)
    assert post(db, limits, NOW + 1) == Wait("posts_per_day", DAY_MS, NOW + DAY_MS)


def test_posts_and_reads_are_paid_from_the_same_dollars(db: sqlite_utils.Database) -> None:
    limits = Limits(micros_per_day=30_000, reads_per_month=25)
    assert post(db, limits, NOW, micros=15_000) is None
    assert ledger.reserve(db, limits, "x", "me", "read", 10, 10_000, NOW + 1, "a") is None
    assert ledger.reserve(db, limits, "x", "me", "read", 10, 10_000, NOW + 2, "a") == Wait(
        "dollars_per_day", DAY_MS, NOW + DAY_MS
    )
    assert ledger.reserve(db, limits, "x", "me", "read", 10, 0, NOW + 2, "a") is None
    assert ledger.reserve(db, limits, "x", "me", "read", 10, 0, NOW + 3, "a") == Wait(
        "reads_per_month", MONTH_MS, NOW + 1 + MONTH_MS
    )
    assert ledger.used(db, "x", "me", NOW + 3) == {
        "posts_per_hour": 1, "posts_per_day": 1, "micros_per_day": 25_000, "reads_per_month": 20}  # fmt: skip


def test_what_alone_exceeds_a_limit_never_fits(db: sqlite_utils.Database) -> None:
    assert post(db, Limits(micros_per_day=100_000), NOW, micros=200_000) == Wait("dollars_per_day", DAY_MS, None)


def test_what_is_given_back_leaves_every_window_together_with_what_was_booked(db: sqlite_utils.Database) -> None:
    limits = Limits(posts_per_hour=1)
    post(db, limits, NOW, micros=5)
    ledger.give_back(db, "a")
    assert post(db, limits, NOW + HOUR_MS - 1) is None
    assert post(db, limits, NOW + HOUR_MS) is not None  # a negative row that outlived its positive one would allow it
    assert [row["count"] for row in ledger.of_post(db, "a")] == [1, -1, 1]


def test_what_no_window_reaches_is_forgotten(db: sqlite_utils.Database) -> None:
    for at in (NOW, NOW + 1):
        post(db, Limits(), at)
    ledger.prune(db, NOW + MONTH_MS)
    assert [row["at"] for row in ledger.of_post(db, "a")] == [NOW + 1]


def test_a_clock_set_back_frees_nothing(db: sqlite_utils.Database) -> None:
    limits = Limits(posts_per_day=1)
    post(db, limits, NOW)
    assert post(db, limits, NOW - 2 * DAY_MS) == Wait("posts_per_day", DAY_MS, NOW + DAY_MS)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, HOUR_MS), st.sampled_from([15, 200]), st.booleans()), max_size=30),
    st.integers(1, 3),
    st.integers(100, 600),
)
def test_no_window_holds_more_than_its_limit(steps: list[tuple[int, int, bool]], posts: int, micros: int) -> None:
    db, now, used = database(), NOW, []
    limits = Limits(posts_per_hour=posts, micros_per_day=micros)
    for number, (pause, price, is_sent) in enumerate(steps):
        now += pause
        wait = post(db, limits, now, price, key=str(number))
        if wait is None and is_sent:
            used.append((now, price))
        elif wait is None:
            ledger.give_back(db, str(number))
        elif wait.until is not None:  # exactly then, and no sooner, there is room
            now = wait.until
            assert post(db, limits, now - 1, price, key=f"{number} sooner") is not None
            assert post(db, limits, now, price, key=f"{number} then") is None
            used.append((now, price))
    for end, _ in used:
        assert sum(end - HOUR_MS < at <= end for at, _ in used) <= posts
        assert sum(price for at, price in used if end - DAY_MS < at <= end) <= micros
