"""Personas: who can be imitated."""

from __future__ import annotations

from dataclasses import asdict

from bot.app import App
from bot.store import personas
from bot.web.operation import Answer, Asked, Tell, operation


@operation("GET", "/v1/personas", Asked)
async def every(app: App, asked: Asked, tell: Tell) -> Answer:
    return {"personas": [asdict(persona) for persona in await app.database.run(personas.every)]}
