"""Following: what people wait for is seen through by one task each, until they have their answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any


class Following:
    """Owns these tasks, by interaction. What is under way when it stops is taken up again after the next start."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asked: set[str] = set()

    @contextlib.contextmanager
    def asking(self, interaction_id: str) -> Iterator[None]:
        """Until it is acknowledged nobody else may take it up: its answer would find no message."""
        self._asked.add(interaction_id)
        try:
            yield
        finally:
            self._asked.discard(interaction_id)

    def follows(self, interaction_id: str) -> bool:
        return interaction_id in self._tasks

    def knows(self, interaction_id: str) -> bool:
        return interaction_id in self._tasks or interaction_id in self._asked

    def start(self, interaction_id: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Nothing happens if it is followed already."""
        if interaction_id not in self._tasks:
            task = self._tasks[interaction_id] = asyncio.create_task(work())
            task.add_done_callback(partial(self._done, interaction_id))

    def __len__(self) -> int:
        return len(self._tasks)

    async def stop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _done(self, interaction_id: str, task: asyncio.Task[None]) -> None:
        del self._tasks[interaction_id]
