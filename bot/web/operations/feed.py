"""The feed: what the local platform has published."""

from __future__ import annotations

from pydantic import Field

from bot import clock
from bot.app import App
from bot.domain import Asker
from bot.store import feed
from bot.web.operation import Answer, Asked, Tell, only_operator, operation


class Newest(Asked):
    limit: int = Field(default=20, ge=1, le=1_000)


@operation("GET", "/v1/feed", Newest)
async def newest(app: App, asked: Newest, by: Asker, tell: Tell) -> Answer:
    only_operator(by)
    entries = await app.database.run(lambda db: feed.newest(db, asked.limit))
    return {
        "entries": [
            {"post": found.outbox_id, "author": found.author, "text": found.text, "at": clock.iso(found.posted_at)}
            for found in entries
        ]
    }
