"""Phrases: what people have banned, besides the built-in list and the one in the configuration."""

from __future__ import annotations

import sqlite_utils

from bot.domain import SHELL


def add(db: sqlite_utils.Database, phrase: str, now: int, place: str = SHELL) -> bool:
    """Whether it is new."""
    statement = "INSERT INTO banned_phrases (place, phrase, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    return db.execute(statement, [place, phrase, now]).rowcount == 1


def remove(db: sqlite_utils.Database, phrase: str, place: str = SHELL) -> bool:
    """Whether it was there."""
    return db.execute("DELETE FROM banned_phrases WHERE place = ? AND phrase = ?", [place, phrase]).rowcount == 1


def of(db: sqlite_utils.Database, place: str = SHELL) -> list[str]:
    """All of a place, in alphabetical order."""
    query = "SELECT phrase FROM banned_phrases WHERE place = ? ORDER BY phrase"
    return [str(phrase) for (phrase,) in db.execute(query, [place])]


def every(db: sqlite_utils.Database) -> dict[str, list[str]]:
    """All, by place."""
    found: dict[str, list[str]] = {}
    for place, phrase in db.execute("SELECT place, phrase FROM banned_phrases ORDER BY place, phrase"):
        found.setdefault(place, []).append(phrase)
    return found
