"""A clock for a real bot in a process of its own that need not wait: it jumps to what the alarm was set to."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from bot import clock
from bot.clock import alarm, due
from bot.store import outbox


class Warp:
    """Real time, and ahead of it by what was skipped; what it shows last is kept in `file`, for the life after this."""

    def __init__(self, start: int, file: Path) -> None:
        self.ahead = start - time.time_ns() // 1_000_000
        self.rung = asyncio.Event()
        self.dues: dict[str, int | None] = {}  # by who waits: until when
        self._alarm: alarm.Alarm | None = None
        self._kept = os.open(file, os.O_RDWR | os.O_CREAT)
        self._keep()

    def now(self) -> int:
        return self.ahead + time.time_ns() // 1_000_000

    @property
    def due(self) -> int | None:
        """What the bot waits for."""
        return min((due for due in self.dues.values() if due is not None), default=None)

    async def jump(self, to: int, queued: asyncio.Event) -> None:
        """Skips what lies between, and wakes whoever waits: the alarm, and the delivery by its event."""
        assert self._alarm is not None
        await self._alarm._idle.wait()
        self.ahead += max(0, to - self.now())
        self._keep()
        self.dues.clear()
        self.rung.clear()
        self._ringing = asyncio.create_task(self._alarm._run())  # at once; APScheduler's own timer goes by real time
        queued.set()

    def install(self) -> None:
        """Makes it this process's clock. What somebody waits for is kept in `dues` until we jump there, and `rung` is
        set as soon as all of them wait."""
        original, utc, earliest, warp = clock.now_ms, due.utc, outbox.earliest, self
        for name, module in list(sys.modules.items()):
            if name.startswith("bot.") and getattr(module, "now_ms", None) is original:
                module.now_ms = self.now  # type: ignore[attr-defined]
        clock.now_ms = self.now

        def real(instant: int) -> datetime:
            return utc(instant - warp.ahead)

        def set_alarm(rings: alarm.Alarm, next_due_ms: int | None) -> None:
            warp._alarm = rings
            warp._wait("alarm", next_due_ms)

        def earliest_post(*arguments: Any, **options: Any) -> int | None:
            found = earliest(*arguments, **options)
            warp._loop.call_soon_threadsafe(warp._wait, "outbox", found)
            return found

        alarm.utc = real  # type: ignore[attr-defined]
        alarm.Alarm.set = set_alarm  # type: ignore[method-assign]
        outbox.earliest = earliest_post

    def start(self) -> None:
        """In the loop of the bot."""
        self._loop = asyncio.get_running_loop()

    def _wait(self, who: str, until: int | None) -> None:
        self.dues[who] = until
        if self.dues.keys() == {"alarm", "outbox"}:
            self.rung.set()

    def _keep(self) -> None:
        os.pwrite(self._kept, b"%020d" % self.now(), 0)


def kept(file: Path, otherwise: int) -> int:
    """What the clock showed when it was last changed; `otherwise`, if its process ended before it showed anything."""
    shown = file.read_bytes() if file.exists() else b""
    return int(shown) if shown else otherwise
