"""How late the bot's event loop is while one persona trains and imitations of another are under way.

Made in a process of its own (apart.py) that loads what the bot loads and nothing else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from importlib.resources import as_file, files
from pathlib import Path

from bot.app import App
from bot.cli.demo import PEOPLE
from bot.clock import now_ms
from bot.config import load_config
from bot.flows.ingest import ingest
from bot.flows.train import request
from training import run

FLYING = 20  # imitations
TIMER = 0.005  # seconds the loop is to sleep between two looks at how late it is
START_SECONDS = 120.0  # for a training to make its first step
SPEAKER, LEARNER = PEOPLE[:2]


class Bot:
    """A bot with a data folder of its own; `settings` are those that are not the default, as SECTION__KEY."""

    def __init__(self, data: Path, settings: Mapping[str, str]) -> None:
        self.data = data
        # Not the file of whoever measures.
        self.config = load_config(Path(os.devnull), {f"MOCKINGBIRD__{key}": value for key, value in settings.items()})

    def lag(self, seconds: float, recipe: str, flying: int = FLYING) -> dict[str, float]:
        """While the bot runs with its local platform, one persona trains by that recipe and so many imitations of
        another are always under way, for so long or until the training is over: how late the loop is, the 99th
        percentile and the worst, in ms, and how often it was looked at and imitations were done."""
        return asyncio.run(self._lag(seconds, recipe, flying))

    async def _lag(self, seconds: float, recipe: str, flying: int) -> dict[str, float]:
        async with App(self.config, self.data, {}) as app:
            for handle in (SPEAKER, LEARNER):
                with as_file(files("bot") / "demo" / f"{handle}.jsonl") as path:
                    await ingest(app.database, path, None, now_ms())
            job = await request(app.database, [SPEAKER], "quick", None, 0, now_ms())
            await app.carry_out(job, _ignore, _ignore)
            await app.imitator.imitate(SPEAKER, "", 1, 0, app.sampling)  # the worker's start is not measured

            stop = asyncio.Event()
            await request(app.database, [LEARNER], recipe, None, 0, now_ms())
            running = asyncio.create_task(app.run(_ignore, stop))
            made = [0] * flying
            imitating = [asyncio.create_task(_imitate(app, number, made)) for number in range(flying)]
            try:
                training = run.folder_of(self.data, 2)
                await _begun(training, running)
                before = sum(made)
                lags = await lateness(seconds, lambda: run.results(training) is not None)
                done = sum(made) - before
            finally:
                for task in imitating:
                    task.cancel()
                ends = await asyncio.gather(*imitating, return_exceptions=True)
                stop.set()
                await running
        for end in ends:
            if isinstance(end, Exception):
                raise end
        return {"p99_ms": lags[int(0.99 * len(lags))], "worst_ms": lags[-1], "looks": len(lags), "imitations": done}


async def lateness(seconds: float, over: Callable[[], bool]) -> list[float]:
    """How much later than wished, in ms, each short sleep ended, the least first; for so long or until it is over."""
    loop = asyncio.get_running_loop()
    found: list[float] = []
    end = loop.time() + seconds
    while not found or (loop.time() < end and not over()):
        began = loop.time()
        await asyncio.sleep(TIMER)
        found.append((loop.time() - began - TIMER) * 1000)
    return sorted(found)


async def _imitate(app: App, number: int, made: list[int]) -> None:
    """One imitation after another until it is cancelled."""
    seed = number
    while True:
        await app.imitator.imitate(SPEAKER, "", 1, seed, app.sampling)
        made[number] += 1
        seed += len(made)


async def _begun(training: Path, running: asyncio.Task[None]) -> None:
    """Waits until a training has made a step, or the bot that is to do it has failed."""
    async with asyncio.timeout(START_SECONDS):
        while not (training / "progress.jsonl").exists():
            if running.done():
                await running
            await asyncio.sleep(0.1)


def _ignore(_: object) -> None:
    pass
