"""One life of the real bot in a forked process, in which somebody wants something: it may be killed at any step."""

from __future__ import annotations

import asyncio
import logging
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bot.app import App
from bot.config import Config
from bot.domain import Candidate, Capability, Verdict
from bot.flows.imitate import Imitation
from bot.store import outbox, personas
from bot.store.database import Db
from tests.chaos import wishes
from tests.chaos.steps import Steps
from tests.chaos.warp import Warp
from tests.servers.poster import HttpPoster

LONGEST_S = 30.0
MOST_RINGS = 500
REGULAR_MS = 30_000  # the alarm rings at least so often
FAR_MS = 4 * 3_600_000  # for what is due later than this nobody waits
PLATFORM, ACCOUNT = "loopback", "one"
CAPABILITY = Capability(searchable=True, quiet_ms=600_000, looks=2)
OPEN = """SELECT (SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending', 'unknown'))
              + (SELECT count(*) FROM occurrences WHERE state = 'due')"""


@dataclass(frozen=True)
class Order:
    """What a forked process is to live through: a folder for what it leaves, the data directory within it, the wish of
    the person, the address of the platform, when it starts, and the step at which it kills itself."""

    folder: str
    wish: str
    url: str
    start: int
    last_step: int | None
    after_s: float | None = None  # or it is killed so many seconds after it has begun
    flaw: str = ""  # a rule that is broken on purpose, to see that this is noticed

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def _send_again() -> None:
    """A bot that takes what it was sending for unsent, as any simple queue does."""

    def recover(db: Db, now: int) -> None:
        db.execute("UPDATE outbox SET state = 'queued' WHERE state = 'sending'")

    outbox.recover = recover  # type: ignore[assignment]


def _forget() -> None:
    """A bot that takes what it was sending for sent."""

    def recover(db: Db, now: int) -> None:
        db.execute("UPDATE outbox SET state = 'posted', posted_at = ? WHERE state = 'sending'", [now])

    outbox.recover = recover  # type: ignore[assignment]


FLAWS = {"sends again": _send_again, "forgets": _forget}


def speak_at_once(app: App) -> None:
    """Personas need no model: a text follows from its seed."""

    async def imitate(name: str, prompt: str, n: int, seed: int | None, *others: Any, **further: Any) -> Imitation:
        persona = await app.database.run(lambda db: personas.speaking(db, name))
        first = seed or 0
        texts = [f"The gulls of morning {number} keep the books in order." for number in range(first, first + n)]
        candidates = tuple(Candidate(text, first + place, Verdict()) for place, text in enumerate(texts))
        return Imitation(persona, str(persona.run_id), prompt, None, False, candidates)

    app.imitator.imitate = imitate  # type: ignore[method-assign]


def live(order: Order) -> None:
    """Lives until nothing is left to do."""
    folder = Path(order.folder)
    if order.after_s is not None:
        signal.setitimer(signal.ITIMER_REAL, order.after_s)  # nobody handles it: it ends a process like SIGKILL
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    warp = Warp(order.start, folder / "clock")
    warp.install()
    if order.flaw:
        FLAWS[order.flaw]()
    steps = Steps(order.last_step, folder / "steps")
    steps.install()
    asyncio.run(_live(order, warp))
    steps.end()


async def _live(order: Order, warp: Warp) -> None:
    data = Path(order.folder) / "data"
    async with (
        asyncio.timeout(LONGEST_S),
        HttpPoster(PLATFORM, CAPABILITY, lambda: order.url, warp.now, total_s=20.0) as poster,
        App(Config(), data, {}, posters=[poster]) as app,
    ):
        speak_at_once(app)
        warp.start()
        stop = asyncio.Event()
        running = asyncio.create_task(app.run(lambda entry: None, stop))
        wish = asyncio.create_task(_wish(order, app, warp))
        try:
            await _until_done(app, warp, wish, running)
        finally:
            stop.set()
            await running


async def _wish(order: Order, app: App, warp: Warp) -> None:
    """Asked for as soon as the bot is up."""
    await warp.rung.wait()
    await wishes.WISHES[order.wish].ask(app)


async def _until_done(app: App, warp: Warp, wish: asyncio.Task[None], running: asyncio.Task[None]) -> None:
    """Moves the clock on from one ringing to the next, until what was wished is done and nothing is open."""
    for _ in range(MOST_RINGS):
        rung = asyncio.create_task(warp.rung.wait())
        await asyncio.wait({rung, running}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        if wish.done():
            wish.result()
        is_near = warp.due is not None and warp.due < warp.now() + FAR_MS
        if wish.done() and not is_open(app.database.folder) and not is_near:
            return None
        await warp.jump(warp.due if is_near and warp.due is not None else warp.now() + REGULAR_MS, app.queued)
    raise TimeoutError(f"there is no end to it after {MOST_RINGS} ringings")


def is_open(data: Path) -> bool:
    """Read beside the bot's own connection, and by other code."""
    with closing(sqlite3.connect(f"file:{data}/mockingbird.db?mode=ro", uri=True)) as connection:
        return bool(connection.execute(OPEN).fetchone()[0])
