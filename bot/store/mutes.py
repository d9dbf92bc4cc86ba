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


def set_until(db: sqlite_utils.Database, scope: str, until: int, now: int) -> None:
    """Mutes a scope until that instant, in place of an earlier mute of it; those that have ended are forgotten."""
    db.execute("DELETE FROM mutes WHERE until <= ?", [now])
    statement = (
        "INSERT INTO mutes (scope, until) VALUES (?, ?) ON CONFLICT (scope) DO UPDATE SET until = excluded.until"
    )
    db.execute(statement, [scope, until])


def lift(db: sqlite_utils.Database, scope: str, now: int) -> bool:
    """Ends a mute; whether it was still on."""
    return db.execute("DELETE FROM mutes WHERE scope = ? AND until > ?", [scope, now]).rowcount == 1


def every(db: sqlite_utils.Database, now: int) -> list[tuple[str, int]]:
    """(scope, until) of all that are on, what ends first first."""
    rows = db.query("SELECT scope, until FROM mutes WHERE until > ? ORDER BY until, scope", [now])
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
