"""Decisions: what people may do with a post of the outbox, in which of its states; else PostRefuses says why not.

A post is named by its id, or by as much of its beginning or end as only one id has (UnknownPost, PostNotUnique).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlite_utils

from bot.domain import Post, PostState, SaidAlready, Verdict
from bot.errors import PostRefuses, TextRefused
from bot.store import outbox

Judge = Callable[[Post, str], Verdict]
"""(post, text) -> whether this post may say this text."""


# How what people decide for good is written down.
APPROVED, DROPPED = "approved", "dropped"
NOT_THERE, THERE = "somebody says that it is not there", "somebody says that it is there"


@dataclass(frozen=True)
class Decision:
    """Who decided about a post, and what: APPROVED, DROPPED, NOT_THERE or THERE."""

    person: str
    what: str


SAID_ALREADY = "said within 30 days"  # a reason like those of moderation

STATES = {
    PostState.DRAFT: "is a draft",
    PostState.QUEUED: "is queued",
    PostState.SENDING: "is being sent",
    PostState.POSTED: "is already posted",
    PostState.REJECTED: "was rejected",
    PostState.UNKNOWN: "is being looked up, because it may have gone out",
    PostState.REVIEW: "waits for your decision, because it may have gone out",
    PostState.MISSED: "was missed",
    PostState.CANCELLED: "was cancelled",
}


def approve(db: sqlite_utils.Database, name: str, now: int, max_late_ms: int) -> Post:
    """A draft may be said, as it stands, until `max_late_ms` from now at least."""
    post = _expect(db, name, (PostState.DRAFT,), "only a draft can be approved")
    assignments = "state = 'queued', approved_at = ?, expires_at = max(expires_at, ?)"
    return outbox.change(db, post.id, ("draft",), assignments, [now, now + max_late_ms], now, APPROVED)


def edit(db: sqlite_utils.Database, name: str, text: str, judge: Judge, now: int) -> Post:
    """Another text for a draft, or for what was never attempted; raises TextRefused."""
    post = _unattempted(db, name, "edited")
    text_hash, reasons = _judged(db, post, text, judge, now)
    if reasons:
        raise TextRefused(reasons=", ".join(reasons))
    return _rewrite(db, post, text, text_hash, {"edited": True}, post.alternatives, now, "edited")


def replace(
    db: sqlite_utils.Database, name: str, judge: Judge, now: int, further: tuple[Mapping[str, Any], ...] = ()
) -> Post | None:
    """The next acceptable of a draft's other candidates, or of `further` ones, in place of its text; None if there is
    none. What a candidate says besides its text (seed, rank, ...) replaces what the cause says of it."""
    post = _unattempted(db, name, "replaced")
    others = (*post.alternatives, *further)
    for number, other in enumerate(others, start=1):
        text_hash, reasons = _judged(db, post, str(other["text"]), judge, now)
        if not reasons and other["text"] != post.text:
            facts = {("seed_used" if name == "seed" else name): other[name] for name in other if name != "text"}
            return _rewrite(db, post, str(other["text"]), text_hash, facts, others[number:], now, "replaced")
    return None


def drop(db: sqlite_utils.Database, name: str, now: int) -> Post:
    """It is not to be said, or not to be thought of any more."""
    states = (PostState.DRAFT, PostState.QUEUED, PostState.REVIEW)
    post = _expect(db, name, states, "what went out or has ended cannot be dropped")
    if post.state is PostState.QUEUED and _is_ambiguous(db, post):
        raise PostRefuses(post=post.id, reason="is about to be tried again after an attempt that nobody can be sure of")
    return outbox.change(db, post.id, states, "state = 'cancelled'", [], now, DROPPED)


def retry(db: sqlite_utils.Database, name: str, now: int, max_late_ms: int) -> Post:
    """A person says that it did not go out: it is said again, until `max_late_ms` from now at least."""
    post = _expect(db, name, (PostState.REVIEW,), "only a post that waits for a decision can be tried again")
    assignments = """state = 'queued', attempts = 0, doubt_at = NULL, duplicate = 0, not_before = ?,
                     expires_at = max(expires_at, ?)"""
    values = [now, now + max_late_ms]
    return outbox.change(db, post.id, ("review",), assignments, values, now, NOT_THERE)


def confirm(db: sqlite_utils.Database, name: str, remote_id: str | None, now: int) -> Post:
    """A person says that it went out, and perhaps under which remote id."""
    post = _expect(db, name, (PostState.REVIEW,), "only a post that waits for a decision can be confirmed")
    if remote_id is not None and outbox.is_bound(db, post.id, remote_id):
        raise PostRefuses(post=post.id, reason=f"cannot have the id {remote_id}, which is another post's")
    waiting = "SELECT 1 FROM outbox WHERE parent_id = ? AND state IN ('draft', 'queued')"
    if remote_id is None and db.execute(waiting, [post.id]).fetchone() is not None:
        reason = "has parts that are to follow it: say under which id it stands on the platform"
        raise PostRefuses(post=post.id, reason=reason)
    assignments = "state = 'posted', remote_id = ?, posted_at = ?, doubt_at = NULL, duplicate = 0, error = NULL"
    return outbox.change(db, post.id, ("review",), assignments, [remote_id, now], now, THERE)


def sign(db: sqlite_utils.Database, post_id: str, person: str) -> None:
    """Writes down who decided what has just been decided, in the same transaction."""
    last = "SELECT max(id) FROM outbox_log WHERE outbox_id = ?"
    db.execute(f"UPDATE outbox_log SET person = ? WHERE id = ({last})", [person, post_id])


def decided(db: sqlite_utils.Database, post_id: str) -> Decision | None:
    """What somebody decided last about a post, for good; None if nobody has."""
    found = db.execute(
        """SELECT person, detail FROM outbox_log WHERE outbox_id = ? AND person IS NOT NULL AND detail IN (?, ?, ?, ?)
           ORDER BY id DESC LIMIT 1""",
        [post_id, APPROVED, DROPPED, NOT_THERE, THERE],
    ).fetchone()
    return None if found is None else Decision(str(found[0]), str(found[1]))


def _expect(db: sqlite_utils.Database, name: str, states: tuple[PostState, ...], rule: str) -> Post:
    post = outbox.find(db, name)
    if post.state not in states:
        raise PostRefuses(post=post.id, reason=f"{STATES[post.state]}: {rule}")
    return post


def _unattempted(db: sqlite_utils.Database, name: str, how: str) -> Post:
    rule = f"only what nobody has tried to send can be {how}"
    post = _expect(db, name, (PostState.DRAFT, PostState.QUEUED), rule)
    if post.kind == "notice":
        raise PostRefuses(post=post.id, reason=f"is a notice, which cannot be {how}")
    if post.attempts or _is_ambiguous(db, post):
        raise PostRefuses(post=post.id, reason=f"was tried already: {rule}")
    return post


def _is_ambiguous(db: sqlite_utils.Database, post: Post) -> bool:
    return bool(db.execute("SELECT ambiguous FROM outbox WHERE id = ?", [post.id]).fetchone()[0])


def _judged(
    db: sqlite_utils.Database, post: Post, text: str, judge: Judge, now: int
) -> tuple[str | None, tuple[str, ...]]:
    """The text's hash, and the reasons to refuse it."""
    reasons = judge(post, text).reasons
    if post.kind == "notice":
        return None, reasons
    try:
        return outbox.fresh_hash(db, post.platform, post.account, text, now, post.id), reasons
    except SaidAlready:
        return None, (*reasons, SAID_ALREADY)


def _rewrite(
    db: sqlite_utils.Database,
    post: Post,
    text: str,
    text_hash: str | None,
    facts: Mapping[str, Any],
    alternatives: tuple[Mapping[str, Any], ...],
    now: int,
    how: str,
) -> Post:
    assignments = "text = ?, text_hash = ?, cause = ?, alternatives = ?"
    values = [text, text_hash, json.dumps({**post.cause, **facts}), json.dumps([dict(other) for other in alternatives])]
    return outbox.change(db, post.id, (post.state,), assignments, values, now, f"{how}; it was: {post.text}")
