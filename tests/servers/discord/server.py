"""A Discord on loopback: a world, its gateway and its REST interface on one port, in the loop of the test.

async with LoopbackDiscord() as discord:
    guild = discord.world.add_guild("Meadow")
    ...a client at discord.api_url and discord.gateway_url, with discord.token...
assert discord.spec.findings == []
"""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import socket
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.servers.discord.faults import Fault, Limit, bucket_headers, too_many
from tests.servers.discord.gateway import Gateway
from tests.servers.discord.messages import Files
from tests.servers.discord.objects import JSON, ApiError, User
from tests.servers.discord.record import REQUEST_BYTES, Request
from tests.servers.discord.rest import CALLBACK, ROUTES, Call
from tests.servers.discord.spec import Spec
from tests.servers.discord.world import World

BOT_ID = "800000000000000001"
TOKEN = f"{base64.b64encode(BOT_ID.encode()).decode().rstrip('=')}.loop.back"
VERSION = "/api/v10"
LONGEST_HANG_S = 30.0
# Neither needs the bot's token: what stands in the path is the credential.
TOKEN_IN_PATH = (CALLBACK.split()[1], "/webhooks/{webhook_id}/{webhook_token}")
MAJOR = ("channel_id", "guild_id", "webhook_id")


class LoopbackDiscord:
    """`faults` and `limits` (by route) may be changed at any time; `world.requests` is what has arrived."""

    def __init__(
        self, *, message_content: bool = False, heartbeat_s: float = 41.25, token: str = TOKEN, port: int = 0
    ) -> None:
        self.token = token
        self.spec = Spec()
        self.faults: list[Fault] = []
        self.limits: dict[str, tuple[int, float]] = {}  # how many requests in how many seconds; else as good as none
        self._buckets: dict[str, Limit] = {}
        self._stopping = asyncio.Event()
        self._listening = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port = self._listening.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.api_url = self.base + VERSION
        self.gateway_url = f"ws://127.0.0.1:{self.port}/gateway/"
        self.world = World(token, User(BOT_ID, "mockingbird", bot=True), self.base, message_content)
        self.gateway = Gateway(self.world, heartbeat_s)
        self.gateway.url = self.gateway_url

    def fault(self, route: str, says: Any, **more: Any) -> Fault:
        """Lets something go wrong from the next request on; see `Fault`. Its `happened` counts."""
        self.faults.append(Fault(route, says, **more))
        return self.faults[-1]

    def asked(self, route: str) -> list[Request]:
        """The requests to a route so far."""
        return [request for request in self.world.requests if request.route == route]

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=4 * REQUEST_BYTES)
        app.router.add_get("/gateway/", self.gateway.serve)
        app.router.add_get("/attachments/{attachment_id}/{filename}", self._attachment)
        # what is fixed is matched before what is a name: /users/@me before /users/{user_id}
        for name in sorted(ROUTES, key=lambda name: ("@" not in name, name)):
            method, path = name.split()
            app.router.add_route(method, VERSION + path, self._handler(name))
        app.router.add_route("*", "/{path:.*}", self._unknown)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.SockSite(self._runner, self._listening).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self.gateway.accept = False
        self.gateway.drop()
        await self._runner.cleanup()

    # --- Requests -----------------------------------------------------------------------------------------------------

    def _handler(self, name: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._handle(name, request)

        return handle

    async def _unknown(self, request: web.Request) -> web.Response:
        """Discord knows many more routes; a bot that wants one of them shows here that this server lacks it."""
        self.spec.findings.append(f"{request.method} {request.path}: this server has no such route")
        return self._respond(404, {"code": 0, "message": "404: Not Found"}, {})

    async def _attachment(self, request: web.Request) -> web.Response:
        found = self.world.attachments.get(request.match_info["attachment_id"])
        if found is None or found.filename != request.match_info["filename"]:
            return web.Response(status=404, text="This content is no longer available.")
        if found.held is not None:
            await asyncio.wait([asyncio.create_task(each.wait()) for each in (found.held, self._stopping)],
                               return_when=asyncio.FIRST_COMPLETED)  # fmt: skip
        return web.Response(body=found.data, headers={"Content-Type": found.kind})

    async def _handle(self, name: str, request: web.Request) -> web.StreamResponse:
        at = self.world.now()
        body, files = await _read(request)
        fault = next((fault for fault in self.faults if fault.befalls(name)), None)
        limit, bucket = self._limit(name, request.match_info)
        status, answer = 0, None
        wait_s, scope = 0.0, "user"
        if fault is not None and fault.says == "429":
            wait_s, scope = fault.retry_after_s, fault.scope
        elif not limit.take():
            wait_s = limit.wait_s()
        elif fault is None or fault.applied or fault.says == "slow":
            status, answer = self._apply(name, request, body, files)
        headers = bucket_headers(bucket, limit.count, 0 if wait_s else limit.left, wait_s or limit.wait_s())
        if name == CALLBACK or scope == "global":  # Discord itself leaves them out there
            headers = {}
        if wait_s:
            answer, more = too_many(wait_s, scope)
            status, headers = 429, {**headers, **more}
        if status:
            method, path = name.split()
            self.spec.response(method, path, status, answer)
        if fault is not None and fault.says in ("500", "502", "503", "504"):
            status, answer = int(fault.says), {"code": 0, "message": "500: Internal Server Error"}
        unanswered = fault is not None and fault.says in ("reset", "hang")
        authorization = request.headers.get("Authorization")
        self.world.requests.append(Request(at, name, request.path, authorization, body, 0 if unanswered else status))
        self.world.changed()
        if fault is not None and fault.says == "reset":
            _reset(request)
        elif fault is not None and (fault.says == "hang" or fault.delay_s):
            await self._wait(request, LONGEST_HANG_S if fault.says == "hang" else fault.delay_s)
        return self._respond(status or 500, answer, headers)

    def _apply(self, name: str, request: web.Request, body: Any, files: Files) -> tuple[int, Any]:
        method, path = name.split()
        if not path.startswith(TOKEN_IN_PATH) and request.headers.get("Authorization") != f"Bot {self.token}":
            return 401, {"code": 0, "message": "401: Unauthorized"}
        given = {key: value for key, value in request.match_info.items() if key != "path"}
        query = dict(request.query)
        bad = self.spec.request(method, path, given, query, body)
        left = 1000 - len(self.gateway.identifies)
        call = Call(given, query, {} if body is None else body, files, self.gateway_url, left)
        try:
            if bad:
                what = " ".join(self.spec.findings[-bad:])
                try:
                    return ROUTES[name](self.world, call)
                except (KeyError, TypeError, ValueError, AttributeError):
                    raise ApiError(400, 50035, f"Invalid Form Body: {what}") from None
            return ROUTES[name](self.world, call)
        except ApiError as refused:
            return refused.status, refused.body

    def _limit(self, name: str, path: Mapping[str, str]) -> tuple[Limit, str]:
        key = name + "".join(path[part] for part in MAJOR if part in path)
        count, window_s = self.limits.get(name, (10_000, 1.0))
        bucket = self._buckets.get(key)
        if bucket is None or (bucket.count, bucket.window_s) != (count, window_s):
            bucket = self._buckets[key] = Limit(count, window_s)
        return bucket, _bucket_name(name)

    async def _wait(self, request: web.Request, seconds: float) -> None:
        """Until then, until the client has gone, or until the server stops."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while request.transport is not None and loop.time() < end and not self._stopping.is_set():
            try:
                await asyncio.wait_for(self._stopping.wait(), min(0.02, max(0.0, end - loop.time())))
            except TimeoutError:
                continue

    @staticmethod
    def _respond(status: int, answer: Any, headers: Mapping[str, str]) -> web.Response:
        """With the exact content type, and as having come through a proxy: clients go by both."""
        if answer is None:
            return web.Response(status=status, headers={**headers, "Via": "1.1 google"})
        more = {"Content-Type": "application/json", "Via": "1.1 google"}
        return web.Response(status=status, body=json.dumps(answer).encode(), headers={**headers, **more})


@functools.cache
def _bucket_name(route: str) -> str:
    return base64.b32encode(route.encode()).decode().lower().rstrip("=")[-32:]


async def _read(request: web.Request) -> tuple[Any, Files]:
    """The body, and the files that came with it."""
    if not request.body_exists:
        return None, []
    if request.content_type == "application/json":
        raw = await request.read()
        return (json.loads(raw) if raw else None), []
    if request.content_type != "multipart/form-data":
        return None, []
    body: JSON = {}
    files: Files = []
    form = await request.post()
    for name, value in form.items():
        if isinstance(value, web.FileField):
            files.append((value.filename, value.file.read(), value.content_type))
            value.file.close()
        elif name == "payload_json":
            body = json.loads(value if isinstance(value, str) else bytes(value))
    return body, files


def _reset(request: web.Request) -> None:
    """The connection is broken off; the client cannot tell whether anything was done."""
    if (transport := request.transport) is not None:
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.abort()
