"""The client: asks the running bot over its socket, and says so if it stops before it has answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp

from bot.errors import Answered, BotGone, BotSilent, OtherVersion
from bot.web.api import EVENTS, VERSION
from bot.web.operation import Answer, Asked, Operation, Tell

A = TypeVar("A", bound=Asked)

PATIENCE_S = 15.0


class Outside:
    """The bot behind the socket at `path`: `async with Outside(path) as bot`."""

    def __init__(self, path: str) -> None:
        self._session = aiohttp.ClientSession(
            "http://mockingbird",  # HTTP wants a name; the socket has none
            connector=aiohttp.UnixConnector(path),
            timeout=aiohttp.ClientTimeout(total=None),  # a training takes as long as it takes
            headers={"Accept": EVENTS},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(self, operation: Operation[A], asked: A, tell: Tell) -> Answer:
        """Raises Answered with what the bot said if it refused, BotGone if it never came to say anything."""
        given: dict[str, Any] = asked.model_dump(mode="json", exclude_none=True)
        names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
        path = operation.path.format(**{name: quote(str(given.pop(name)), safe="") for name in names})
        if operation.method == "POST":
            sent = {"json": given}
        else:
            sent = {"params": {name: str(value) for name, value in given.items()}}
        try:
            async with AsyncExitStack() as stack:
                asking = self._session.request(operation.method, path, **sent)  # type: ignore[arg-type]
                try:
                    async with asyncio.timeout(PATIENCE_S):  # the bot begins its answer before it does anything
                        response = await stack.enter_async_context(asking)
                except TimeoutError:
                    raise BotSilent() from None
                if response.content_type != EVENTS:
                    theirs, ours = response.headers.get(VERSION, "another"), version("mockingbird")
                    if theirs != ours:
                        raise OtherVersion(theirs=theirs, ours=ours)
                    raise Answered(reason=(await response.json())["error"]["message"])
                async for event, value in events(response):
                    if event == "progress":
                        tell(value)
                    elif event == "error":
                        refused = Answered(reason=value["message"])
                        refused.exit_code = value["exit_code"]
                        raise refused
                    else:
                        return value
        except aiohttp.ClientError as error:
            raise BotGone() from error
        raise BotGone()


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """(name, value) of each server-sent event, as our own server writes them."""
    name = ""
    buffer = b""
    async for chunk in response.content.iter_any():  # lines may be longer than aiohttp's line reader takes
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            key, _, value = line.decode().partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                yield name, json.loads(value)
