"""What people decide about posts holds byte for byte, and only in the states in which it may."""

import sqlite3

import pytest
import sqlite_utils

from bot.domain import Capability, Post, PostState, Verdict
from bot.errors import PostNotUnique, PostRefuses, TextRefused, UnknownPost
from bot.store import claims, decisions, outbox
from bot.store.migrations import migrations
from tests.threads import add_thread

PLATFORMS = {"x": Capability(searchable=True)}
HOUR = 3_600_000


@pytest.fixture
def db() -> sqlite_utils.Database:
    opened = sqlite_utils.Database(sqlite3.connect(":memory:"))
    migrations.apply(opened)
    return opened


def judge(post: Post, text: str) -> Verdict:
    return Verdict(("too long",) if len(text) > 20 else ())


def add(db: sqlite_utils.Database, cause: str = "a", draft: bool = True, account: str = "me") -> Post:
    others = [{"text": "much too long to be said here", "seed": 2}, {"text": "second", "seed": 3, "rank": 0.5}]
    text = f"first {cause}"
    return outbox.add(
        db,
        "x",
        account,
        cause,
        {"seed_used": 1},
        text,
        100,
        HOUR,
        50,
        draft=draft,
        alternatives=others if draft else (),
    )


def in_review(db: sqlite_utils.Database, cause: str = "a", account: str = "me") -> Post:
    post = add(db, cause, draft=False, account=account)
    claims.claim(db, PLATFORMS, 100)
    outbox.unknown(db, post.id, "timeout", 110)
    return outbox.review(db, post.id, "nobody knows", 120)


def test_a_draft_is_not_said_before_it_is_approved_and_then_as_it_stands(db: sqlite_utils.Database) -> None:
    text = "  Ünïcode \u200d and\ttabs "
    draft = outbox.add(db, "x", "me", "a", {}, text, 100, HOUR, 50, draft=True)
    assert claims.claim(db, PLATFORMS, 200) is None
    approved = decisions.approve(db, draft.id, HOUR - 1, 2 * HOUR)
    assert (approved.state, approved.approved_at, approved.expires_at) == ("queued", HOUR - 1, 3 * HOUR - 1)
    assert claims.claim(db, PLATFORMS, HOUR).text == text  # type: ignore[union-attr]


def test_a_draft_that_nobody_approves_in_time_is_missed_and_told(db: sqlite_utils.Database) -> None:
    draft = add(db)
    assert outbox.earliest(db, ["x"]) == HOUR
    assert [post.state for post in outbox.expire(db, HOUR)] == ["missed"]
    (notice,) = [post for post in outbox.every(db) if post.kind == "notice"]
    assert (notice.platform, notice.account, notice.cause["about"]) == ("local", "owner", draft.id)
    assert "nobody approved it in time" in notice.text


def test_an_edited_text_is_judged_before_anything_is_stored(db: sqlite_utils.Database) -> None:
    draft, other = add(db), add(db, "b")
    with pytest.raises(TextRefused, match="too long"):
        decisions.edit(db, draft.id, "x" * 21, judge, 60)
    with pytest.raises(TextRefused, match="said within 30 days"):
        decisions.edit(db, draft.id, "FIRST  b", judge, 60)
    assert outbox.find(db, draft.id) == draft
    edited = decisions.edit(db, draft.id, "by hand", judge, 60)
    assert (edited.text, edited.state, edited.cause["edited"]) == ("by hand", "draft", True)
    decisions.edit(db, other.id, "first a", judge, 70)  # which nobody says any more
    assert outbox.explain(db, draft.id)["log"][-1]["detail"] == "edited; it was: first a"


def test_what_was_tried_cannot_be_edited(db: sqlite_utils.Database) -> None:
    post = add(db, draft=False)
    claims.claim(db, PLATFORMS, 100)
    outbox.not_sent(db, post.id, "no route", 200, 110)
    with pytest.raises(PostRefuses, match="was tried already"):
        decisions.edit(db, post.id, "by hand", judge, 120)


def test_replacing_takes_the_next_candidate_that_may_be_said(db: sqlite_utils.Database) -> None:
    draft = add(db)
    replaced = decisions.replace(db, draft.id, judge, 60)
    assert replaced is not None
    assert (replaced.text, replaced.cause, replaced.alternatives) == ("second", {"seed_used": 3, "rank": 0.5}, ())
    assert decisions.replace(db, draft.id, judge, 60) is None
    further = ({"text": "third", "seed": 9},)
    assert decisions.replace(db, draft.id, judge, 60, further).text == "third"  # type: ignore[union-attr]


