"""Personas: who can be imitated."""

from __future__ import annotations

from dataclasses import asdict

from bot.app import App
from bot.domain import Asker
from bot.store import personas
from bot.web.operation import Answer, Asked, Tell, operation


@operation("GET", "/v1/personas", Asked)
async def every(app: App, asked: Asked, by: Asker, tell: Tell) -> Answer:
    seen = await app.database.run(lambda db: personas.seen_from(db, by.sees))
    return {"personas": [{**asdict(persona), "name": persona.name} for persona in seen]}
