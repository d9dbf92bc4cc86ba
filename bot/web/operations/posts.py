"""Posts: what somebody wants said now."""

from __future__ import annotations

import secrets

from pydantic import Field

from bot.app import App
from bot.domain import Asker
from bot.store import personas
from bot.web.operation import Answer, Asked, Tell, operation
from bot.web.operations.outbox import facts


class Say(Asked):
    persona: str
    prompt: str = ""
    thread: int = Field(default=1, ge=1, le=25)
    draft: bool = False
    platform: str = "local"
    account: str = "feed"
    # drawn by whoever asks, so that asking again after a broken connection says nothing twice
    key: str = Field(default_factory=lambda: secrets.token_hex(8), min_length=1, max_length=100)


@operation("POST", "/v1/posts", Say)
async def say(app: App, asked: Say, by: Asker, tell: Tell) -> Answer:
    app.check_platform(asked.platform)
    persona = await app.database.run(lambda db: personas.speaking(db, asked.persona, by.sees))
    made = await app.post(
        *(persona.name, asked.prompt, asked.thread, asked.platform, asked.account, asked.key, asked.draft),
        person=by.person,
        place=by.place,
    )
    return {"posts": [facts(post) for post in made]}
