"""Phrases: what people have banned, besides the built-in list and the one in the configuration."""

from __future__ import annotations

import sqlite_utils


def add(db: sqlite_utils.Database, phrase: str, now: int) -> bool:
    """Whether it is new."""
    statement = "INSERT INTO banned_phrases (phrase, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING"
    return db.execute(statement, [phrase, now]).rowcount == 1


def remove(db: sqlite_utils.Database, phrase: str) -> bool:
    """Whether it was there."""
    return db.execute("DELETE FROM banned_phrases WHERE phrase = ?", [phrase]).rowcount == 1


def every(db: sqlite_utils.Database) -> list[str]:
    """All of them, in alphabetical order."""
    return [str(row["phrase"]) for row in db.query("SELECT phrase FROM banned_phrases ORDER BY phrase")]
