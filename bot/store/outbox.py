"""The outbox: the durable queue of everything that is to be said unasked, from the wish to the remote id.

A post is claimed, and the claim committed, before a socket is touched. Whoever cannot tell whether a post went out
says `unknown`, and then the account says nothing else until that is known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

import sqlite_utils

from bot.domain import Post, PostState

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
FIRST_LOOK_MS = 5_000

# Nothing else of the account is in the air: so whatever is found on its timeline can only be that one post.
_FREE = """NOT EXISTS (
    SELECT 1 FROM outbox AS other
    WHERE other.platform = candidate.platform AND other.account = candidate.account
    AND other.state IN ('sending', 'unknown'))"""


def new_id(now: int, platform: str, account: str, cause_key: str) -> str:
    """A ULID (github.com/ulid/spec): 48 bits of time, then 80 bits which the cause decides instead of chance."""
    cause = hashlib.sha256(json.dumps([platform, account, cause_key]).encode()).digest()[:10]
    number = int.from_bytes(now.to_bytes(6, "big") + cause, "big")
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def add(
    db: sqlite_utils.Database,
    platform: str,
    account: str,
    cause_key: str,
    cause: Mapping[str, Any],
    text: str,
    due_at: int,
    expires_at: int,
    now: int,
) -> Post:
    """Queues a post; one with the same cause is not queued a second time but returned as it is."""
    rows = db.query(
        """INSERT INTO outbox
           (id, platform, account, cause_key, cause, text, state, due_at, expires_at, not_before, created_at)
           VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?)
           ON CONFLICT (platform, account, cause_key) DO NOTHING RETURNING *""",
        [
            new_id(now, platform, account, cause_key),
            *(platform, account, cause_key, json.dumps(dict(cause)), text, due_at, expires_at, due_at, now),
        ],
    )
    if (row := next(iter(rows), None)) is not None:
        return _logged(db, row, now, None)
    same = "SELECT * FROM outbox WHERE platform = ? AND account = ? AND cause_key = ?"
    return _post(next(iter(db.query(same, [platform, account, cause_key]))))


def claim(db: sqlite_utils.Database, platforms: Collection[str], now: int) -> Post | None:
    """Takes the next post that may be sent now on one of these platforms; the caller must commit before sending."""
    rows = db.query(
        f"""UPDATE outbox SET state = 'sending', attempts = attempts + 1, error = NULL
            WHERE state = 'queued' AND id = (
                SELECT id FROM outbox AS candidate
                WHERE state = 'queued' AND due_at <= :now AND not_before <= :now AND expires_at > :now
                AND platform IN ({_in(platforms)})
                AND {_FREE}
                ORDER BY due_at, id LIMIT 1)
            RETURNING *""",
        {"now": now, **_named(platforms)},
    )
    row = next(iter(rows), None)
    return None if row is None else _logged(db, row, now, f"attempt {row['attempts']}")


def posted(db: sqlite_utils.Database, post_id: str, remote_id: str, now: int) -> Post:
    """The post is out, under this remote id; if that is another post's already, people must see what happened."""
    taken = (
        "SELECT 1 FROM outbox WHERE remote_id = ? AND id <> ? AND platform = (SELECT platform FROM outbox WHERE id = ?)"
    )
    if db.execute(taken, [remote_id, post_id, post_id]).fetchone() is not None:
        return review(db, post_id, f"the platform gave it the id of another post, {remote_id}", now)
    return _change(db, post_id, "state = 'posted', remote_id = ?, posted_at = ?, error = NULL", [remote_id, now], now)


def requeue(db: sqlite_utils.Database, post_id: str, reason: str, not_before: int, now: int) -> Post:
    """The post surely did not go out and may be tried again from `not_before` on."""
    return _change(db, post_id, "state = 'queued', not_before = ?, error = ?", [not_before, reason], now, reason)


def reject(db: sqlite_utils.Database, post_id: str, reason: str, now: int) -> Post:
    """The platform refused the post for good; people decide if an earlier attempt of it may have arrived."""
    assignments = "state = iif(ambiguous, 'review', 'rejected'), error = ?"
    return _change(db, post_id, assignments, [reason], now, reason)


def unknown(db: sqlite_utils.Database, post_id: str, reason: str, now: int) -> Post:
    """Nobody can tell whether the post went out; the first look is due soon."""
    assignments = "state = 'unknown', ambiguous = 1, looks = 0, not_before = ?, error = ?"
    return _change(db, post_id, assignments, [now + FIRST_LOOK_MS, reason], now, reason)


def looked(db: sqlite_utils.Database, post_id: str, reason: str, not_before: int, now: int) -> Post:
    """Looking failed: it is as unknown as before, and to be looked up again from `not_before` on."""
    return _change(db, post_id, "looks = looks + 1, not_before = ?, error = ?", [not_before, reason], now, reason)


