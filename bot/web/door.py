"""The door: where an operation is done, by the running bot if there is one, else by opening the data ourselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from bot.app import App
from bot.domain import Asker
from bot.errors import DataDirectoryHeld
from bot.web import socket
from bot.web.operation import Answer, Asked, Operation, Tell

A = TypeVar("A", bound=Asked)

PATIENCE_S = 5.0  # a bot that starts or stops, or another command, holds the directory a moment without answering
PAUSE_S = 0.1


class Door(Protocol):
    """Does an operation, here or there."""

    async def ask(self, operation: Operation[A], asked: A, tell: Tell) -> Answer: ...


@asynccontextmanager
async def door(folder: Path, open_app: Callable[[], App]) -> AsyncIterator[Door]:
    """Leads to the bot that runs on this data directory, or into an app of our own. Raises DataDirectoryHeld if
    somebody holds the directory and does not answer."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE_S
    while True:
        async with AsyncExitStack() as stack:
            found = await reach(folder, stack)
            if found is None:
                try:
                    found = Inside(await stack.enter_async_context(open_app()))
                except DataDirectoryHeld:
                    if loop.time() >= end:
                        raise
            if found is not None:
                yield found
                return
        await asyncio.sleep(PAUSE_S)


async def reach(folder: Path, stack: AsyncExitStack) -> Door | None:
    """The running bot, if one listens."""
    try:
        if not (folder / socket.NAME).exists():
            return None
    except OSError:  # no such name can be: whoever opens the directory says so
        return None
    path = stack.enter_context(socket.address(folder))
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except OSError:  # a bot that was killed left its socket behind
        return None
    writer.close()
    from bot.web.client import Outside  # aiohttp takes longer to import than most commands take

    return await stack.enter_async_context(Outside(path))


class Inside:
    """An app that this command has opened for itself."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def ask(self, operation: Operation[A], asked: A, tell: Tell) -> Answer:
        return await operation.do(self._app, asked, Asker(), tell)
