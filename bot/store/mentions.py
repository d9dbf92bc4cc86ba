"""Mentions: what people said to us, each settled once; its text is forgotten with that."""

from __future__ import annotations

from typing import Any

import sqlite_utils

from bot.domain import Mention, MentionState


def add(
    db: sqlite_utils.Database, mention: Mention, persona_id: int | None, ignored: str | None = None, now: int = 0
) -> bool:
    """Keeps what is to be answered, by this persona; or, without its text, that it is ignored, and why. False if it was
    heard before."""
    taken = ignored is None
    values = {
        "platform": mention.platform,
        "remote_id": mention.remote_id,
        "place": mention.place,
        "account": mention.account,
        "within": mention.within,
        "person": mention.person,
        "kind": "unasked" if mention.unasked else "mention",
        "reply_to": mention.reply_to,
        "persona_id": persona_id,
        "text": mention.text if taken else None,
        "state": MentionState.OPEN if taken else MentionState.IGNORED,
        "taken": int(taken),
        "reason": ignored,
        "at": mention.at,
        "settled_at": None if taken else now,
    }
    places = ", ".join(f":{name}" for name in values)
    statement = f"INSERT INTO mentions ({', '.join(values)}) VALUES ({places}) ON CONFLICT DO NOTHING"
    return db.execute(statement, values).rowcount == 1


def is_known(db: sqlite_utils.Database, platform: str, remote_id: str) -> bool:
    query = "SELECT 1 FROM mentions WHERE platform = ? AND remote_id = ?"
    return db.execute(query, [platform, remote_id]).fetchone() is not None


def settle(
    db: sqlite_utils.Database, mention: Mention, state: MentionState, now: int, reason: str | None = None
) -> bool:
    """Answered or ignored, and its text forgotten; False if it is not open any more."""
    changed = db.execute(
        """UPDATE mentions SET state = ?, reason = ?, settled_at = ?, text = NULL
           WHERE platform = ? AND remote_id = ? AND state = 'open'""",
        [state, reason, now, mention.platform, mention.remote_id],
    )
    return changed.rowcount == 1


def expire(db: sqlite_utils.Database, before: int, now: int) -> int:
    """Ignores what is open and older; how many."""
    statement = """UPDATE mentions SET state = 'ignored', reason = 'it was too late', settled_at = ?, text = NULL
                   WHERE state = 'open' AND at <= ?"""
    return int(db.execute(statement, [now, before]).rowcount)


def waiting(db: sqlite_utils.Database, limit: int) -> list[Mention]:
    """What is open, the oldest first."""
    query = "SELECT * FROM mentions WHERE state = 'open' ORDER BY at, remote_id LIMIT ?"
    return [mention_of(row) for row in db.query(query, [limit])]


def mention_of(row: dict[str, Any]) -> Mention:
    names = ("platform", "remote_id", "place", "account", "person", "at", "reply_to", "within", "persona_id")
    return Mention(**{name: row[name] for name in names}, text=row["text"] or "", unasked=row["kind"] == "unasked")


def open_on(db: sqlite_utils.Database, platform: str, account: str) -> int:
    """How many are to be answered on an account."""
    query = "SELECT count(*) FROM mentions WHERE state = 'open' AND platform = ? AND account = ?"
    return int(db.execute(query, [platform, account]).fetchone()[0])


def last_answered(db: sqlite_utils.Database, platform: str, account: str) -> int | None:
    """When something was answered last on an account, or said unasked."""
    query = "SELECT max(settled_at) FROM mentions WHERE platform = ? AND account = ? AND state = 'answered'"
    instant = db.execute(query, [platform, account]).fetchone()[0]
    return None if instant is None else int(instant)


def taken_since(
    db: sqlite_utils.Database, platform: str, person: str, since: int, account: str | None = None
) -> list[int]:
    """When a person said what was answered or was to be, everywhere or on one account, the oldest first."""
    query = """SELECT at FROM mentions WHERE taken AND platform = ? AND person = ? AND at > ?
               AND coalesce(?, account) = account ORDER BY at"""
    return [int(at) for (at,) in db.execute(query, [platform, person, since, account])]


def said_by(db: sqlite_utils.Database, platform: str, account: str, remote_id: str) -> tuple[int | None, str] | None:
    """Which persona said what stands under this remote id, if it was one, and for which place; None if we know nothing
    of it."""
    for query in (
        "SELECT persona_id, place FROM outbox WHERE platform = ? AND account = ? AND remote_id = ?",
        "SELECT persona_id, place FROM interactions WHERE ? = 'discord' AND channel = ? AND message_id = ?",
    ):
        if (row := db.execute(query, [platform, account, remote_id]).fetchone()) is not None:
            return None if row[0] is None else int(row[0]), str(row[1])
    return None


def prune(db: sqlite_utils.Database, before: int) -> None:
    """Forgets what was said before and is settled; no platform tells us of it again."""
    db.execute("DELETE FROM mentions WHERE state <> 'open' AND at < ?", [before])
