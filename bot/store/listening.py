"""Listening: who answers on an account, how often, and whether they speak there without being spoken to."""

from __future__ import annotations

from dataclasses import dataclass

import sqlite_utils


@dataclass(frozen=True)
class Listening:
    """`persona_id` None: nobody was chosen. Chances are from 0 to 1; `unasked_chance` is of speaking after a message,
    `unasked_every`: after so many messages, 0 for never."""

    platform: str
    account: str
    place: str
    persona_id: int | None = None
    chance: float = 1.0
    cooldown_s: int = 0
    unasked_chance: float = 0.0
    unasked_every: int = 0

    @property
    def unasked(self) -> bool:
        return self.unasked_chance > 0 or self.unasked_every > 0


def default(platform: str, account: str, place: str) -> Listening:
    """What holds where nothing is settled; who is alone with us, where the chat is the place, waits for nobody."""
    alone = place == f"{platform}:{account}"
    return Listening(platform, account, place, cooldown_s=0 if alone else 10)


def of(db: sqlite_utils.Database, platform: str, account: str, within: str | None = None) -> Listening | None:
    """What is settled for an account or, if nothing is, for the one that it is a thread of."""
    for name in filter(None, (account, within)):
        if (
            row := next(iter(db.query(f"{_SELECT} WHERE platform = ? AND account = ?", [platform, name])), None)
        ) is not None:
            return Listening(**row)
    return None


def settle(db: sqlite_utils.Database, listening: Listening) -> None:
    """In place of what was settled for the account before."""
    db.execute(
        """INSERT OR REPLACE INTO listening (platform, account, place, persona_id, chance, cooldown_s, unasked_chance,
                                             unasked_every)
           VALUES (:platform, :account, :place, :persona_id, :chance, :cooldown_s, :unasked_chance, :unasked_every)""",
        vars(listening),
    )


def every(db: sqlite_utils.Database, place: str | None = None) -> list[Listening]:
    """All, or those of a place, by account."""
    where = f"{_SELECT} WHERE coalesce(:place, place) = place ORDER BY platform, account"
    return [Listening(**row) for row in db.query(where, {"place": place})]


_SELECT = """SELECT platform, account, place, persona_id, chance, cooldown_s, unasked_chance, unasked_every
             FROM listening"""
