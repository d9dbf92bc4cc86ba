"""What people want of the real bot in the scenarios with kills, and how a data directory is made ready for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bot import clock
from bot.app import App
from bot.store import decisions, outbox, personas, runs
from bot.store.database import Database, Db

START = 1_800_000_000_000
HOUR = 3_600_000
PLATFORM, ACCOUNT = "loopback", "one"
PERSONA = "gullwatcher"


@dataclass(frozen=True)
class Wish:
    """`prepare` makes a data directory ready, `ask` is what a person does in each life, and again in the next one if it
    came to nothing; `posts` are to come of it."""

    prepare: Callable[[Db], object]
    ask: Callable[[App], Awaitable[object]]
    posts: int


def prepare(data: Path, wish: str) -> None:
    """A data directory with a persona that speaks, and whatever else the wish takes for granted."""
    database = Database(data)
    try:
        asyncio.run(database.run(_persona))
        asyncio.run(database.run(WISHES[wish].prepare))
    finally:
        database.close()


def _persona(db: Db) -> None:
    db.execute("INSERT INTO timelines (handle, created_at) VALUES (?, ?)", [PERSONA, START])
    persona = personas.create(db, [PERSONA], START)
    run = runs.begin(db, persona.id, "quick", 7, "none", START)
    runs.finish(db, run, {}, START)
    personas.promote(db, persona.id, run)


def _nothing(db: Db) -> None:
    pass


async def _wait(app: App) -> None:
    pass


async def _post_now(app: App) -> None:
    await app.post(PERSONA, "", 1, PLATFORM, ACCOUNT, "now", draft=False)
    app.queued.set()


async def _thread_now(app: App) -> None:
    await app.post(PERSONA, "", 3, PLATFORM, ACCOUNT, "now", draft=False)
    app.queued.set()


def _schedule(db: Db) -> None:
    """Due in an hour, and then once a day."""
    first = START + HOUR
    db.execute(
        """INSERT INTO schedules (persona_id, platform, account, rule, zone, prompt, anchor, next_due, created_at)
           VALUES (1, ?, ?, 'every 86400s', 'UTC', '', ?, ?, ?)""",
        [PLATFORM, ACCOUNT, first - 86_400_000, first, START],
    )


def _draft(db: Db) -> None:
    until = START + 24 * HOUR
    outbox.add(
        db, PLATFORM, ACCOUNT, "draft", {}, "The kettle sings of harbour lights.", START, until, START, draft=True
    )


async def _approve(app: App) -> None:
    """Whatever is still a draft."""

    def approve(db: Db) -> None:
        for (post_id,) in db.execute("SELECT id FROM outbox WHERE state = 'draft'").fetchall():
            decisions.approve(db, post_id, clock.now_ms(), 2 * HOUR)

    await app.database.run(approve)
    app.queued.set()


WISHES = {
    "post-now": Wish(_nothing, _post_now, 1),
    "scheduled-post": Wish(_schedule, _wait, 1),
    "approval": Wish(_draft, _approve, 1),
    "thread": Wish(_nothing, _thread_now, 3),
}
