"""The outbox says each cause once per account, one at a time, and never loses track of what may have gone out."""

import json
import sqlite3

import pytest
import sqlite_utils

from bot.domain import Capability, Found, Post, PostState, SaidAlready
from bot.store import accounts, claims, feed, ledger, outbox, places
from bot.store.ledger import Limits
from bot.store.migrations import migrations
from tests.threads import add_thread

PLATFORMS = {"local": Capability(searchable=True), "x": Capability(searchable=True)}


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
    return claims.claim(db, PLATFORMS, now)


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
    assert claims.claim(db, {"x": Capability()}, 100) is None
    assert claims.claim(db, {}, 100) is None


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
    assert outbox.earliest(db, ("x",)) == 10_000  # when they are too late, whoever could have said them
    claim(db)
    assert outbox.earliest(db, PLATFORMS) == 10_000
    outbox.unknown(db, first.id, "timeout", now=110)
    assert outbox.earliest(db, PLATFORMS) == 110 + outbox.FIRST_LOOK_MS
    outbox.posted(db, first.id, "r1", now=120)
    assert outbox.earliest(db, PLATFORMS) == 20


def test_the_database_itself_refuses_two_sendings_of_an_account(db: sqlite_utils.Database) -> None:
    add(db, "first"), add(db, "second")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute("UPDATE outbox SET state = 'sending'")


def test_a_post_that_was_not_sent_waits_and_keeps_its_text(db: sqlite_utils.Database) -> None:
    post = add(db)
    claim(db)
    outbox.not_sent(db, post.id, "no route", not_before=5_000, now=110)
    assert claim(db, now=4_999) is None
    assert outbox.earliest(db, PLATFORMS) == 5_000
    again = claim(db, now=5_000)
    assert again is not None
    assert (again.text, again.attempts, again.id) == (post.text, 2, post.id)


def test_expiry_is_missed_unless_it_may_have_gone_out(db: sqlite_utils.Database) -> None:
    plain, doubtful = add(db, "plain"), add(db, "doubtful", account="other")
    claim(db), claim(db)
    outbox.not_sent(db, plain.id, "no route", 100, now=110)
    outbox.unknown(db, doubtful.id, "timeout", now=110)
    outbox.absent(db, doubtful.id, "it did not arrive", 100, now=120)
    assert claim(db, now=10_000) is None
    assert {post.id for post in outbox.expire(db, now=10_000)} == {plain.id, doubtful.id}
    assert (state(db, plain), state(db, doubtful)) == (PostState.MISSED, PostState.REVIEW)


def test_a_refusal_is_final_unless_an_earlier_attempt_may_have_gone_out(db: sqlite_utils.Database) -> None:
    plain, doubtful = add(db, "plain"), add(db, "doubtful", account="other")
    claim(db), claim(db)
    outbox.unknown(db, doubtful.id, "timeout", now=90)
    assert outbox.reject(db, plain.id, "too long", now=110).state is PostState.REJECTED
    assert outbox.reject(db, doubtful.id, "duplicate", now=110).state is PostState.REVIEW


def test_at_start_up_what_was_being_sent_is_unknown_and_looked_up_at_once(db: sqlite_utils.Database) -> None:
    post = add(db)
    claim(db)
    assert [found.id for found in outbox.recover(db, now=200)] == [post.id]
    assert outbox.recover(db, now=201) == []
    assert claims.look(db, PLATFORMS, 200).id == post.id  # type: ignore[union-attr]
    assert claims.look(db, PLATFORMS, 201) is None  # it is being looked up
    claims.unreadable(db, post.id, "503", now=210)
    assert claims.look(db, PLATFORMS, 5_199) is None
    assert claims.look(db, PLATFORMS, 5_200) is not None


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
    first, second = add(db, "first"), add(db, "second", account="other")
    claim(db), claim(db)
    outbox.posted(db, first.id, "r1", now=120)
    assert outbox.posted(db, second.id, "r1", now=130).state is PostState.REVIEW


def test_removing_a_cause_cancels_what_is_not_yet_said(db: sqlite_utils.Database) -> None:
    said, mine, similar = add(db, "schedule:1:b", due=1), add(db, "schedule:1:a"), add(db, "schedule:11:a")
    claim(db)
    outbox.posted(db, said.id, "r1", now=120)
    assert [post.id for post in outbox.cancel_cause(db, "schedule:1:", "removed", now=130)] == [mine.id]
    assert [state(db, post) for post in (mine, said, similar)] == ["cancelled", "posted", "queued"]


