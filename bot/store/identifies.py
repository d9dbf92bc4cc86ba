"""Identifies: each time that we told Discord's gateway who we are, because a token that does so too often is reset."""

from __future__ import annotations

import sqlite_utils

WINDOW_MS = 86_400_000


def add(db: sqlite_utils.Database, now: int) -> None:
    """One is about to be sent; those that count no longer are forgotten."""
    prune(db, now)
    db.execute("INSERT INTO identifies (at) VALUES (?)", [now])


def count(db: sqlite_utils.Database, since: int) -> int:
    """How many were sent after that instant."""
    return int(db.execute("SELECT count(*) FROM identifies WHERE at > ?", [since]).fetchone()[0])


def latest(db: sqlite_utils.Database) -> int | None:
    """When the last was sent; None if none was in the last 24 hours, or ever."""
    at = db.execute("SELECT max(at) FROM identifies").fetchone()[0]
    return None if at is None else int(at)


def room_at(db: sqlite_utils.Database, now: int, most: int) -> int:
    """When another may be sent if there may be `most` in any 24 hours: `now`, or later."""
    query = "SELECT at FROM identifies WHERE at > ? ORDER BY at DESC LIMIT 1 OFFSET ?"
    row = db.execute(query, [now - WINDOW_MS, most - 1]).fetchone()
    return now if row is None else int(row[0]) + WINDOW_MS


def prune(db: sqlite_utils.Database, now: int) -> None:
    """Forgets those that are more than 24 hours old."""
    db.execute("DELETE FROM identifies WHERE at <= ?", [now - WINDOW_MS])