def test_a_person_may_say_that_it_is_there_or_not(db: sqlite_utils.Database) -> None:
    here, there, gone = (in_review(db, name, account=name) for name in ("a", "b", "c"))
    assert decisions.confirm(db, here.id, "r1", 200).remote_id == "r1"
    with pytest.raises(PostRefuses, match="another post's"):
        decisions.confirm(db, there.id, "r1", 200)
    assert decisions.confirm(db, there.id, None, 200).state is PostState.POSTED
    again = decisions.retry(db, gone.id, 2 * HOUR, HOUR)
    assert (again.state, again.expires_at) == ("queued", 3 * HOUR)
    assert claims.claim(db, PLATFORMS, 2 * HOUR).id == gone.id  # type: ignore[union-attr]


def test_what_others_follow_is_confirmed_with_its_remote_id(db: sqlite_utils.Database) -> None:
    first, second = add_thread(db, "x", "me", "a", {}, ["one", "two"], 100, HOUR, 50)
    claims.claim(db, PLATFORMS, 100)
    outbox.unknown(db, first.id, "timeout", 110)
    outbox.review(db, first.id, "nobody knows", 120)
    with pytest.raises(PostRefuses, match="under which id"):
        decisions.confirm(db, first.id, None, 200)
    decisions.confirm(db, first.id, "r1", 200)
    claimed = claims.claim(db, PLATFORMS, 200)
    assert claimed is not None
    assert (claimed.id, claimed.reply_to) == (second.id, "r1")


def test_dropping_takes_what_follows_along(db: sqlite_utils.Database) -> None:
    first, second = add_thread(db, "x", "me", "a", {}, ["one", "two"], 100, HOUR, 50, draft=True)
    decisions.drop(db, first.id, 60)
    assert [outbox.find(db, post.id).state for post in (first, second)] == ["cancelled", "cancelled"]
    assert decisions.drop(db, in_review(db, "b").id, 200).state is PostState.CANCELLED
    outbox.add(db, "x", "me", "c", {}, "one", 100, HOUR, 50)  # the text is free again


def test_a_decision_in_the_wrong_state_says_why_not(db: sqlite_utils.Database) -> None:
    post = add(db, draft=False)
    claims.claim(db, PLATFORMS, 100)
    outbox.posted(db, post.id, "r1", 110)
    with pytest.raises(PostRefuses, match=f"^The post {post.id} is already posted: only a draft can be approved.$"):
        decisions.approve(db, post.id, 120, HOUR)
    with pytest.raises(PostRefuses, match="cannot be dropped"):
        decisions.drop(db, post.id, 120)
    for decide in (decisions.retry, lambda *given: decisions.confirm(db, post.id, None, 120)):
        with pytest.raises(PostRefuses, match="waits for a decision"):
            decide(db, post.id, 120, HOUR)


def test_what_is_about_to_be_tried_again_cannot_be_dropped(db: sqlite_utils.Database) -> None:
    post = add(db, draft=False)
    claims.claim(db, PLATFORMS, 100)
    outbox.unknown(db, post.id, "timeout", 110)
    outbox.absent(db, post.id, "it did not arrive", 200, 200)
    with pytest.raises(PostRefuses, match="nobody can be sure of"):
        decisions.drop(db, post.id, 210)


def test_an_id_may_be_given_by_its_beginning_or_end(db: sqlite_utils.Database) -> None:
    post, other = add(db), add(db, "b")
    assert outbox.find(db, post.id[-6:].lower()) == outbox.find(db, f" {post.id} ") == post
    with pytest.raises(PostNotUnique, match=other.id):
        outbox.find(db, post.id[:8])
    wrong = post.id[:-1] + ("0" if post.id[-1] != "0" else "1")
    with pytest.raises(UnknownPost, match=f'did you mean "{post.id}"'):
        outbox.find(db, wrong)
    with pytest.raises(UnknownPost):
        outbox.find(db, "")


def test_who_decided_is_written_beside_what(db: sqlite_utils.Database) -> None:
    post = add(db)
    decisions.edit(db, post.id, "shorter", judge, 2)
    decisions.sign(db, post.id, "operator")
    assert decisions.decided(db, post.id) is None
    decisions.approve(db, post.id, 3, HOUR)
    decisions.sign(db, post.id, "discord:7")
    assert decisions.decided(db, post.id) == decisions.Decision("discord:7", decisions.APPROVED)
    people = [person for (person,) in db.execute("SELECT person FROM outbox_log ORDER BY id")]
    assert people == [None, "operator", "discord:7"]


def test_the_notices_about_a_post_are_found_though_they_are_as_old_as_it(db: sqlite_utils.Database) -> None:
    posts = [add(db, f"cause {number}", account=str(number)) for number in range(8)]
    for post in posts:
        outbox.notify(db, f"draft:{post.id}", "look", outbox.time_of(post.id), {"about": post.id})
    found = [outbox.notices_about(db, post.id) for post in posts]
    assert [[notice.cause["about"] for notice in notices] for notices in found] == [[post.id] for post in posts]