def test_every_change_is_in_the_log(db: sqlite_utils.Database) -> None:
    post = add(db)
    claim(db, now=100)
    outbox.unknown(db, post.id, "timeout", now=110)
    outbox.absent(db, post.id, "it did not arrive", 120, now=120)
    claim(db, now=130)
    outbox.posted(db, post.id, "r1", now=140)
    changes = db.execute("SELECT at, state, detail FROM outbox_log WHERE outbox_id = ? ORDER BY id", [post.id])
    assert changes.fetchall() == [
        (50, "queued", None), (100, "sending", "attempt 1"), (110, "unknown", "timeout"),
        (120, "queued", "it did not arrive"), (130, "sending", "attempt 2"), (140, "posted", "r1")]  # fmt: skip


def test_the_feed_publishes_a_post_once(db: sqlite_utils.Database) -> None:
    first = feed.publish(db, "A", "jo", "hello", now=1)
    assert feed.publish(db, "A", "jo", "hello", now=2) == first
    second = feed.publish(db, "B", "jo", "again", now=3)
    assert feed.find(db, "B").id == second  # type: ignore[union-attr]
    assert feed.find(db, "C") is None
    assert db.execute("SELECT id, outbox_id FROM feed ORDER BY id").fetchall() == [(first, "A"), (second, "B")]


# --- What else keeps a row from being said, and what follows from it --------------------------------------------------


def notices(db: sqlite_utils.Database) -> list[str]:
    return [post.text for post in outbox.every(db)[::-1] if post.kind == "notice"]


def test_parts_of_a_thread_follow_one_another_and_know_what_they_follow(db: sqlite_utils.Database) -> None:
    parts = add_thread(db, "local", "feed", "a", {}, ["one", "two", "three"], 100, 1_000, 50)
    assert [part.cause_key for part in parts] == ["a", "a:part-2", "a:part-3"]
    for number, part in enumerate(parts):
        claimed = claim(db, now=900 + 800 * number)
        assert claimed is not None
        assert (claimed.id, claimed.reply_to) == (part.id, f"r{number - 1}" if number else None)
        assert claim(db, now=900 + 800 * number) is None
        assert outbox.expire(db, now=900 + 800 * number) == []  # what waits for another part is not too late
        outbox.posted(db, part.id, f"r{number}", now=900 + 800 * number)


@pytest.mark.parametrize("end", ["rejected", "missed"])
def test_what_follows_something_unsaid_is_cancelled_with_it(db: sqlite_utils.Database, end: str) -> None:
    first, *others = add_thread(db, "local", "feed", "a", {}, ["one", "two", "three"], 100, 1_000, 50)
    if end == "rejected":
        claim(db)
        outbox.reject(db, first.id, "too long", 110)
    else:
        outbox.expire(db, 1_000)
    assert [state(db, part) for part in (first, *others)] == [end, "cancelled", "cancelled"]
    assert len(notices(db)) == 1


def test_the_same_text_is_not_said_twice_within_thirty_days(db: sqlite_utils.Database) -> None:
    first = outbox.add(db, "local", "feed", "a", {}, "Hello  World", 100, 1_000, 50)
    with pytest.raises(SaidAlready):
        outbox.add(db, "local", "feed", "b", {}, "hello world ", 100, 1_000, 50)
    outbox.add(db, "local", "other", "b", {}, "hello world", 100, 1_000, 50)
    claim(db), claim(db)
    outbox.posted(db, first.id, "r1", now=110)
    with pytest.raises(SaidAlready):
        outbox.add(db, "local", "feed", "c", {}, "hello world", 100, 1_000, 109 + outbox.FRESH_MS)
    outbox.add(db, "local", "feed", "c", {}, "hello world", 100, 1_000, 110 + outbox.FRESH_MS)


def test_a_text_that_was_not_said_is_free_again(db: sqlite_utils.Database) -> None:
    for number, end in enumerate(("missed", "rejected", "cancelled")):
        post = outbox.add(db, "local", "feed", end, {}, "same", 100, 1_000, 50)
        if end == "missed":
            outbox.expire(db, 1_000)
        elif end == "rejected":
            claim(db)
            outbox.reject(db, post.id, "no", 110)
        else:
            outbox.cancel_cause(db, "cancelled", "removed", 110)
        assert (number, state(db, post)) == (number, end)