def review(db: sqlite_utils.Database, post_id: str, reason: str, now: int) -> Post:
    """People must decide."""
    return _change(db, post_id, "state = 'review', error = ?", [reason], now, reason)


def expire(db: sqlite_utils.Database, now: int) -> list[Post]:
    """Gives up what is too late to be said; if an attempt of it may have arrived, people decide."""
    reason = "it was too late to say it"
    rows = db.query(
        """UPDATE outbox SET state = iif(ambiguous, 'review', 'missed'), error = coalesce(error, ?)
           WHERE state = 'queued' AND expires_at <= ? RETURNING *""",
        [reason, now],
    )
    return [_logged(db, row, now, reason) for row in list(rows)]


def cancel_cause(db: sqlite_utils.Database, prefix: str, reason: str, now: int) -> list[Post]:
    """Cancels what is queued for causes that begin with `prefix` and surely never went out."""
    rows = db.query(
        """UPDATE outbox SET state = iif(ambiguous, 'review', 'cancelled')
           WHERE state IN ('draft', 'queued') AND substr(cause_key, 1, length(:prefix)) = :prefix RETURNING *""",
        {"prefix": prefix},
    )
    return [_logged(db, row, now, reason) for row in list(rows)]


def recover(db: sqlite_utils.Database, now: int) -> list[Post]:
    """At start-up: what was being sent when we stopped may have gone out or not. It is looked up at once."""
    reason = "the bot stopped while it was being sent"
    rows = db.query(
        """UPDATE outbox SET state = 'unknown', ambiguous = 1, looks = 0, not_before = ?, error = ?
           WHERE state = 'sending' RETURNING *""",
        [now, reason],
    )
    return [_logged(db, row, now, reason) for row in list(rows)]


def unknowns(db: sqlite_utils.Database, platforms: Collection[str], now: int) -> list[tuple[Post, int]]:
    """The unknown posts that are to be looked up now, each with how often that failed already."""
    rows = db.query(
        f"""SELECT * FROM outbox WHERE state = 'unknown' AND not_before <= :now AND platform IN ({_in(platforms)})
            ORDER BY due_at, id""",
        {"now": now, **_named(platforms)},
    )
    return [(_post(row), int(row["looks"])) for row in rows]


def earliest(db: sqlite_utils.Database, platforms: Collection[str] | None = None) -> int | None:
    """When something can be sent or looked up next on these platforms (or any), so that somebody must wake up then;
    what waits for another post of its account does not count."""
    only = "" if platforms is None else f"platform IN ({_in(platforms)}) AND"
    instant = db.execute(
        f"""SELECT min(max(due_at, not_before)) FROM outbox AS candidate
            WHERE {only} (state = 'unknown' OR (state = 'queued' AND {_FREE}))""",
        _named(platforms or ()),
    ).fetchone()[0]
    return None if instant is None else int(instant)


def every(db: sqlite_utils.Database, limit: int = 100) -> list[Post]:
    """The newest posts, the newest first."""
    return [_post(row) for row in db.query("SELECT * FROM outbox ORDER BY id DESC LIMIT ?", [limit])]


# What is out, refused, missed or cancelled has ended: nothing may change it any more.
_ENDED = "('posted', 'rejected', 'missed', 'cancelled')"


def _change(
    db: sqlite_utils.Database, post_id: str, assignments: str, values: list[object], now: int, detail: str | None = None
) -> Post:
    rows = db.query(
        f"UPDATE outbox SET {assignments} WHERE id = ? AND state NOT IN {_ENDED} RETURNING *", [*values, post_id]
    )
    row = next(iter(rows), None)
    if row is None:
        raise LookupError(f"there is no post {post_id} that could still change")
    return _logged(db, row, now, detail)


def _logged(db: sqlite_utils.Database, row: dict[str, Any], now: int, detail: str | None) -> Post:
    db.execute(
        "INSERT INTO outbox_log (outbox_id, at, state, detail) VALUES (?, ?, ?, ?)",
        [row["id"], now, row["state"], detail],
    )
    return _post(row)


def _in(platforms: Collection[str]) -> str:
    return ", ".join(f":{name}" for name in _named(platforms))


def _named(platforms: Collection[str]) -> dict[str, str]:
    return {f"platform{number}": platform for number, platform in enumerate(sorted(platforms))}


def _post(row: dict[str, Any]) -> Post:
    return Post(
        id=row["id"],
        platform=row["platform"],
        account=row["account"],
        cause_key=row["cause_key"],
        text=row["text"],
        state=PostState(row["state"]),
        due_at=row["due_at"],
        expires_at=row["expires_at"],
        attempts=row["attempts"],
        remote_id=row["remote_id"],
        error=row["error"],
        cause=json.loads(row["cause"]),
    )
