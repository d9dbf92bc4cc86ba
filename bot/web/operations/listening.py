"""Listening: who answers where, how often, and who may speak without being spoken to."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bot import clock
from bot.app import App
from bot.domain import SHELL, Asker
from bot.errors import BadRequest
from bot.store import listening, mutes, personas
from bot.store.database import Db
from bot.store.listening import Listening
from bot.web.operation import Answer, Asked, Tell, operation

LONGEST_COOLDOWN_S = 86_400


class One(Asked):
    platform: str
    account: str


class Show(One):
    within: str | None = None  # the account of which this one is a thread


class Settle(One):
    """What is not given stays as it was, or as it is by default."""

    persona: str
    chance: float | None = Field(default=None, ge=0, le=1)
    cooldown: int | None = Field(default=None, ge=0, le=LONGEST_COOLDOWN_S)  # seconds
    unasked_chance: float | None = Field(default=None, ge=0, le=1)
    unasked_every: int | None = Field(default=None, ge=0, le=1_000_000)  # messages, 0: never


@operation("GET", "/v1/listening", Asked)
async def every(app: App, asked: Asked, by: Asker, tell: Tell) -> Answer:
    def transaction(db: Db) -> list[dict[str, Any]]:
        return [facts(db, found) for found in listening.every(db, by.sees)]

    return {"listening": await app.database.run(transaction)}


@operation("GET", "/v1/listening/{platform}/{account}", Show)
async def show(app: App, asked: Show, by: Asker, tell: Tell) -> Answer:
    return await app.database.run(lambda db: facts(db, standing(db, asked, by, asked.within)))


@operation("PUT", "/v1/listening/{platform}/{account}", Settle)
async def settle(app: App, asked: Settle, by: Asker, tell: Tell) -> Answer:
    app.check_platform(asked.platform)

    def transaction(db: Db) -> Listening:
        before = standing(db, asked, by)
        persona = personas.speaking(db, asked.persona, by.sees)
        if before.persona_id is None and before.chance == 0:  # it was off
            before = listening.default(asked.platform, asked.account, by.place)
        return Listening(
            asked.platform,
            asked.account,
            by.place,
            persona.id,
            before.chance if asked.chance is None else asked.chance,
            before.cooldown_s if asked.cooldown is None else asked.cooldown,
            before.unasked_chance if asked.unasked_chance is None else asked.unasked_chance,
            before.unasked_every if asked.unasked_every is None else asked.unasked_every,
        )

    return await _settle(app, await app.database.run(transaction))


@operation("DELETE", "/v1/listening/{platform}/{account}", One)
async def off(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    before = await app.database.run(lambda db: standing(db, asked, by))
    return await _settle(
        app, Listening(asked.platform, asked.account, by.place, chance=0, cooldown_s=before.cooldown_s)
    )


async def _settle(app: App, settled: Listening) -> Answer:
    await app.listener.settle(settled)
    return await app.database.run(lambda db: facts(db, settled))


def standing(db: Db, asked: One, by: Asker, within: str | None = None) -> Listening:
    """What is settled for an account now, or else by default; BadRequest for who has no say in it."""
    found = listening.of(db, asked.platform, asked.account, within)
    if found is not None and not by.is_operator and found.place not in (SHELL, by.place):
        raise BadRequest(reason=f"{asked.platform}/{asked.account} belongs to others")
    return found or listening.default(asked.platform, asked.account, by.place)


def facts(db: Db, found: Listening) -> dict[str, Any]:
    """As it stands; `persona` None: whoever said what is answered, or is the only one there."""
    persona = None if found.persona_id is None else personas.get(db, found.persona_id)
    until = mutes.until(
        db, found.platform, found.account, None if persona is None else persona.name, clock.now_ms(), found.place
    )
    return {
        "platform": found.platform,
        "account": found.account,
        "persona": None if persona is None else persona.name,
        "slug": None if persona is None else persona.slug,
        "chance": found.chance,
        "cooldown": found.cooldown_s,
        "unasked_chance": found.unasked_chance,
        "unasked_every": found.unasked_every,
        "muted_until": None if until is None else clock.iso(until),
    }
