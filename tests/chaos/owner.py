"""The bot of a random sequence, and its owner, who wishes for posts and decides what the bot leaves to people."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from bot.domain import Post, Poster
from bot.errors import PostRefuses
from bot.flows.deliver import deliver_due
from bot.platforms.local.poster import LocalPoster
from bot.store import accounts, decisions, outbox
from bot.store.database import Database, Db
from tests.chaos import script
from tests.servers.platform import World
from tests.threads import add_thread

PLATFORM = "loopback"
UNDECIDED = "SELECT id FROM outbox WHERE state = 'review' ORDER BY id"
WAITING = "SELECT id, state FROM outbox WHERE state IN ('draft', 'queued') AND kind <> 'notice' ORDER BY id"
OPEN = "SELECT count(*) FROM outbox WHERE state IN ('draft', 'queued', 'sending', 'unknown', 'review')"


class Bot:
    """What the application does with its outbox, on a clock of its own."""

    def __init__(self, database: Database, poster: Poster, now: Callable[[], int], asked: script.Sequence) -> None:
        self._database = database
        self._now = now
        self._asked = asked
        self._rng = random.Random(f"{asked.seed} owner")
        local = LocalPoster(database, lambda entry: None, now)
        self._posters: dict[str, Poster] = {PLATFORM: poster, local.platform: local}

    async def start(self) -> None:
        """What was under way is looked up; what is wished for, is queued, if it is not yet."""
        await self._database.run(lambda db: outbox.recover(db, self._now()))
        for number, unit in enumerate(self._asked.units):
            await self._database.run(lambda db, number=number, unit=unit: self._add(db, number, unit))  # type: ignore[misc]

    def _add(self, db: Db, number: int, unit: script.Unit) -> list[Post]:
        due = script.START
        until = due + self._asked.stay_ms
        texts, wish = self._asked.texts(number), f"wish:{number}"
        return add_thread(db, PLATFORM, unit.account, wish, {}, texts, due, until, self._now(), unit.draft)

    async def ring(self) -> int | None:
        """Does what is due, while the owner may meddle; returns when something will be next."""
        delivering = asyncio.ensure_future(deliver_due(self._database, self._posters, self._now, self._asked.limits))
        try:
            if self._asked.meddles:
                await self._meddle()
        finally:
            await delivering
        return await self._database.run(lambda db: outbox.earliest(db, self._posters.keys()))

    async def is_open(self) -> bool:
        return bool(await self._database.run(lambda db: db.execute(OPEN).fetchone()[0]))

    async def decide(self, world: World) -> bool:
        """The owner lets accounts speak again, and says truthfully of each post that waits for a decision whether it
        stands on the platform; False if there was nothing to decide."""

        def decide(db: Db) -> bool:
            undecided = db.execute(UNDECIDED).fetchall()
            for (post_id,) in undecided:
                self._decide(db, post_id, world)
            paused = [found for found in accounts.every(db) if found.paused_at is not None]
            for found in paused:
                accounts.resume(db, found.platform, found.account)
            return bool(undecided or paused)

        return await self._database.run(decide)

    async def _meddle(self) -> None:
        """Now and then the owner approves a draft, or drops what waits."""

        def meddle(db: Db) -> None:
            for post_id, state in db.execute(WAITING).fetchall():
                try:
                    if state == "draft" and self._rng.random() < 0.3:
                        decisions.approve(db, post_id, self._now(), self._asked.stay_ms)
                    elif self._rng.random() < 0.01:
                        decisions.drop(db, post_id, self._now())
                except PostRefuses:
                    pass

        await self._database.run(meddle)

    def _decide(self, db: Db, post_id: str, world: World) -> Post:
        standing = next((post for post in world.record() if post.row == post_id), None)
        if standing is not None:
            return decisions.confirm(db, post_id, standing.id, self._now())
        if self._rng.random() < 0.5:
            return decisions.drop(db, post_id, self._now())
        return decisions.retry(db, post_id, self._now(), self._asked.stay_ms)
