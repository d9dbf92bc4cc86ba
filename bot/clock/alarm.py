"""The alarm: rings when something is due, and now and then without."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from bot.clock.wall import utc

log = logging.getLogger(__name__)

SOON = timedelta(milliseconds=20)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Alarm:
    """Rings once at the time it was set to, and at least every `longest_s` seconds; one ringing at a time."""

    def __init__(self, ring: Callable[[], Awaitable[None]], longest_s: float = 30.0) -> None:
        self._ring = ring
        self._longest = timedelta(seconds=longest_s)
        self._due: int | None = None
        self._ringing: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._scheduler: AsyncIOScheduler | None = None
        self._job: Job | None = None
        self._at_latest: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Starts in the running event loop and rings at once: something may have become due while we were away."""
        logging.getLogger("apscheduler").setLevel(logging.ERROR)  # it tells of every single ringing
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._job = self._scheduler.add_job(
            self._run,
            IntervalTrigger(seconds=self._longest.total_seconds(), timezone=UTC),
            next_run_time=datetime.now(UTC),
            coalesce=True,
            max_instances=2,  # a busy loop may still count the last ringing as running when the next is due
            misfire_grace_time=None,
        )
        self._scheduler.start()

    def set(self, next_due_ms: int | None) -> None:
        """Sets the time to ring next, in place of the one before; None leaves only the regular ringing."""
        self._due = next_due_ms
        if self._idle.is_set():
            self._arm()

    async def stop(self) -> None:
        """Cancels a ringing under way, waits until it has ended, and rings no more."""
        scheduler, self._scheduler, self._job = self._scheduler, None, None
        self._disarm()
        if self._ringing is not None:
            self._ringing.cancel()
        await self._idle.wait()
        if scheduler is not None:
            scheduler.shutdown(wait=False)
            await asyncio.sleep(0)  # its shutdown is a callback of the loop

    async def _run(self) -> None:
        if self._job is None or not self._idle.is_set():
            return
        if self._due is not None and self._due <= now_ms():
            self._due = None
        self._idle.clear()
        self._disarm()
        # A task of our own, because APScheduler would abandon one of its own when it shuts down.
        self._ringing = asyncio.ensure_future(self._ring())
        await asyncio.wait([self._ringing])
        if not self._ringing.cancelled() and (error := self._ringing.exception()) is not None:
            log.error("what the alarm calls has failed; it rings again", exc_info=error)
        self._ringing = None
        self._idle.set()
        self._arm()

    def _arm(self) -> None:
        if self._job is None:
            return
        # Not at this very moment: the ringing that just ended still counts as running until the loop has turned.
        soonest = datetime.now(UTC) + SOON
        latest = datetime.now(UTC) + self._longest
        self._job.modify(next_run_time=latest if self._due is None else min(latest, max(soonest, utc(self._due))))
        # The scheduler goes by the clock on the wall: set back by an hour, that would leave us asleep for as long.
        self._disarm()
        self._at_latest = asyncio.get_running_loop().call_later(self._longest.total_seconds(), self._ring_now)

    def _ring_now(self) -> None:
        if self._job is not None:
            self._job.modify(next_run_time=datetime.now(UTC))

    def _disarm(self) -> None:
        if self._at_latest is not None:
            self._at_latest.cancel()
