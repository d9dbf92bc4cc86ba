"""Imitations: texts as a persona would write them."""

from __future__ import annotations

import asyncio

from pydantic import Field

from bot import clock
from bot.app import App
from bot.domain import Asker
from bot.web.operation import Answer, Asked, Tell, operation

LONGEST_S = 3_600.0  # then nobody waits for it any more, whoever was killed meanwhile


class Imitate(Asked):
    persona: str
    prompt: str = ""
    reply_to: str | None = None
    n: int = Field(default=5, ge=1, le=100)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    temperature: float | None = Field(default=None, gt=0, le=10)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1, le=1024)


@operation("POST", "/v1/imitations", Imitate)
async def imitate(app: App, asked: Imitate, by: Asker, tell: Tell) -> Answer:
    """Whoever asked and goes away takes it back."""
    request = await app.desk.ask("imitate", by.person, by.place, asked.model_dump(), clock.now_ms(), LONGEST_S)
    try:
        answer = await app.desk.wait(request.id, tell)
    except asyncio.CancelledError:
        await app.desk.cancel(request.id)
        raise
    if answer["cut"]:
        tell({"warning": "The prompt was too long: its beginning was left off."})
    return answer
