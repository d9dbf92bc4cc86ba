"""Consents: who gave a handle's tweets to which place, and on what grounds."""

from __future__ import annotations

from dataclasses import dataclass

import sqlite_utils

ARCHIVE = "archive"  # an X archive whose account.js names the handle
PERMISSION = "permission"  # the giver says that they have it
OPERATOR = "operator"  # whoever runs the bot


@dataclass(frozen=True)
class Consent:
    place: str
    handle: str
    grounds: str  # "archive", "permission" or "operator"
    person: str  # who gave the tweets
    detail: str  # what was given: the file's name and size
    at: int


def add(db: sqlite_utils.Database, consent: Consent) -> None:
    db.execute(
        "INSERT INTO consents (place, handle, grounds, person, detail, at) VALUES (?, ?, ?, ?, ?, ?)",
        [consent.place, consent.handle, consent.grounds, consent.person, consent.detail, consent.at],
    )


def of(db: sqlite_utils.Database, place: str, handle: str) -> list[Consent]:
    """The oldest first."""
    rows = db.query(
        """SELECT place, handle, grounds, person, detail, at FROM consents WHERE place = ? AND handle = ?
           ORDER BY id""",
        [place, handle],
    )
    return [Consent(**row) for row in rows]


def gave_own(db: sqlite_utils.Database, place: str, handle: str, person: str) -> bool:
    """Whether this person gave the place an archive that names the handle as its own."""
    return any((held.grounds, held.person) == (ARCHIVE, person) for held in of(db, place, handle))


def forget(db: sqlite_utils.Database, place: str, handle: str) -> None:
    db.execute("DELETE FROM consents WHERE place = ? AND handle = ?", [place, handle])
