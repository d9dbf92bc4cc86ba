"""A platform on loopback that does with each request what its script says, and a record of what it accepted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

LONGEST_HANG_S = 20.0
JSON_503 = json.dumps({"title": "Service Unavailable", "status": 503})
HTML_503 = "<!doctype html><title>503</title><h1>Over capacity</h1>"
DUPLICATE = "You are not allowed to create a Tweet with duplicate content."

REFUSALS = ("400", "401", "403", "429")  # whoever is answered so may conclude that nothing was applied
Says = Literal[
    "ok", "reset", "503 json", "503 html", "empty", "truncated", "no id", "hang", "closed", "400", "401", "403", "429"
]
Applies = Literal["now", "later", "never"]


@dataclass(frozen=True)
class Answer:
    """What is done with one request to post: is it applied, and what does the client get to see."""

    says: Says = "ok"
    applies: Applies = "now"
    later_ms: int = 0  # how much later
    reset_s: int | None = None  # the header of a 429

    def __post_init__(self) -> None:
        assert self.applies == "never" or self.says not in REFUSALS, "no platform refuses what it applies"
        assert self.applies == "now" or self.says != "ok", "no platform confirms what it has not applied"


@dataclass(frozen=True)
class Look:
    """What is done with one request to read the timeline: it is shown as it was `lag_ms` ago (None: empty), or not."""

    says: Literal["ok", "503", "reset", "hang", "nonsense"] = "ok"
    lag_ms: int | None = 0


@dataclass(frozen=True)
class Accepted:
    """A post that stands on the platform; `row` is the client's own name of it, which only the record knows."""

    id: str
    account: str
    text: str
    row: str
    key: str | None
    reply_to: str | None
    at: int


@dataclass(frozen=True)
class Request:
    """One that arrived, accepted or not."""

    kind: Literal["post", "read"]
    account: str
    row: str
    at: int
    answer: str
    reset_at: int = 0  # before which the answer forbade further ones


@dataclass
class World:
    """What one platform has accepted and what it will answer. Its clock is the latest time that a client has told.

    `answer(account, number)` and `look(account, number)` say what becomes of the number-th request of an account, from
    0 on. An idempotency key is remembered for `key_ms`, by the clock; with `duplicates` false the same text of the same
    account is refused. `arrived(request)` is called for each request before it is answered, in the server's thread.
    """

    answer: Callable[[str, int], Answer] = lambda account, number: Answer()
    look: Callable[[str, int], Look] = lambda account, number: Look()
    key_ms: int = 0
    duplicates: bool = True
    arrived: Callable[[Request], None] = lambda request: None
    clock: int = 0
    accepted: list[Accepted] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    _later: list[tuple[int, Accepted]] = field(default_factory=list)
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def at(self, now: int) -> None:
        """Moves the clock on, and applies what was to be applied until then."""
        with self._lock:
            self.clock = max(self.clock, now)
            due = [entry for entry in self._later if entry[0] <= self.clock]
            self._later = [entry for entry in self._later if entry[0] > self.clock]
            for when, post in sorted(due, key=lambda entry: entry[0]):
                self._apply(post, when)

    def record(self) -> list[Accepted]:
        """What stands on the platform, in the order in which it came to stand there."""
        with self._lock:
            return list(self.accepted)

    def asked(self) -> list[Request]:
        with self._lock:
            return list(self.requests)

    def receive(self, post: Accepted) -> tuple[Answer, Accepted | None, str]:
        """What is answered to a request to post, the post as it stands then, and the reason of a refusal."""
        with self._lock:
            answer = self.answer(post.account, self._count("post", post.account))
            standing, reason = None, "refused by the platform"
            if answer.applies == "later":
                self._later.append((post.at + answer.later_ms, post))
            elif answer.applies == "now":
                standing = self._apply(post, post.at)
                if standing is None:
                    answer, reason = Answer("403", "never"), DUPLICATE
            reset_at = 0 if answer.reset_s is None else post.at + answer.reset_s * 1_000
            said = f"{answer.says} {answer.applies}"
            self._note(Request("post", post.account, post.row, post.at, said, reset_at))
            return answer, standing, reason

    def timeline(self, account: str, since: int) -> tuple[Look, list[Accepted]]:
        with self._lock:
            look = self.look(account, self._count("read", account))
            until = self.clock - look.lag_ms if look.lag_ms is not None else -1
            shown = [post for post in self.accepted if post.account == account and since <= post.at <= until]
            self._note(Request("read", account, "", self.clock, look.says))
            return look, shown[::-1]

    def _apply(self, post: Accepted, when: int) -> Accepted | None:
        """The post as it stands now; None if it is refused as a duplicate."""
        for other in self.accepted:
            if post.key is not None and other.key == post.key and when - other.at <= self.key_ms:
                return other
            if not self.duplicates and (other.account, other.text) == (post.account, post.text):
                return None
        standing = Accepted(
            f"s{len(self.accepted) + 1}", post.account, post.text, post.row, post.key, post.reply_to, when
        )
        self.accepted.append(standing)
        return standing

    def _count(self, kind: str, account: str) -> int:
        number = self._counts.get((kind, account), 0)
        self._counts[kind, account] = number + 1
        return number

    def _note(self, request: Request) -> None:
        self.requests.append(request)
        self.arrived(request)


