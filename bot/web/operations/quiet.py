"""Quiet: what nobody is to say, and who says nothing for a while."""

from __future__ import annotations

from bot import clock
from bot.app import App
from bot.domain import Asker
from bot.flows import quiet
from bot.store import mutes, phrases
from bot.web.operation import Answer, Asked, Tell, operation


class Phrase(Asked):
    phrase: str


class Scope(Asked):
    scope: str  # "everything", "persona:NAME" or "account:PLATFORM/NAME"


class Mute(Scope):
    time: str  # "30m", "2h", "1d"


@operation("GET", "/v1/phrases", Asked)
async def phrases_banned(app: App, asked: Asked, by: Asker, tell: Tell) -> Answer:
    return {"phrases": await app.database.run(lambda db: phrases.of(db, by.place))}


@operation("POST", "/v1/phrases", Phrase)
async def ban(app: App, asked: Phrase, by: Asker, tell: Tell) -> Answer:
    cancelled = await app.ban(asked.phrase, by.place)
    return {"phrase": quiet.checked(asked.phrase), "cancelled": [post.id for post in cancelled]}


@operation("DELETE", "/v1/phrases", Phrase)
async def unban(app: App, asked: Phrase, by: Asker, tell: Tell) -> Answer:
    return {"phrase": await app.unban(asked.phrase, by.place)}


@operation("GET", "/v1/mutes", Asked)
async def muted(app: App, asked: Asked, by: Asker, tell: Tell) -> Answer:
    held = await app.database.run(lambda db: mutes.every(db, clock.now_ms(), by.sees))
    return {"mutes": [{"scope": scope, "until": clock.iso(until)} for scope, until in held]}


@operation("POST", "/v1/mutes", Mute)
async def mute(app: App, asked: Mute, by: Asker, tell: Tell) -> Answer:
    scope, until = await quiet.mute(app.database, asked.scope, clock.parse_every(asked.time), clock.now_ms(), by.sees)
    return {"scope": scope, "until": clock.iso(until)}


@operation("DELETE", "/v1/mutes", Scope)
async def unmute(app: App, asked: Scope, by: Asker, tell: Tell) -> Answer:
    return {"scope": await quiet.unmute(app.database, asked.scope, clock.now_ms(), by.sees)}
