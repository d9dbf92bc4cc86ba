"""The outbox says each cause once per account, one at a time, and never loses track of what may have gone out."""

import sqlite3

import pytest
import sqlite_utils

from bot.domain import Post, PostState
from bot.store import feed, outbox
from bot.store.migrations import migrations

PLATFORMS = ("local", "x")


@pytest.fixture
def db() -> sqlite_utils.Database:
    opened = sqlite_utils.Database(sqlite3.connect(":memory:"))
    migrations.apply(opened)
    return opened


def add(
    db: sqlite_utils.Database, cause: str = "a", account: str = "feed", due: int = 100, expires: int = 10_000
) -> Post:
    return outbox.add(db, "local", account, cause, {"seed": 1}, f"text {cause}", due, expires, now=50)


def claim(db: sqlite_utils.Database, now: int = 100) -> Post | None:
    return outbox.claim(db, PLATFORMS, now)


def state(db: sqlite_utils.Database, post: Post) -> PostState:
    return PostState(db.execute("SELECT state FROM outbox WHERE id = ?", [post.id]).fetchone()[0])


def test_a_cause_is_queued_once_per_account(db: sqlite_utils.Database) -> None:
    first = add(db)
    assert add(db) == first
    assert add(db, account="other").id != first.id
    assert first.cause == {"seed": 1}
    assert [post.id for post in outbox.every(db)] == sorted((p.id for p in outbox.every(db)), reverse=True)


def test_ids_are_ulids_in_order_of_time() -> None:
    ids = [outbox.new_id(now, "local", "feed", "a") for now in (0, 1, 1_700_000_000_000, 1_700_000_000_001)]
    assert ids == sorted(ids)
    assert ids[2][:10] == "01HF7YAT00"  # 2023-11-14T22:13:20.000Z, as the specification's encoding gives it
    assert {len(id) for id in ids} == {26}
    assert len({outbox.new_id(5, "local", "feed", str(n)) for n in range(1000)}) == 1000


def test_a_claim_takes_what_is_due_first(db: sqlite_utils.Database) -> None:
    late, early = add(db, "late", due=90), add(db, "early", account="other", due=80)
    assert claim(db, now=79) is None
    assert claim(db, now=100).id == early.id  # type: ignore[union-attr]
    taken = claim(db, now=100)
    assert taken is not None
    assert (taken.id, taken.state, taken.attempts) == (late.id, PostState.SENDING, 1)
    assert claim(db) is None


def test_only_platforms_that_can_speak_are_claimed(db: sqlite_utils.Database) -> None:
    add(db)
    assert outbox.claim(db, ("x",), 100) is None
    assert outbox.claim(db, (), 100) is None


@pytest.mark.parametrize("unsettled", ["sending", "unknown"])
def test_an_account_says_nothing_else_while_something_is_unsettled(db: sqlite_utils.Database, unsettled: str) -> None:
    first = add(db, "first", due=10)
    add(db, "second", due=20)
    other = add(db, "other", account="other", due=30)
    assert claim(db).id == first.id  # type: ignore[union-attr]
    if unsettled == "unknown":
        outbox.unknown(db, first.id, "timeout", now=110)
    assert claim(db).id == other.id  # type: ignore[union-attr]
    assert claim(db) is None
    outbox.posted(db, first.id, "r1", now=120)
    assert claim(db) is not None


def test_what_waits_for_another_post_does_not_wake_anybody(db: sqlite_utils.Database) -> None:
    first = add(db, "first", due=10)
    add(db, "second", due=20)
    assert outbox.earliest(db, PLATFORMS) == 10
    assert outbox.earliest(db) == 10
    assert outbox.earliest(db, ("x",)) is None
    claim(db)
    assert outbox.earliest(db, PLATFORMS) is None
    outbox.unknown(db, first.id, "timeout", now=110)
    assert outbox.earliest(db, PLATFORMS) == 110 + outbox.FIRST_LOOK_MS
    outbox.posted(db, first.id, "r1", now=120)
    assert outbox.earliest(db, PLATFORMS) == 20


def test_the_database_itself_refuses_two_sendings_of_an_account(db: sqlite_utils.Database) -> None:
    add(db, "first"), add(db, "second")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("UPDATE outbox SET state = 'sending'")


def test_a_requeued_post_waits_and_keeps_its_text(db: sqlite_utils.Database) -> None:
    post = add(db)
    claim(db)
    outbox.requeue(db, post.id, "no route", not_before=5_000, now=110)
    assert claim(db, now=4_999) is None
    assert outbox.earliest(db, PLATFORMS) == 5_000
    again = claim(db, now=5_000)
    assert again is not None
    assert (again.text, again.attempts, again.id) == (post.text, 2, post.id)


