"""Mutes: who says nothing unasked, and until when; a mute ends by itself."""

from __future__ import annotations

import sqlite_utils

from bot.domain import SHELL

EVERYTHING = "everything"


def of_persona(name: str) -> str:
    """The scope of a persona, by its name, wherever it speaks."""
    return f"persona:{name}"


def of_account(platform: str, account: str) -> str:
    """The scope of an account, whoever speaks there."""
    return f"account:{platform}/{account}"


def of_place(place: str) -> str:
    """The scope of all that is said for a place."""
    return f"place:{place}"


def set_until(db: sqlite_utils.Database, scope: str, until: int, now: int, place: str = SHELL) -> None:
    """Mutes a scope until that instant, in place of the same place's earlier mute of it; those that have ended are
    forgotten."""
    db.execute("DELETE FROM mutes WHERE until <= ?", [now])
    db.execute(
        """INSERT INTO mutes (place, scope, until) VALUES (?, ?, ?)
           ON CONFLICT (scope, place) DO UPDATE SET until = excluded.until""",
        [place, scope, until],
    )


def lift(db: sqlite_utils.Database, scope: str, now: int, place: str | None = None) -> bool:
    """Ends a place's mute, or everybody's of this scope; whether one was still on."""
    query = "DELETE FROM mutes WHERE scope = ? AND until > ? AND coalesce(?, place) = place"
    return bool(db.execute(query, [scope, now, place]).rowcount)


def every(db: sqlite_utils.Database, now: int, place: str | None = None) -> list[tuple[str, int]]:
    """(scope, until) of all that are on, or of a place's, what ends first first."""
    rows = db.query(
        """SELECT scope, max(until) AS until FROM mutes WHERE until > ? AND coalesce(?, place) = place
           GROUP BY scope ORDER BY 2, scope""",
        [now, place],
    )
    return [(str(row["scope"]), int(row["until"])) for row in rows]


def until(
    db: sqlite_utils.Database, platform: str, account: str, persona: str | None, now: int, place: str = SHELL
) -> int | None:
    """When the last of the mutes ends that silence this persona, by its name, on this account for this place; None if
    none is on."""
    scopes = [EVERYTHING, of_account(platform, account), of_place(place)]
    return latest(db, scopes if persona is None else [*scopes, of_persona(persona)], now)


def latest(db: sqlite_utils.Database, scopes: list[str], now: int) -> int | None:
    """When the last of the mutes of these scopes ends; None if none is on."""
    places = ", ".join("?" for _ in scopes)
    query = f"SELECT max(until) FROM mutes WHERE until > ? AND scope IN ({places})"
    instant = db.execute(query, [now, *scopes]).fetchone()[0]
    return None if instant is None else int(instant)