def test_the_owner_is_told_once_of_each_thing_and_never_of_notices(db: sqlite_utils.Database) -> None:
    post = add(db)
    claim(db)
    outbox.unknown(db, post.id, "timeout", 110)
    outbox.review(db, post.id, "nobody knows", 120)
    told = f"The post {post.id} of a persona for local/feed needs your decision: nobody knows. It was: {post.text}"
    assert notices(db) == [told]
    first = outbox.notify(db, "key", "hear", 130)
    assert outbox.notify(db, "key", "hear again", 140) == first
    outbox.expire(db, 140 + outbox.NOTICE_MS)
    assert len(notices(db)) == 2
    assert {found.state for found in outbox.every(db) if found.kind == "notice"} == {"missed"}


@pytest.mark.parametrize("scope", ["everything", "account:local/feed", "persona:jo"])
def test_a_mute_silences_whom_it_names_until_it_ends_but_no_notice(db: sqlite_utils.Database, scope: str) -> None:
    mine = outbox.add(db, "local", "feed", "a", {"persona": "jo"}, "one", 100, 10_000, 50)
    db.execute("INSERT INTO mutes (scope, until) VALUES (?, 5000)", [scope])
    notice = outbox.notify(db, "key", "hear", 100)
    assert claim(db).id == notice.id  # type: ignore[union-attr]
    assert claim(db, now=4_999) is None
    assert outbox.earliest(db, PLATFORMS) == 5_000
    other = outbox.add(db, "local", "other", "a", {"persona": "al"}, "one", 100, 10_000, 50)
    if scope != "everything":
        assert claim(db).id == other.id  # type: ignore[union-attr]
    assert claim(db, now=5_000).id in (mine.id, other.id)  # type: ignore[union-attr]


def test_an_account_whose_credentials_are_refused_is_paused_and_told_once(db: sqlite_utils.Database) -> None:
    post = add(db)
    add(db, "b", due=101)
    claim(db)
    assert outbox.unauthorized(db, post.id, "401", 110).state is PostState.QUEUED
    outbox.pause_account(db, "local", "feed", "401 again", 120)
    assert claim(db, now=9_000).kind == "notice"  # type: ignore[union-attr]
    assert outbox.earliest(db, PLATFORMS) == 10_000
    assert notices(db) == ["The account local/feed is paused: 401. What is queued for it waits."]
    assert [(found.account, found.reason) for found in accounts.every(db)] == [("feed", "401")]
    assert (accounts.resume(db, "local", "feed"), accounts.resume(db, "local", "feed")) == (True, False)
    assert claim(db, now=9_000).id == post.id  # type: ignore[union-attr]


def test_at_a_limit_the_account_waits_and_the_owner_is_told_once(db: sqlite_utils.Database) -> None:
    limits = Limits(posts_per_hour=1)
    for number in range(3):
        outbox.add(db, "local", "feed", str(number), {}, f"text {number}", 100, 10 * ledger.HOUR_MS, 50)
    first = claims.claim(db, PLATFORMS, 100, limits)
    outbox.posted(db, first.id, "r1", 110)  # type: ignore[union-attr]
    claimed = claims.claim(db, PLATFORMS, 120, limits)  # the notice, which no limit holds back
    assert claimed is not None
    assert claimed.text == (
        "The account local/feed has reached its limit posts_per_hour: "
        "what is queued waits until 1970-01-01 01:00:00 UTC."
    )
    outbox.posted(db, claimed.id, "r2", 120)
    assert claims.claim(db, PLATFORMS, 130, limits) is None
    assert outbox.earliest(db, PLATFORMS) == 100 + ledger.HOUR_MS
    second = claims.claim(db, PLATFORMS, 100 + ledger.HOUR_MS, limits)
    outbox.posted(db, second.id, "r3", 110 + ledger.HOUR_MS)  # type: ignore[union-attr]
    assert len(notices(db)) == 1


def test_what_alone_costs_more_than_the_limit_is_rejected(db: sqlite_utils.Database) -> None:
    dear = {"local": Capability(post_micros=200_000)}
    post = add(db)
    assert claims.claim(db, dear, 100, Limits(micros_per_day=100_000)).kind == "notice"  # type: ignore[union-attr]
    assert state(db, post) is PostState.REJECTED


