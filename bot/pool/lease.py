"""The lease on the machine: a training holds it while nothing is asked of the worker, on a CPU as on a GPU."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from models.wire import Pause, Resume

Say = Callable[[Pause | Resume], Awaitable[None]]  # to a trainer; raises ConnectionError when it is gone
LINGER = 0.2  # seconds without a request before the trainer may go on: those of one imitation come in several rounds


class Lease:
    """Knows whether anything is in flight and whether anybody trains, and tells the trainer when it may."""

    def __init__(self) -> None:
        self._in_flight = self._trainers = 0
        self._change = asyncio.Event()  # never stays set: it wakes those who wait for a change

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """While a request is in flight."""
        self._in_flight += 1
        self._changed()
        try:
            yield
        finally:
            self._in_flight -= 1
            self._changed()

    @contextlib.asynccontextmanager
    async def lent(self, say: Say) -> AsyncIterator[None]:
        """While a trainer lives: it hears whenever its lease is taken and when it is given back."""
        self._trainers += 1
        self._changed()
        telling = asyncio.create_task(self._tell(say))
        try:
            yield
        finally:
            telling.cancel()
            self._trainers -= 1
            self._changed()

    async def idle(self, seconds: float) -> None:
        """Returns once nothing has been in flight, and nobody has trained, for so long."""
        await self._stays(lambda: not self._in_flight and not self._trainers, seconds)

    async def _tell(self, say: Say) -> None:
        with contextlib.suppress(ConnectionError):  # its end is noticed by whoever listens to it
            while True:
                await self._until(lambda: self._in_flight > 0)
                await say(Pause())
                await self._stays(lambda: not self._in_flight, LINGER)
                await say(Resume())

    async def _stays(self, holds: Callable[[], bool], seconds: float) -> None:
        while True:
            await self._until(holds)
            try:
                async with asyncio.timeout(seconds):
                    await self._until(lambda: not holds())
            except TimeoutError:
                return

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._change.wait()

    def _changed(self) -> None:
        self._change.set()
        self._change.clear()
