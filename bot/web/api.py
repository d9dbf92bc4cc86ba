"""The control socket: every operation as JSON over HTTP, its progress as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import ValidationError

from bot.app import App
from bot.domain import Asker
from bot.errors import BadRequest, BotStopping, DiskFull, MockingbirdError, Unexpected
from bot.web import socket
from bot.web.operation import Answer, Asked, Operation, Tell
from bot.web.operations import EVERY

log = logging.getLogger(__name__)

EVENTS = "text/event-stream"
VERSION = "Mockingbird-Version"
GRACE_S = 2.0  # what is still being answered when the bot stops may take so long
LARGEST = 2**20  # bytes of a body


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[None]:
    """Answers on the socket in the data directory; at the end, whoever still waits is told that the bot stops."""
    server = Server(app)
    runner = web.AppRunner(server.routes(), access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
    await runner.setup()
    with socket.address(app.database.folder) as path:
        try:
            await web.SockSite(runner, socket.listening(path)).start()
            yield
        finally:
            await server.stop()
            await runner.cleanup()
            with contextlib.suppress(OSError):
                os.unlink(path)


class Server:
    """Owns what is being answered, so that nobody is left without an answer when the bot stops."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._work: set[asyncio.Future[Answer]] = set()
        self._stopping = False

    def routes(self) -> web.Application:
        made = web.Application(client_max_size=LARGEST, middlewares=[in_json])
        for operation in EVERY:
            made.router.add_route(operation.method, operation.path, partial(self._answer, operation))
        made.on_response_prepare.append(sign)
        return made

    async def stop(self) -> None:
        """Takes nothing new, and ends what is under way if it does not end soon."""
        self._stopping = True
        if self._work:
            await asyncio.wait(self._work, timeout=GRACE_S)
        for work in self._work:
            work.cancel()

    async def _answer(self, operation: Operation[Any], request: web.Request) -> web.StreamResponse:
        if EVENTS in request.headers.get("Accept", ""):
            return await self._stream(operation, request)
        status, answer = await self._outcome(operation, request, lambda progress: None)
        return web.json_response(answer, status=status)

    async def _stream(self, operation: Operation[Any], request: web.Request) -> web.StreamResponse:
        """Events named `progress`, as many as there are, and then one named `answer` or `error`."""
        response = web.StreamResponse(headers={"Content-Type": EVENTS, "Cache-Control": "no-store"})
        try:
            await response.prepare(request)
        except ConnectionResetError:  # whoever asked has gone already
            return response
        events: asyncio.Queue[tuple[str, Answer] | None] = asyncio.Queue()

        async def work() -> None:
            status, answer = await self._outcome(operation, request, lambda told: events.put_nowait(("progress", told)))
            events.put_nowait(("answer", answer) if status == 200 else ("error", answer["error"]))
            events.put_nowait(None)

        working = asyncio.create_task(work())
        try:
            while (event := await events.get()) is not None:
                await response.write(f"event: {event[0]}\ndata: {json.dumps(event[1])}\n\n".encode())
        except ConnectionResetError:
            log.info("%s %s: whoever asked has gone", request.method, request.path)
        finally:
            working.cancel()
            await asyncio.wait([working])
        return response

    async def _outcome(self, operation: Operation[Any], request: web.Request, tell: Tell) -> tuple[int, Answer]:
        """The status and the answer, which is `{"error": ...}` unless the status is 200."""
        try:
            asked = await read(operation, request)
            if operation.method != "GET":
                log.info("%s %s", request.method, request.path)
            answer = await self._do(operation.do(self._app, asked, Asker(), tell))
            if operation.method != "GET":
                self._app.wake()  # something may be due now that was not
            return 200, answer
        except MockingbirdError as error:
            return status_of(error), said_of(error)
        except Exception:
            reference = secrets.token_hex(4)
            log.exception("%s %s failed, reference %s", operation.method, operation.path, reference)
            return 500, said_of(Unexpected(reference=reference))

    async def _do(self, doing: Awaitable[Answer]) -> Answer:
        if self._stopping:
            raise BotStopping()
        work = asyncio.ensure_future(doing)
        self._work.add(work)
        try:
            return await work
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # whoever asked has gone
                work.cancel()
                await asyncio.wait([work])
                raise
            raise BotStopping() from None
        finally:
            self._work.discard(work)


@web.middleware
async def in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What aiohttp itself refuses, such as an unknown path, is told as all else is."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        told = BadRequest(reason=f"{request.method} {request.path}: {error.reason}")
        return web.json_response(said_of(told), status=error.status)


async def sign(request: web.Request, response: web.StreamResponse) -> None:
    """Says which version answers, for a shell that may be of another."""
    response.headers[VERSION] = version("mockingbird")


async def read(operation: Operation[Any], request: web.Request) -> Asked:
    """What is asked, from path, query and body; BadRequest if it is not what the operation takes."""
    given: dict[str, object] = dict(request.query)
    if request.can_read_body:
        try:
            body = await request.json()
            json.dumps(body, ensure_ascii=False).encode()  # half a letter can be written in JSON, but kept nowhere
        except (ValueError, RecursionError):
            raise BadRequest(reason="The body is not JSON") from None
        except web.HTTPRequestEntityTooLarge:
            raise BadRequest(reason=f"The body is larger than {LARGEST:,} bytes") from None
        if not isinstance(body, dict):
            raise BadRequest(reason="The body is not a JSON object")
        given |= body
    try:
        asked: Asked = operation.asked.model_validate({**given, **request.match_info})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the request"
        raise BadRequest(reason=f"{where}: {first['msg']}") from None
    return asked


def said_of(error: MockingbirdError) -> Answer:
    return {"error": {"kind": type(error).__name__, "message": str(error), "exit_code": error.exit_code}}


def status_of(error: MockingbirdError) -> int:
    if isinstance(error, BadRequest):
        return 400
    if type(error).__name__.startswith("Unknown"):
        return 404
    if isinstance(error, DiskFull):
        return 507
    return 503 if error.passing else 422
