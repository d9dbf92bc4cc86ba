"""Timelines: what is held of people."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from bot import clock
from bot.app import App
from bot.domain import Asker
from bot.flows import ingest
from bot.web.operation import Answer, Asked, Tell, operation


class Import(Asked):
    file: Path  # on the bot's machine; a relative one would mean another there
    handle: str | None = None
    permission: bool = False  # whether the giver says that they have this person's
    name: str | None = None  # what the file is called, if not as its path says
    dry_run: bool = False


@operation("POST", "/v1/timelines", Import)
async def hold(app: App, asked: Import, by: Asker, tell: Tell) -> Answer:
    done = await ingest.ingest(
        app.database, asked.file, asked.handle, clock.now_ms(), asked.dry_run, by, asked.permission, asked.name
    )
    return {"handle": done.handle, **asdict(done.counts), "new": done.new, "dry_run": asked.dry_run}
