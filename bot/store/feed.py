"""The feed: what the local platform has published."""

from __future__ import annotations

import sqlite_utils

from bot.domain import FeedEntry


def publish(db: sqlite_utils.Database, outbox_id: str, author: str, text: str, now: int) -> int:
    """Publishes a post and returns its id in the feed; the same post is never published twice."""
    db.execute(
        """INSERT INTO feed (outbox_id, author, text, posted_at) VALUES (?, ?, ?, ?)
           ON CONFLICT (outbox_id) DO NOTHING""",
        [outbox_id, author, text, now],
    )
    entry = find(db, outbox_id)
    assert entry is not None
    return entry.id


def find(db: sqlite_utils.Database, outbox_id: str) -> FeedEntry | None:
    row = next(iter(db.query("SELECT * FROM feed WHERE outbox_id = ?", [outbox_id])), None)
    return None if row is None else FeedEntry(**row)


def newest(db: sqlite_utils.Database, limit: int) -> list[FeedEntry]:
    """The newest entries, the newest first."""
    return [FeedEntry(**row) for row in db.query("SELECT * FROM feed ORDER BY id DESC LIMIT ?", [limit])]
