"""Together: several pieces of work at once, a bounded number of them at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

A = TypeVar("A")
B = TypeVar("B")


async def together(work: Callable[[A], Awaitable[B]], of: Iterable[A], at_once: int) -> list[B]:
    """The results in the order of `of`; when one fails, its own error is raised and the others are given up."""
    room = asyncio.Semaphore(at_once)

    async def one(item: A) -> B:
        async with room:
            return await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in of]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]
