"""The product's worker for a benchmark: the same process behind the same pool, waited for."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bot.pool.local import LocalPool, WorkerSettings
from bot.pool.protocol import Wish
from models.sampling import Sampling

BUDGET_MB = 8192  # nothing is to leave memory while it is measured


def exactly(tokens: int) -> Sampling:
    """Draws so many tokens, no more and no fewer."""
    return Sampling(temperature=1.0, top_p=0.95, top_k=0, max_tokens=tokens, min_tokens=tokens)


class Worker:
    """One worker behind a pool of its own; it starts with the first texts and ends with the `with`."""

    def __init__(self, device: str, threads: int, log: Path, most_rows: int = 32) -> None:
        self.pool = LocalPool(
            WorkerSettings(
                device=device,
                threads=threads,
                budget_mb=BUDGET_MB,
                max_batch=most_rows,
                max_waiting=10_000,
                max_waiting_per_person=10_000,
                hang_seconds=600.0,
                log=log,
                cache=log.parent / "cache",
            )
        )
        self.runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.runner.run(self.pool.close())
        self.runner.close()

    def texts(self, wishes: Sequence[Wish]) -> int:
        """All of them at once; returns how many tokens were made."""
        return sum(tokens for tokens, _ in self._timed(wishes))

    def waits(self, wishes: Sequence[Wish]) -> list[float]:
        """All of them at once; returns the seconds that each took, the least first."""
        return sorted(seconds for _, seconds in self._timed(wishes))

    def seconds(self, wishes: Sequence[Wish]) -> float:
        return self.waits(wishes)[-1]

    def _timed(self, wishes: Sequence[Wish]) -> list[tuple[int, float]]:
        async def one(wish: Wish) -> tuple[int, float]:
            began = time.monotonic()
            done = await self.pool.generate(wish)
            return done.tokens, time.monotonic() - began

        async def all_of_them() -> list[tuple[int, float]]:
            return await asyncio.gather(*map(one, wishes))

        return self.runner.run(all_of_them())

    @property
    def resident_mib(self) -> float:
        """The memory of the worker's process now; raises OSError where there is no /proc."""
        status = Path(f"/proc/{self.pool.worker_pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024
