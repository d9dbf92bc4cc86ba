"""Settings: what of the configuration can change while the bot runs."""

from __future__ import annotations

from bot.app import App
from bot.domain import Asker
from bot.web.operation import Answer, Asked, Tell, only_operator, operation


@operation("POST", "/v1/config/reload", Asked)
async def reload(app: App, asked: Asked, by: Asker, tell: Tell) -> Answer:
    only_operator(by)
    applied, restart = await app.reload()
    return {"applied": applied, "needs_restart": restart}
