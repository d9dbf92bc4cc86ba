"""Opt-outs: people who are never answered, and handles that are never imitated, in any place."""

from __future__ import annotations

from collections.abc import Iterable

import sqlite_utils

from bot.errors import OptedOut


def person(person_id: str) -> str:
    """The subject that a person is: "person:discord:ID"."""
    return f"person:{person_id}"


def handle(name: str) -> str:
    """The subject that a handle is: "handle:NAME"."""
    return f"handle:{name.strip().removeprefix('@')}"


def holds(db: sqlite_utils.Database, subject: str) -> bool:
    """Whether they want to have nothing to do with us."""
    return db.execute("SELECT 1 FROM opt_outs WHERE subject = ?", [subject]).fetchone() is not None


def add(db: sqlite_utils.Database, subject: str, now: int) -> bool:
    """Whether it is new."""
    statement = "INSERT INTO opt_outs (subject, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING"
    return db.execute(statement, [subject, now]).rowcount == 1


def forget_said(db: sqlite_utils.Database, person_id: str) -> None:
    """Nothing that a person said to us is answered or kept."""
    db.execute(
        """UPDATE mentions SET text = NULL, reason = 'they opted out', state = iif(state = 'open', 'ignored', state)
           WHERE person = ? AND (state = 'open' OR text IS NOT NULL)""",
        [person_id],
    )


def remove(db: sqlite_utils.Database, subject: str) -> bool:
    """Whether it was there."""
    return db.execute("DELETE FROM opt_outs WHERE subject = ?", [subject]).rowcount == 1


def handles(db: sqlite_utils.Database) -> list[str]:
    """The handles that are never imitated, in alphabetical order."""
    rows = db.execute("SELECT subject FROM opt_outs WHERE subject LIKE 'handle:%' ORDER BY subject")
    return [str(subject).partition(":")[2] for (subject,) in rows]


def check(db: sqlite_utils.Database, names: Iterable[str]) -> None:
    """Raises OptedOut if one of these handles is never to be imitated."""
    for name in names:
        if holds(db, handle(name)):
            raise OptedOut(handle=name.strip().removeprefix("@"))