def test_looks_have_a_limit_too_after_which_people_decide(db: sqlite_utils.Database) -> None:
    limits, reading = Limits(reads_per_month=10), {"local": Capability(searchable=True, quiet_ms=60_000, read_count=10)}
    post = add(db)
    claims.claim(db, reading, 100, limits)
    outbox.unknown(db, post.id, "timeout", 110)
    assert claims.look(db, reading, 5_110, limits) is not None
    claims.found(db, post.id, None, reading["local"], 5_110, 5_111)
    assert claims.look(db, reading, 60_000, limits) is None
    assert state(db, post) is PostState.REVIEW
    assert len(notices(db)) == 2  # of the limit, and of the post


def test_what_became_forbidden_meanwhile_is_cancelled_at_the_last_moment(db: sqlite_utils.Database) -> None:
    post, fine = add(db, "bad"), add(db, "fine", due=101)
    reasons = {"text bad": "it holds a banned phrase"}
    taken = claims.claim(db, PLATFORMS, 101, forbids=lambda post: reasons.get(post.text))
    assert taken.id == fine.id  # type: ignore[union-attr]
    assert state(db, post) is PostState.CANCELLED
    assert "banned phrase" in notices(db)[0]


def test_everything_about_a_post_can_be_explained(db: sqlite_utils.Database) -> None:
    first, second = add_thread(db, "local", "feed", "a", {"seed": 1}, ["one", "two"], 100, 1_000, 50)
    claims.claim(db, {"local": Capability(post_micros=15_000)}, 100)
    outbox.posted(db, first.id, "r1", 110)
    told = json.loads(json.dumps(outbox.explain(db, first.id)))
    assert (told["state"], told["remote_id"], told["cause"]["seed"], told["parent"]) == ("posted", "r1", 1, None)
    assert [child["id"] for child in told["children"]] == [second.id]
    assert [(step["at"], step["state"]) for step in told["log"]] == [(50, "queued"), (100, "sending"), (110, "posted")]
    assert told["ledger"] == [{"kind": "post", "count": 1, "micros": 15_000, "at": 100}]
    assert outbox.explain(db, second.id)["parent"]["remote_id"] == "r1"


@pytest.mark.parametrize("is_old", [False, True])
def test_what_is_found_is_ours_only_if_it_is_new_and_nobody_elses(db: sqlite_utils.Database, is_old: bool) -> None:
    hour = 3_600_000
    one, two = add(db, "one", due=hour, expires=9 * hour), add(db, "two", "other", due=hour, expires=9 * hour)
    claim(db, hour), claim(db, hour)
    outbox.posted(db, two.id, "r2", hour)
    outbox.unknown(db, one.id, "timeout", hour)
    capability = Capability(searchable=True, quiet_ms=60_000)
    another = claims.found(db, one.id, Found("r2", hour), capability, hour + 1, hour + 2)
    assert another.state is PostState.UNKNOWN
    if is_old:
        old = claims.found(db, one.id, Found("r0", 0), capability, hour + 1, hour + 2)
        assert (old.state, old.remote_id) == ("review", None)
    else:
        assert claims.found(db, one.id, Found("r1", hour), capability, hour + 1, hour + 2).remote_id == "r1"


def test_what_cannot_be_told_where_a_place_wants_it_is_told_to_the_owner_once(
    db: sqlite_utils.Database, caplog: pytest.LogCaptureFixture
) -> None:
    places.settle(db, "discord:1", places.Settled(("x", "5")))
    notice = outbox.notify(db, "draft:a", "a draft waits", 100, {"about": "a", "draft": True}, "discord:1")
    assert (notice.platform, notice.account) == ("x", "5")
    outbox.reject(db, notice.id, "the bot may not write in this channel", 110)
    (told, _) = outbox.every(db)
    assert (told.platform, told.account) == outbox.OWNER
    assert told.text == "This could not be said in x/5 (the bot may not write in this channel): a draft waits"
    assert (told.kind, told.place, told.cause) == ("notice", "discord:1", notice.cause)
    assert notice.id in caplog.text
    assert "a draft waits" not in caplog.text
    outbox.reject(db, told.id, "no", 120)
    assert len(outbox.every(db)) == 2
