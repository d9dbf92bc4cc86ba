"""How the bot bears ten thousand schedules: its start, its idle hours, and a thousand that are due in the same moment.

The real bot with its real database and local feed; only the voice is one that answers at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.lag import lateness
from bot import clock
from bot.app import App
from bot.config import load_config
from bot.domain import FeedEntry, Persona, Schedule
from bot.flows.fire import Spoken
from bot.flows.speak import Speaker
from bot.store import personas, runs, schedules, timelines
from bot.store.database import Database, Db

DAY = 86_400_000
SPEAKERS = 20  # personas, each on an account of its own
# What is not due while we measure.
RULES = (
    "every 2592000s",
    "cron 0 9 1 1 *",
    "calendar 1mo 09:00 2040-01-31",
    "random 3 09:00-21:00 7200s",
)
SOONEST = 2 * DAY
FILL_SECONDS = 40.0  # for the database to be filled and the bot to start
LONGEST_BURST_SECONDS = 120.0


class AtOnce(Speaker):
    """A voice that answers at once."""

    async def on_schedule(self, persona: Persona, schedule: Schedule, seed: int) -> Spoken:
        return Spoken(f"{schedule.prompt} {persona.slug} {seed}", {"checkpoint": "none", "seed_used": seed})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make schedules", description=__doc__)
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--due", type=int, default=1_000, help="how many of them are due in the same moment")
    parser.add_argument(
        "--idle", type=float, default=60.0, metavar="SECONDS", help="how long memory and CPU are watched"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mockingbird-schedules-") as folder:
        found = asyncio.run(measure(Path(folder), asked.schedules, asked.due, asked.idle))
    for name, figure in found.items():
        print(f"{name:>24}  {figure:,.2f}" if isinstance(figure, float) else f"{name:>24}  {figure:,}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if found["posts"] != asked.due + 1 or found["twice"]:
        sys.exit("not everything that was due was said once")


async def measure(folder: Path, count: int, due: int, idle: float) -> dict[str, Any]:
    """Figures of one bot's life."""
    database = Database(folder)
    moment = clock.now_ms() + round((idle + FILL_SECONDS) * 1000)
    await database.run(lambda db: fill(db, count, due, moment))
    database.close()
    posts: list[FeedEntry] = []
    stop, first = asyncio.Event(), asyncio.Event()

    def on_post(post: FeedEntry) -> None:
        posts.append(post)
        first.set()

    began = time.perf_counter()
    async with App(load_config(Path(os.devnull), {}), folder, {}) as app:
        app.speaker = AtOnce(app.imitator, app.speaker.freshness, app.speaker.sampling)
        running = asyncio.create_task(app.run(on_post, stop))
        await first.wait()  # the one that was overdue
        found: dict[str, Any] = {"schedules": count, "start_seconds": time.perf_counter() - began}
        found |= await at_rest(idle)
        await asyncio.sleep(max(0.0, (moment - clock.now_ms()) / 1000 - 5.0))
        found |= await burst(posts, due, moment)
        stop.set()
        await running
        found |= await app.database.run(lambda db: what_came(db, moment))
    return found


def fill(db: Db, count: int, due: int, moment: int) -> None:
    """Schedules: one overdue, `due` of them due at that moment, the others much later, by rules of all kinds."""
    now = clock.now_ms()
    for number in range(SPEAKERS):
        timelines.hold(db, f"speaker{number}", None, [], now)
        persona = personas.create(db, [f"speaker{number}"], now)
        personas.promote(db, persona.id, runs.begin(db, persona.id, "quick", 1, "none", now))
    for number in range(count):
        rule, anchor = RULES[number % len(RULES)], now
        if number <= due:
            rule, anchor = "every 86400s", (moment if number else now - 60_000) - DAY
        times = clock.Times(rule, "Europe/Helsinki", anchor, number)
        following = clock.next_due(times, anchor if number <= due else now + SOONEST)
        assert following is not None
        speaker = number % SPEAKERS
        schedules.add(
            db, speaker + 1, "local", f"account{speaker}", rule, times.zone, "so", anchor, following[0], seed=number
        )


async def at_rest(seconds: float) -> dict[str, float]:
    """What it takes to have nothing to do."""
    memory, spent, began = resident_mib(), time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    return {
        "idle_mib": memory,
        "idle_growth_mib": resident_mib() - memory,
        "idle_cpu_percent": 100 * (time.process_time() - spent) / took,
    }


async def burst(posts: list[FeedEntry], due: int, moment: int) -> dict[str, Any]:
    """How late the loop is, in ms, until all that is due was said, and when that was."""
    before = len(posts)
    memory = resident_mib()
    rest = await lateness((moment - clock.now_ms()) / 1000 - 0.5, lambda: False)
    lags = await lateness(LONGEST_BURST_SECONDS, lambda: len(posts) - before >= due)
    return {
        "due": due,
        "said": len(posts) - before,
        "said_after_seconds": (clock.now_ms() - moment) / 1000,
        "lag_before_worst_ms": rest[-1],
        "lag_p99_ms": lags[int(0.99 * len(lags))],
        "lag_worst_ms": lags[-1],
        "burst_growth_mib": resident_mib() - memory,
    }


def what_came(db: Db, moment: int) -> dict[str, Any]:
    """Occurrences and posts, how many of each there are too many, and when the last text stood in the outbox."""

    def count(query: str) -> int:
        return int(db.execute(query).fetchone()[0])

    return {
        "queued_after_seconds": (count("SELECT max(created_at) FROM outbox") - moment) / 1000,
        "occurrences": count("SELECT count(*) FROM occurrences"),
        "posts": count("SELECT count(*) FROM outbox WHERE state = 'posted'"),
        "twice": count("SELECT count(*) - count(DISTINCT schedule_id) FROM occurrences")
        + count("SELECT count(*) FROM outbox WHERE attempts > 1"),
    }


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
