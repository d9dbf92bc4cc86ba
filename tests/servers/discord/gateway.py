"""The websocket over which a bot hears what happens: sessions that may be resumed, and connections that carry them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import zstandard
from aiohttp import WSMsgType, web

from tests.servers.discord.objects import JSON
from tests.servers.discord.record import GUILDS, MESSAGE_CONTENT, PRIVILEGED, Event, Record
from tests.servers.discord.rest import myself

DISPATCH, HEARTBEAT, IDENTIFY, PRESENCE, VOICE, RESUME = 0, 1, 2, 3, 4, 6
RECONNECT, MEMBERS, INVALID, HELLO, ACK = 7, 8, 9, 10, 11
LONGEST_BYTES, SENDS, SENDS_S = 4096, 120, 60.0
STARTS_ANEW = {1000, 1001, 4004, 4007, 4009, 4010, 4011, 4012, 4013, 4014}  # closes after which nothing is resumed


class Compressor(Protocol):
    def compress(self, data: bytes) -> bytes: ...
    def flush(self, mode: int = ...) -> bytes: ...


@dataclass(eq=False)
class Session:
    """What one IDENTIFY began; events are kept for a RESUME."""

    id: str
    intents: int
    events: list[JSON] = field(default_factory=list)
    connection: Connection | None = None


@dataclass(eq=False)
class Connection:
    socket: web.WebSocketResponse
    compress: Callable[[bytes], bytes] | None
    transport: asyncio.Transport | None
    waiting: asyncio.Queue[bytes | str | tuple[int, bool]] = field(default_factory=asyncio.Queue)
    session: Session | None = None
    heartbeats: int = 0
    beats: list[float] = field(default_factory=list)  # when each came, by the monotonic clock
    sent: list[float] = field(default_factory=list)  # when the client sent something, lately

    def send(self, op: int, data: Any, **more: Any) -> None:
        text = json.dumps({"op": op, "d": data, "s": None, "t": None, **more})
        self.waiting.put_nowait(text if self.compress is None else self.compress(text.encode()))

    def close(self, code: int) -> None:
        """After what has been sent so far."""
        self.waiting.put_nowait((code, False))


def compressor(name: str | None) -> Callable[[bytes], bytes] | None:
    """One stream for the whole connection, each message complete in itself."""
    if name == "zlib-stream":
        stream = zlib.compressobj()
        return lambda data: stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)
    if name == "zstd-stream":
        frame = zstandard.ZstdCompressor().compressobj()
        return lambda data: frame.compress(data) + frame.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    return None


class Gateway:
    """`acknowledge` and `accept` can be switched off: then heartbeats are not answered, or no connection is taken."""

    def __init__(self, record: Record, heartbeat_s: float = 41.25) -> None:
        self.record = record
        record.publish = self.publish
        self.heartbeat_s = heartbeat_s
        self.acknowledge = True
        self.accept = True
        self.url = ""
        self.identifies: list[JSON] = []  # each as it was sent
        self.resumes: list[JSON] = []
        self.closed: list[int | None] = []  # the codes with which connections ended
        self.compressions: list[str | None] = []
        self.sessions: dict[str, Session] = {}
        self.connections: set[Connection] = set()

    # --- On demand ----------------------------------------------------------------------------------------------------

    @property
    def online(self) -> bool:
        return any(connection.session for connection in self.connections)

    async def ready(self, timeout_s: float = 10.0) -> None:
        """When a bot is there, after an IDENTIFY or a RESUME."""
        await self.record.until(lambda: self.online, timeout_s)

    def publish(self, event: Event) -> None:
        """To every session that asked for such events, now or when it resumes."""
        for session in self.sessions.values():
            if event.intent and not session.intents & event.intent:
                continue
            blank = event.blank is not None and not session.intents & MESSAGE_CONTENT
            self._dispatch(session, event.name, event.blank if blank else event.data)

    def raw(self, name: str, data: Any) -> None:
        """An event that need not make sense."""
        self.publish(Event(name, data))

    def replay(self, last: int = 1) -> None:
        """Sends the last events once more, with their old numbers, as may happen after a RESUME."""
        for connection in self._carrying():
            assert connection.session is not None
            for event in connection.session.events[-last:]:
                connection.send(**event)

    def close(self, code: int) -> None:
        """Closes every connection; 4007, 4009 and the fatal codes end its session too."""
        for connection in self.connections:
            if code in STARTS_ANEW:
                self._forget(connection)
            self._leave(connection)
            connection.close(code)

    def drop(self) -> None:
        """Breaks every connection without a word."""
        for connection in self.connections:
            self._leave(connection)
            if connection.transport is not None:
                connection.transport.abort()

    def reconnect(self) -> None:
        for connection in self._carrying():
            connection.send(RECONNECT, None)
            self._leave(connection)

    def invalidate(self, resumable: bool = False) -> None:
        for connection in self._carrying():
            if not resumable:
                self._forget(connection)
            connection.send(INVALID, resumable)
            self._leave(connection)

    def _carrying(self) -> list[Connection]:
        return [connection for connection in self.connections if connection.session]

    def _forget(self, connection: Connection) -> None:
        if connection.session is not None:
            self.sessions.pop(connection.session.id, None)

    def _leave(self, connection: Connection) -> None:
        """What is told from here on waits for the RESUME."""
        if connection.session is not None and connection.session.connection is connection:
            connection.session.connection = None
        connection.session = None
        self.record.changed()

    # --- One connection -----------------------------------------------------------------------------------------------

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if not self.accept:
            raise web.HTTPServiceUnavailable
        socket = web.WebSocketResponse(max_msg_size=2**20)
        await socket.prepare(request)
        compression = request.query.get("compress") or None
        self.compressions.append(compression)
        connection = Connection(socket, compressor(compression), request.transport)
        self.connections.add(connection)
        writer = asyncio.create_task(_write(connection))
        try:
            connection.send(HELLO, {"heartbeat_interval": int(self.heartbeat_s * 1000), "_trace": []})
            async for message in socket:
                # hikari sends its JSON in binary frames
                raw = message.data if message.type is WSMsgType.BINARY else str(message.data).encode()
                if not self._limited(connection, raw):
                    self._receive(connection, raw)
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer
            if socket.close_code in (1000, 1001):
                self._forget(connection)
            self._leave(connection)
            self.connections.discard(connection)
            self.closed.append(socket.close_code)
            self.record.changed()
        return socket

    def _limited(self, connection: Connection, raw: bytes) -> bool:
        now = time.monotonic()
        connection.sent = [at for at in connection.sent if now - at < SENDS_S] + [now]
        if len(connection.sent) > SENDS:
            connection.close(4008)
        elif len(raw) > LONGEST_BYTES:
            connection.close(4002)
        else:
            return False
        return True

    def _receive(self, connection: Connection, raw: bytes) -> None:
        try:
            said = json.loads(raw)
            op, data = said["op"], said.get("d")
        except (ValueError, KeyError, TypeError):
            connection.close(4002)
            return
        if op == HEARTBEAT:
            connection.heartbeats += 1
            connection.beats.append(time.monotonic())
            if self.acknowledge:
                connection.send(ACK, None)
        elif op == IDENTIFY:
            self._identify(connection, data)
        elif op == RESUME:
            self._resume(connection, data)
        elif op == MEMBERS and connection.session:
            self._members(connection.session, data)
        elif op not in (PRESENCE, VOICE, MEMBERS):
            connection.close(4001)
        elif connection.session is None:
            connection.close(4003)

    def _identify(self, connection: Connection, data: JSON) -> None:
        self.identifies.append(data)
        if connection.session is not None:
            connection.close(4005)
            return
        granted = MESSAGE_CONTENT if self.record.message_content else 0
        if data["token"] != self.record.token:
            connection.close(4004)
        elif data["intents"] >= 1 << 26:
            connection.close(4013)
        elif data["intents"] & PRIVILEGED & ~granted:
            connection.close(4014)
        else:
            session = Session(secrets.token_hex(16), data["intents"], connection=connection)
            connection.session = self.sessions[session.id] = session
            guilds = [guild for guild in self.record.guilds.values() if guild.installed]
            self._dispatch(session, "READY", {
                "v": 10, "user": myself(self.record), "session_id": session.id, "resume_gateway_url": self.url,
                "guilds": [{"id": guild.id, "unavailable": True} for guild in guilds], "session_type": "normal",
                "application": {"id": self.record.bot.id, "flags": 0}, "private_channels": [], "relationships": [],
            })  # fmt: skip
            if session.intents & GUILDS:
                for guild in guilds:
                    self._dispatch(session, "GUILD_CREATE", guild.event([guild.members[self.record.bot.id]]))
            self.record.changed()

    def _resume(self, connection: Connection, data: JSON) -> None:
        self.resumes.append(data)
        session = self.sessions.get(data["session_id"])
        if data["token"] != self.record.token:
            connection.close(4004)
        elif session is None or data["seq"] is None:
            connection.send(INVALID, False)
        elif data["seq"] > len(session.events):
            self.sessions.pop(session.id)
            connection.close(4007)
        else:
            session.connection, connection.session = connection, session
            for event in session.events[data["seq"] :]:
                connection.send(**event)
            self._dispatch(session, "RESUMED", {})
            self.record.changed()

    def _members(self, session: Session, data: JSON) -> None:
        guild = self.record.guilds[str(data["guild_id"])]
        asked = data.get("user_ids") or []
        wanted = {str(one) for one in (asked if isinstance(asked, list) else [asked])}
        members = [member.payload() for member in guild.members.values() if member.user.id in wanted]
        chunk: JSON = {"guild_id": guild.id, "members": members, "chunk_index": 0, "chunk_count": 1}
        self._dispatch(session, "GUILD_MEMBERS_CHUNK", chunk | ({"nonce": data["nonce"]} if "nonce" in data else {}))

    def _dispatch(self, session: Session, name: str, data: Any) -> None:
        event = {"op": DISPATCH, "data": data, "s": len(session.events) + 1, "t": name}
        session.events.append(event)
        if session.connection is not None:
            session.connection.send(**event)


async def _write(connection: Connection) -> None:
    while True:
        said = await connection.waiting.get()
        if isinstance(said, tuple):
            await connection.socket.close(code=said[0])
            return
        if isinstance(said, str):
            await connection.socket.send_str(said)
        else:
            await connection.socket.send_bytes(said)