class Platform:
    """Serves worlds by name on a port of its own, from a thread of its own: `with Platform() as platform`."""

    def __init__(self) -> None:
        self.worlds: dict[str, World] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="platform", daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    async def read_all(self) -> None:
        """Waits until every request that was sent has been dealt with, even if nobody waits for its answer."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_turns(), self._loop))

    async def _start(self) -> None:
        app = web.Application()
        app.add_routes([web.post("/{world}/posts", self._post), web.get("/{world}/posts", self._read)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = listening.getsockname()[1]
        await web.SockSite(self._runner, listening).start()

    async def _post(self, request: web.Request) -> web.StreamResponse:
        world = self.worlds[request.match_info["world"]]
        world.at(int(request.headers["X-Clock"]))
        said = await request.json()
        post = Accepted(
            "",
            said["account"],
            said["text"],
            request.headers["X-Row"],
            said.get("key"),
            said.get("reply_to"),
            world.clock,
        )
        answer, standing, reason = world.receive(post)
        if answer.says in REFUSALS:
            headers = {} if answer.reset_s is None else {"Retry-After": str(answer.reset_s)}
            return web.json_response({"detail": reason}, status=int(answer.says), headers=headers)
        return await self._say(request, answer.says, "" if standing is None else json.dumps({"id": standing.id}), 201)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        world = self.worlds[request.match_info["world"]]
        world.at(int(request.headers["X-Clock"]))
        look, shown = world.timeline(request.query["account"], int(request.query["since"]))
        posts: list[dict[str, Any]] = [
            {"id": post.id, "text": post.text, "at": post.at, "key": post.key, "reply_to": post.reply_to}
            for post in shown
        ]
        says = "503 json" if look.says == "503" else look.says
        return await self._say(request, says, HTML_503 if says == "nonsense" else json.dumps(posts), 200)

    async def _say(self, request: web.Request, says: str, body: str, status: int) -> web.StreamResponse:
        if says == "reset" or says == "closed":
            self._hang_up(request, reset=says == "reset")
        elif says == "hang":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(_gone(request), LONGEST_HANG_S)
        elif says == "503 json":
            return web.Response(text=JSON_503, status=503, content_type="application/json")
        elif says == "503 html":
            return web.Response(text=HTML_503, status=503, content_type="text/html")
        elif says == "empty":
            body = ""
        elif says == "no id":
            body = "null"
        elif says == "truncated":
            body = body[: len(body) // 2]
        return web.Response(text=body, status=status, content_type="application/json")

    @staticmethod
    def _hang_up(request: web.Request, reset: bool) -> None:
        transport = request.transport
        if transport is not None:
            if reset:
                linger = struct.pack("ii", 1, 0)
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()


async def _gone(request: web.Request) -> None:
    """Until the client has hung up."""
    while request.transport is not None:  # noqa: ASYNC110 (there is nothing to wait for)
        await asyncio.sleep(0.02)


async def _turns() -> None:
    """So many turns of the loop that a connection which waits to be accepted is accepted, read and answered."""
    for _ in range(50):
        await asyncio.sleep(0)
