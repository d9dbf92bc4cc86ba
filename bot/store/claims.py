"""Claims: which row of the outbox may be sent or looked up now; the caller must commit before a socket is touched.

Whatever a request uses up is reserved in the same transaction, so that nothing can exceed a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import sqlite_utils

from bot.domain import LONGEST_SEND_MS, Capability, Found, Post
from bot.store import accounts, ledger, outbox, places
from bot.store.ledger import NO_LIMITS, Limits

MOST_ATTEMPTS = 3  # after which people decide what to do with a post that did not arrive
LOOKS_MS = (5_000, 20_000, 60_000, 180_000, 600_000)  # when to look, from the doubt on; then every ten minutes
NEXT_LOOK_MS = 600_000
SECOND_LOOK_MS = 60_000  # between two looks that must both find nothing
UNREADABLE_MS = 3_600_000  # after which people decide about a post that cannot be looked up ...
FEWEST_FAILURES = 5  # ... if so many looks in a row have failed: the bot may have been off meanwhile
SKEW_MS = 120_000  # a platform's clock may be so far behind ours

Forbids = Callable[[Post], str | None]
"""(post) -> why its text must not be said, or None."""


def allows(post: Post) -> str | None:
    """Forbids nothing."""
    return None


def claim(
    db: sqlite_utils.Database,
    capabilities: Mapping[str, Capability],
    now: int,
    limits: Limits = NO_LIMITS,
    forbids: Forbids = allows,
) -> Post | None:
    """Takes the next post that may be sent now on one of these platforms."""
    while (row := _next_queued(db, capabilities, now)) is not None:
        post = outbox.post_of(row)
        if post.kind != "notice" and (reason := forbids(post)) is not None:
            _withdraw(db, post, reason, now)
        elif (wait := _reserve_send(db, post, capabilities[post.platform], now, limits)) is None:
            return _start(db, post, now)
        elif wait.until is None:
            outbox.reject(db, post.id, f"it alone would exceed the limit {wait.limit}", now)
        else:
            _cap(db, post, wait, now)
    return None


def look(
    db: sqlite_utils.Database,
    capabilities: Mapping[str, Capability],
    now: int,
    limits: Limits = NO_LIMITS,
    forbids: Forbids = allows,
) -> Post | None:
    """Takes the next unknown post that is to be looked up now; it comes as SENDING if its attempt is to be repeated
    instead, because the platform will recognise the key. What cannot be found out is left to people."""
    for row in list(db.query(_UNKNOWN.format(outbox.in_(capabilities)), {"now": now, **outbox.named(capabilities)})):
        post, capability = outbox.post_of(row), capabilities[row["platform"]]
        may_repeat = _may_repeat(db, row, capability, now, forbids)
        if may_repeat and _reserve_send(db, post, capability, now, limits) is None:
            return _start(db, post, now)
        if not capability.searchable:
            outbox.review(db, post.id, _cannot_tell(row, "this platform does not let us look"), now)
            continue
        place = (post.platform, post.account)
        cost = (capability.read_count, capability.read_micros)
        wait = ledger.reserve(db, limits, *place, "read", *cost, now, post.id)
        if wait is None:
            # While we look nobody else does; if we are stopped meanwhile, the next look is not far.
            lease = now + LONGEST_SEND_MS + outbox.FIRST_LOOK_MS
            db.execute("UPDATE outbox SET not_before = ? WHERE id = ?", [lease, post.id])
            return _with_parent(db, post)
        if wait.until is None or wait.until >= row["doubt_at"] + UNREADABLE_MS:
            outbox.review(db, post.id, _cannot_tell(row, f"the limit {wait.limit} does not let us look"), now)
        else:
            db.execute("UPDATE outbox SET not_before = ? WHERE id = ?", [wait.until, post.id])
        _tell_cap(db, post, wait, now)
    return None


def found(
    db: sqlite_utils.Database,
    post_id: str,
    seen: Found | None,
    capability: Capability,
    looked_at: int,
    now: int,
) -> Post:
    """What a look that began at `looked_at` means: it is posted, absent, still unknown, or for people to decide."""
    row = _row(db, post_id)
    if row["state"] != "unknown":  # somebody else has settled it meanwhile
        return outbox.post_of(row)
    if seen is not None and not outbox.is_bound(db, post_id, seen.remote_id):
        if seen.posted_at >= row["claimed_at"] - SKEW_MS:
            return outbox.posted(db, post_id, seen.remote_id, now)
        if row["duplicate"]:
            return outbox.reject(db, post_id, f"{outbox.REFUSED_AS_DUPLICATE}, {seen.remote_id}", now)
        # An old post of the same text, or ours, if one of the clocks is wrong: that it is absent nobody can say.
        return outbox.review(
            db, post_id, f"the same text stands there, but since before we sent it: {seen.remote_id}", now
        )
    counts = looked_at >= row["doubt_at"] + capability.quiet_ms
    if not counts or row["absent"] + 1 < capability.looks:
        wait = now + SECOND_LOOK_MS if counts else min(_next_look(row, now), row["doubt_at"] + capability.quiet_ms)
        assignments = "looks = 0, absent = absent + ?, not_before = ?"
        reason = "it was looked for and is not there yet"
        return outbox.change(db, post_id, ("unknown",), assignments, [int(counts), max(wait, now + 1)], now, reason)
    if row["duplicate"]:
        return outbox.review(db, post_id, f"{outbox.REFUSED_AS_DUPLICATE}, but it cannot be found", now)
    if row["attempts"] >= MOST_ATTEMPTS:
        return outbox.review(db, post_id, f"it did not arrive in {row['attempts']} attempts", now)
    if now >= row["expires_at"]:
        return outbox.review(db, post_id, "it did not arrive in time", now)
    return outbox.absent(db, post_id, "it did not arrive", now, now)


def unreadable(db: sqlite_utils.Database, post_id: str, reason: str, now: int) -> Post:
    """A look failed: it is as unknown as before, until people decide."""
    row = _row(db, post_id)
    if row["state"] != "unknown":
        return outbox.post_of(row)
    reason = f"it could not be looked up: {reason}"
    if now >= row["doubt_at"] + UNREADABLE_MS and row["looks"] + 1 >= FEWEST_FAILURES:
        return outbox.review(db, post_id, reason, now)
    assignments = "looks = looks + 1, not_before = ?, error = ?"
    return outbox.change(db, post_id, ("unknown",), assignments, [_next_look(row, now), reason], now, reason)


_UNKNOWN = """SELECT * FROM outbox WHERE state = 'unknown' AND state IN ('sending', 'unknown') AND not_before <= :now
              AND platform IN ({}) ORDER BY due_at, id"""


def _next_queued(db: sqlite_utils.Database, platforms: Mapping[str, Capability], now: int) -> dict[str, Any] | None:
    # "+": or SQLite would take an index by platform and sort all that a platform ever had.
    rows = db.query(
        f"""SELECT * FROM outbox AS candidate
            WHERE state = 'queued' AND due_at <= :now AND not_before <= :now AND expires_at > :now
            AND +platform IN ({outbox.in_(platforms)}) AND {outbox.FREE} AND {outbox.FOLLOWS_NOTHING_OPEN}
            AND {accounts.UNPAUSED} AND {accounts.SILENT_UNTIL} <= :now
            ORDER BY due_at, id LIMIT 1""",
        {"now": now, **outbox.named(platforms)},
    )
    return next(iter(rows), None)


def _start(db: sqlite_utils.Database, post: Post, now: int) -> Post:
    """From here on the row is in the air."""
    assignments = """state = 'sending', attempts = attempts + 1, claimed_at = coalesce(claimed_at, ?), looks = 0,
                     absent = 0, duplicate = 0, error = NULL"""
    detail = f"attempt {post.attempts + 1}"
    return _with_parent(db, outbox.change(db, post.id, ("queued", "unknown"), assignments, [now], now, detail))


def _with_parent(db: sqlite_utils.Database, post: Post) -> Post:
    if post.parent_id is None:
        return post
    return replace(post, reply_to=_row(db, post.parent_id)["remote_id"])


def _reserve_send(
    db: sqlite_utils.Database, post: Post, capability: Capability, now: int, limits: Limits
) -> ledger.Wait | None:
    """Notices to the owner are not limited: some tell of a limit."""
    if post.kind == "notice":
        return None
    return ledger.reserve(db, limits, post.platform, post.account, "post", 1, capability.price(post), now, post.id)


def _cap(db: sqlite_utils.Database, post: Post, wait: ledger.Wait, now: int) -> None:
    assert wait.until is not None
    accounts.cap(db, post.platform, post.account, wait.until)
    _tell_cap(db, post, wait, now)


def _tell_cap(db: sqlite_utils.Database, post: Post, wait: ledger.Wait, now: int) -> None:
    """Tells the owner, at most once per account, limit and window."""
    prefix = f"limit:{post.platform}/{post.account}:{wait.limit}:"
    told = """SELECT 1 FROM outbox WHERE platform = ? AND account = ? AND cause_key > ? AND cause_key < ?
              AND created_at > ? LIMIT 1"""
    values = [*(places.notices_of(db, post.place) or outbox.OWNER), prefix, f"{prefix}~", now - wait.window_ms]
    if db.execute(told, values).fetchone() is None:
        until = "" if wait.until is None else f" until {outbox.in_words(wait.until)}"
        place = f"{post.platform}/{post.account}"
        text = f"The account {place} has reached its limit {wait.limit}: what is queued waits{until}."
        outbox.notify(db, f"{prefix}{now}", text, now, place=post.place)


def _withdraw(db: sqlite_utils.Database, post: Post, reason: str, now: int) -> None:
    if outbox.cancel(db, post.id, reason, now).state == "cancelled":
        text = f"The post {post.id} for {post.platform}/{post.account} is cancelled: {reason}."
        outbox.notify(db, f"withdrawn:{post.id}:{now}", text, now, {"about": post.id}, post.place)


def _may_repeat(
    db: sqlite_utils.Database, row: dict[str, Any], capability: Capability, now: int, forbids: Forbids
) -> bool:
    """Whether the attempt in doubt may be made again at once: even if both arrive, late, the platform still takes the
    second for the first."""
    known_until = row["claimed_at"] + capability.key_ms
    in_time = row["claimed_at"] <= now and now + LONGEST_SEND_MS + capability.quiet_ms <= known_until
    if not in_time or row["duplicate"] or row["attempts"] >= MOST_ATTEMPTS or now >= row["expires_at"]:
        return False
    if row["kind"] != "notice" and forbids(outbox.post_of(row)) is not None:
        return False
    silent = f"""SELECT 1 FROM outbox AS candidate WHERE id = ? AND {accounts.UNPAUSED}
                 AND {accounts.SILENT_UNTIL} <= ?"""
    return db.execute(silent, [row["id"], now]).fetchone() is not None


def _next_look(row: dict[str, Any], now: int) -> int:
    """The first of the moments to look that is still to come."""
    return next((row["doubt_at"] + wait for wait in LOOKS_MS if row["doubt_at"] + wait > now), now + NEXT_LOOK_MS)


def _cannot_tell(row: dict[str, Any], why: str) -> str:
    return f"whether it was posted is unknown, and {why} ({row['error']})"


def _row(db: sqlite_utils.Database, post_id: str) -> dict[str, Any]:
    return next(iter(db.query("SELECT * FROM outbox WHERE id = ?", [post_id])))