def test_expiry_is_missed_unless_it_may_have_gone_out(db: sqlite_utils.Database) -> None:
    plain, doubtful = add(db, "plain"), add(db, "doubtful", account="other")
    claim(db), claim(db)
    outbox.requeue(db, plain.id, "no route", 100, now=110)
    outbox.unknown(db, doubtful.id, "timeout", now=110)
    outbox.requeue(db, doubtful.id, "it did not arrive", 100, now=120)
    assert claim(db, now=10_000) is None
    assert {post.id for post in outbox.expire(db, now=10_000)} == {plain.id, doubtful.id}
    assert (state(db, plain), state(db, doubtful)) == (PostState.MISSED, PostState.REVIEW)


def test_a_refusal_is_final_unless_an_earlier_attempt_may_have_gone_out(db: sqlite_utils.Database) -> None:
    plain, doubtful = add(db, "plain"), add(db, "doubtful", account="other")
    outbox.unknown(db, doubtful.id, "timeout", now=90)
    assert outbox.reject(db, plain.id, "too long", now=110).state is PostState.REJECTED
    assert outbox.reject(db, doubtful.id, "duplicate", now=110).state is PostState.REVIEW


def test_at_start_up_what_was_being_sent_is_unknown_and_looked_up_at_once(db: sqlite_utils.Database) -> None:
    post = add(db)
    claim(db)
    assert [found.id for found in outbox.recover(db, now=200)] == [post.id]
    assert [(found.id, looks) for found, looks in outbox.unknowns(db, PLATFORMS, now=200)] == [(post.id, 0)]
    assert outbox.recover(db, now=201) == []
    outbox.looked(db, post.id, "503", not_before=300, now=210)
    assert outbox.unknowns(db, PLATFORMS, now=299) == []
    assert [looks for _, looks in outbox.unknowns(db, PLATFORMS, now=300)] == [1]


def test_what_has_ended_does_not_change_any_more(db: sqlite_utils.Database) -> None:
    post = add(db)
    claim(db)
    assert outbox.posted(db, post.id, "r1", now=120).remote_id == "r1"
    for change in (outbox.unknown, outbox.reject, outbox.review):
        with pytest.raises(LookupError):
            change(db, post.id, "no", now=130)
    assert outbox.expire(db, now=99_999) == outbox.recover(db, now=99_999) == []
    assert state(db, post) is PostState.POSTED


def test_one_remote_id_is_never_two_posts(db: sqlite_utils.Database) -> None:
    first, second = add(db, "first"), add(db, "second")
    outbox.posted(db, first.id, "r1", now=120)
    assert outbox.posted(db, second.id, "r1", now=130).state is PostState.REVIEW


def test_removing_a_cause_cancels_what_is_not_yet_said(db: sqlite_utils.Database) -> None:
    mine, said, similar = add(db, "schedule:1:a"), add(db, "schedule:1:b"), add(db, "schedule:11:a")
    outbox.posted(db, said.id, "r1", now=120)
    assert [post.id for post in outbox.cancel_cause(db, "schedule:1:", "removed", now=130)] == [mine.id]
    assert [state(db, post) for post in (mine, said, similar)] == ["cancelled", "posted", "queued"]


def test_every_change_is_in_the_log(db: sqlite_utils.Database) -> None:
    post = add(db)
    claim(db, now=100)
    outbox.unknown(db, post.id, "timeout", now=110)
    outbox.requeue(db, post.id, "it did not arrive", 120, now=120)
    claim(db, now=130)
    outbox.posted(db, post.id, "r1", now=140)
    changes = db.execute("SELECT at, state, detail FROM outbox_log WHERE outbox_id = ? ORDER BY id", [post.id])
    assert changes.fetchall() == [
        (50, "queued", None), (100, "sending", "attempt 1"), (110, "unknown", "timeout"),
        (120, "queued", "it did not arrive"), (130, "sending", "attempt 2"), (140, "posted", None)]  # fmt: skip


def test_the_feed_publishes_a_post_once(db: sqlite_utils.Database) -> None:
    first = feed.publish(db, "A", "jo", "hello", now=1)
    assert feed.publish(db, "A", "jo", "hello", now=2) == first
    second = feed.publish(db, "B", "jo", "again", now=3)
    assert feed.find(db, "B").id == second  # type: ignore[union-attr]
    assert feed.find(db, "C") is None
    assert db.execute("SELECT id, outbox_id FROM feed ORDER BY id").fetchall() == [(first, "A"), (second, "B")]
