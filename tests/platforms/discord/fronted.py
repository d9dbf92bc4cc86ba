"""A whole bot on a loopback Discord: real store, desk, client, commands; what imitates and trains is scripted."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import discord
import discord.http
import pytest

from bot.app import App
from bot.clock import now_ms
from bot.config import Config, DiscordSettings
from bot.domain import Job, Persona
from bot.flows.deliver import keep_delivering
from bot.flows.waiters import Hear
from bot.flows.waiting import Desk
from bot.platforms.discord.answers.aloud import dressed
from bot.platforms.discord.answers.ask import keep_answering
from bot.platforms.discord.commands.press import pressed
from bot.platforms.discord.commands.tree import install
from bot.platforms.discord.connection.client import Ears, MockingbirdClient
from bot.platforms.discord.connection.connection import Connection
from bot.platforms.discord.connection.pace import Pace
from bot.platforms.discord.front import Front, Interaction
from bot.platforms.discord.poster import DiscordPoster
from bot.platforms.discord.seal import Seal, read_key
from bot.store import interactions, jobs, personas, runs, timelines
from bot.store.database import Database, Db
from models.wire import Progress
from tests.servers.discord.clients import running
from tests.servers.discord.conftest import Place


def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """discord.py waits up to 7 s before it repeats what was answered by 5xx: not here."""
    quick = types.SimpleNamespace(**{**vars(asyncio), "sleep": lambda seconds: asyncio.sleep(min(seconds, 0.001))})
    monkeypatch.setattr(discord.webhook.async_, "asyncio", quick)


@dataclass
class Script:
    """What imitates and trains: it does as it is told here, when it may."""

    now: int = 0
    free: asyncio.Event = field(default_factory=asyncio.Event)
    errors: list[Exception] = field(default_factory=list)  # of the next ones
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)  # jobs
    hear: Hear = lambda event: None
    cut: bool = False
    says: str = ""  # instead of a text with a number

    def __post_init__(self) -> None:
        self.free.set()

    async def imitate(self, asked: Mapping[str, Any], person: str, place: str) -> Mapping[str, Any]:
        self.asked.append(asked)
        number = len(self.asked)
        await self.free.wait()
        if self.errors:
            raise self.errors.pop(0)
        texts = [self.says or f"text {number}.{index + 1}{' and on' * index}" for index in range(asked.get("n") or 1)]
        return {
            "persona": asked["persona"], "checkpoint": "1", "prompt": asked.get("prompt") or "", "cut": self.cut,
            "message": asked.get("reply_to"),
            "candidates": [
                {"text": text, "seed": seed, "verdict": "accepted", "reasons": [], "rank": 1.0}
                for seed, text in enumerate(texts)
            ],
        }  # fmt: skip


class Alone:
    """`script` goes on when the bot is stopped and started again over the same `data`."""

    def __init__(self, data: Path, token: str, home: str) -> None:
        self.data, self.token, self.home, self.script = data, token, home, Script()
        self.skew_ms = 0  # how far the bot's clock is ahead
        self._stack = AsyncExitStack()

    def now(self) -> int:
        return now_ms() + self.skew_ms

    async def start(self) -> None:
        await self._stack.enter_async_context(self._running())

    async def stop(self) -> None:
        await self._stack.aclose()

    async def asked(self, count: int = 1) -> None:
        """When so many imitations have begun."""
        async with asyncio.timeout(10):
            while len(self.script.asked) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    @property
    def database(self) -> Database:
        return self.app.database

    async def rows(self) -> list[interactions.Interaction]:
        ids = await self.database.run(
            lambda db: [row[0] for row in db.execute("SELECT id FROM interactions ORDER BY created_at, id")]
        )
        found = await self.database.run(lambda db: [interactions.get(db, id) for id in ids])
        return [row for row in found if row is not None]

    async def closed(self, count: int = 1) -> list[interactions.Interaction]:
        """All interactions, once so many are closed."""
        async with asyncio.timeout(10):
            while sum(row.state != "open" for row in await self.rows()) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return await self.rows()

    async def persona(self, *handles: str, where: str | None = None, trained: bool = True) -> Persona:
        """One that can speak, in the guild unless another place is named."""
        home = where or self.home

        def transaction(db: Db) -> Persona:
            for handle in handles:
                timelines.hold(db, handle, None, [], 1, home)
            made = personas.create(db, handles, 1, home)
            if trained:
                run_id = runs.begin(db, made.id, "standard", 1, "abc", 1)
                personas.promote(db, made.id, run_id)
            return made

        return await self.database.run(transaction)

    async def _train(self, job: Job, hear: Hear) -> None:
        """Tells of two steps, and is done when it may."""

        def begin(db: Db) -> int:
            return job.run_id or runs.begin(db, job.persona_id, job.recipe, job.seed, "abc", 1)

        self.script.trained.append(job.id)
        self.script.hear = hear
        run_id = await self.database.run(begin)
        await self.database.run(lambda db: jobs.start(db, job.id, run_id))
        for step, loss in ((10, 4.25), (20, 3.5)):
            hear(asdict(Progress(step, 40, loss, loss + 0.1, 30.0)))
        try:
            await self.script.free.wait()
            if self.script.errors:
                raise self.script.errors.pop(0)
        except asyncio.CancelledError:
            with contextlib.suppress(LookupError):
                await self.database.run(lambda db: jobs.requeue(db, job.id))
            raise
        results = {"train_seconds": 60.0, "heldout_loss": 3.25, "base_heldout_loss": 4.5}

        def conclude(db: Db) -> None:
            runs.finish(db, run_id, results, 1)
            personas.promote(db, job.persona_id, run_id)
            jobs.finish(db, job.id, 1)

        await self.database.run(conclude)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        here = discord.http.Route.BASE  # where the tests have sent discord.py
        chosen = {"quota": {"waiting_per_person": 5}, "discord": {"api_base": here, "cooldown_seconds": 0}}
        config = Config.model_validate(chosen)
        async with App(config, self.data, {}) as self.app, contextlib.AsyncExitStack() as stack:
            app = self.app
            app.desk = Desk(app.database, config.quota, self.script.imitate, self._train, 2)
            connection = Connection()
            self.front = front = Front(
                app, lambda: connection.client, Seal(read_key(self.data / "discord.key")), now=self.now
            )

            async def press(interaction: Interaction) -> None:
                await pressed(front, interaction)

            poster = DiscordPoster(lambda: connection.client, dressed=partial(dressed, front))
            app.wake = app.queued.set  # type: ignore[method-assign]
            posters = {poster.platform: poster}
            work = (
                app.desk.run(),
                keep_delivering(app.database, posters, front.now, lambda: app.limits, app.forbids, app.queued),
                keep_answering(front, connection.ready),
            )
            tasks = [asyncio.create_task(each) for each in work]
            stack.push_async_callback(_end, tasks)
            self.client = MockingbirdClient(
                *(Ears(partial(install, front), on_interaction=press), connection, app.database, DiscordSettings()),
                pace=Pace(identify_s=0.02, close_s=0.5), guild_ready_timeout=0.02,
            )  # fmt: skip
            await stack.enter_async_context(running(self.client, self.token))
            yield


class Bot(Alone):
    """The same beside the world in which it is."""

    def __init__(self, place: Place, data: Path) -> None:
        super().__init__(data, place.server.token, f"discord:{place.guild.id}")
        self.place = place
        self.world, self.server, self.channel, self.ann = place.world, place.server, place.channel, place.ann

    def pass_time(self, seconds: float) -> None:
        """For Discord and for the bot."""
        self.world.pass_time(seconds)
        self.skew_ms += round(seconds * 1000)

    async def start(self) -> None:
        await super().start()
        await self.world.until(lambda: self.world.commands.get(None))


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for task, ended in zip(tasks, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
        assert isinstance(ended, asyncio.CancelledError), (task, ended)
