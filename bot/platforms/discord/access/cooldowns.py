"""Cooldowns: how soon somebody may use the same command again; in memory, so that refusing costs next to nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

MOST = 100_000  # uses that are remembered


class Cooldowns:
    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._used: dict[tuple[str, str], float] = {}  # the longest ago first

    def __len__(self) -> int:
        return len(self._used)

    def wait_s(self, person: str, command: str, seconds: float) -> float:
        """0 if they may use it, which then counts as a use; else how long they must wait yet. A refused use does not
        make it longer."""
        key, now = (person, command), self._now()
        used = self._used.get(key)
        if used is not None and now < used + seconds:
            return used + seconds - now
        self._used.pop(key, None)
        self._used[key] = now
        while (first := next(iter(self._used))) != key and (
            len(self._used) > MOST or now >= self._used[first] + seconds
        ):
            del self._used[first]
        return 0.0
