"""A life of the bot inside this process that can end at any step, as if the process had been killed there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from bot.domain import Capability, Post, Poster
from bot.store.database import Database, Transaction

T = TypeVar("T")


class Died(BaseException):
    """Nobody may catch this: a process that is gone handles no errors."""


class Life:
    """Counts steps and ends at the given one, or, `gently`, is asked to end there; with None it lives on."""

    def __init__(self, last_step: int | None, gently: bool = False) -> None:
        self.last_step = last_step
        self.gently = gently
        self.steps = 0
        self.ended = asyncio.Event()
        self.asked = asyncio.Event()

    def step(self) -> None:
        """Raises Died at the last step and ever after."""
        self.steps += 1
        if self.last_step is not None and self.steps >= self.last_step:
            (self.asked if self.gently else self.ended).set()
        if self.ended.is_set():
            raise Died

    async def until_asked(self, work: Coroutine[Any, Any, T]) -> T:
        """Does the work; when life is asked to end, cancels it, as the bot does that is told to stop, waits until it
        has ended, and raises Died."""
        task = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self.asked.wait())
        await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if self.asked.is_set():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise Died
        return task.result()

    async def unless_ended(self, work: Coroutine[Any, Any, T]) -> T:
        """Does the work, or leaves it where it is when life ends."""
        task = asyncio.ensure_future(work)
        end = asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
            if self.ended.is_set():
                raise Died
            return task.result()
        finally:
            for one in (task, end):
                one.cancel()
            await asyncio.gather(task, end, return_exceptions=True)


class MortalDatabase(Database):
    """Life may end before a transaction and after it, before anybody hears of its result."""

    def __init__(self, folder: Path, life: Life) -> None:
        super().__init__(folder)
        self._life = life

    async def run(self, fn: Transaction[T]) -> T:
        self._life.step()
        result = await super().run(fn)
        self._life.step()
        return result


class MortalPoster:
    """Life may end before a request, while it is under way, and before anybody hears of its answer."""

    def __init__(self, poster: Poster, life: Life) -> None:
        self._poster = poster
        self._life = life

    @property
    def platform(self) -> str:
        return self._poster.platform

    @property
    def capability(self) -> Capability:
        return self._poster.capability

    async def send(self, post: Post) -> str:
        self._life.step()
        remote_id = await self._life.unless_ended(self._poster.send(post))
        self._life.step()
        return remote_id

    async def find(self, post: Post) -> Any:
        self._life.step()
        found = await self._life.unless_ended(self._poster.find(post))
        self._life.step()
        return found
