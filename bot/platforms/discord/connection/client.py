"""The client: discord.py's own, which outlives events that it cannot read and outages that it can sit out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiohttp
import discord
from discord import app_commands
from discord.gateway import ReconnectWebSocket

from bot import clock
from bot.config import DiscordSettings
from bot.errors import NoSessionLeft
from bot.platforms.discord import attempt
from bot.platforms.discord.connection.connection import Connection
from bot.platforms.discord.connection.gateway import hang_up, open_gateway
from bot.platforms.discord.connection.pace import Draw, Pace
from bot.platforms.discord.connection.sync import sync_commands
from bot.store import identifies
from bot.store.database import Database, Db

log = logging.getLogger(__name__)

FATAL = frozenset({4004, 4010, 4011, 4012, 4013, 4014})
LOST = (OSError, aiohttp.ClientError, discord.HTTPException, discord.GatewayNotFound, discord.ConnectionClosed)
ONCE = frozenset({"INTERACTION_CREATE", "MESSAGE_CREATE"})
REMEMBERED = 4096  # ids of events; Discord repeats some of the last ones
LONGEST_LIMIT_S = 30.0  # a request that would have to wait longer is given up; the least that discord.py allows


async def _nothing(*_: Any) -> None:
    pass


@dataclass(frozen=True)
class Ears:
    """What is done with what the client hears; nothing is heard twice. `commands` adds the commands to the tree of a
    new client, and what is done when one fails (`tree.error`)."""

    commands: Callable[[app_commands.CommandTree[Any]], None]
    translator: app_commands.Translator | None = None
    on_interaction: Callable[[discord.Interaction[Any]], Awaitable[None]] = _nothing  # of every kind
    on_message: Callable[[discord.Message], Awaitable[None]] = _nothing


def intents(settings: DiscordSettings) -> discord.Intents:
    """Of these only message_content must be allowed by Discord."""
    return discord.Intents(guilds=True, guild_messages=True, dm_messages=True, message_content=settings.message_content)


class MockingbirdClient(discord.Client):
    """One login: it is closed when `start` ends, and then never used again. It keeps nothing of what it hears but which
    servers and channels there are."""

    def __init__(
        self,
        ears: Ears,
        connection: Connection,
        database: Database,
        settings: DiscordSettings,
        *,
        pace: Pace | None = None,
        now: Callable[[], int] = clock.now_ms,
        draw: Draw = random.random,
        guild_ready_timeout: float = 2.0,
        heartbeat_timeout: float = 60.0,
    ) -> None:
        super().__init__(
            intents=intents(settings),
            allowed_mentions=discord.AllowedMentions.none(),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,
            max_ratelimit_timeout=LONGEST_LIMIT_S,
            http_trace=attempt.trace(),
            guild_ready_timeout=guild_ready_timeout,
            heartbeat_timeout=heartbeat_timeout,
        )
        self.pace = pace or Pace()
        self.tree = _Tree(self)
        self.identified = False  # whether a session was begun
        self.steady = False  # whether a connection has lasted
        self._ears, self._kept, self._database = ears, connection, database
        self._now, self._draw = now, draw
        self._answering: set[asyncio.Task[Any]] = set()
        self._syncing: asyncio.Task[None] | None = None
        self._stopping = False
        self.online_since: float | None = None  # by the monotonic clock
        self._begun = False  # whether there is a session, or was one until it was declared invalid just now
        self._heard: dict[str, None] = {}
        ears.commands(self.tree)
        for name, parse in self._connection.parsers.items():
            self._connection.parsers[name] = partial(self._parse, name, parse)

    # --- Events -------------------------------------------------------------------------------------------------------

    def _parse(self, name: str, parse: Callable[[Any], None], event: Any) -> None:
        """In discord.py one event that cannot be read ends the client. Here it is skipped: the fresh client would often
        be sent the same once more, and each costs an IDENTIFY. But without its READY a session is of no use."""
        if name in ("READY", "RESUMED"):
            parse(event)
            self._begun = self._kept.online = True
            self.online_since = time.monotonic()
            return
        try:
            if name not in ONCE or self._is_new(event["id"]):
                parse(event)
        except Exception:
            log.exception("an event of the kind %s cannot be read, reference %s", name, secrets.token_hex(4))

    def _is_new(self, event_id: str) -> bool:
        if event_id in self._heard:
            return False
        self._heard[event_id] = None
        if len(self._heard) > REMEMBERED:
            del self._heard[next(iter(self._heard))]
        return True

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        self.keep_answering()
        await self._ears.on_interaction(interaction)

    async def on_message(self, message: discord.Message) -> None:
        self.keep_answering()
        await self._ears.on_message(message)

    async def on_ready(self) -> None:
        if self._stopping:
            return
        self._kept.began(self)
        log.info("connected to Discord, in %d servers", len(self.guilds))

    async def on_error(self, event_method: str, /, *args: Any, **kwargs: Any) -> None:
        log.exception("%s failed, reference %s", event_method, secrets.token_hex(4))

    def keep_answering(self) -> None:
        """The task that runs answers somebody: closing gives it a moment to end."""
        if task := asyncio.current_task():
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    # --- Sessions -----------------------------------------------------------------------------------------------------

    async def before_identify_hook(self, shard_id: int | None, *, initial: bool = False) -> None:
        """Called before every IDENTIFY, the first one included: they are five seconds apart, also from those of an
        earlier client or process, and counted before they are sent. Discord wants a random pause after a session became
        invalid, too. NoSessionLeft ends the client."""
        most, pause_s = self.pace.sessions_per_day, self.pace.identify_s
        last = await self._database.run(identifies.latest)
        since_s = pause_s if last is None else max(0.0, (self._now() - last) / 1000)
        await asyncio.sleep(max(pause_s - since_s, 0.0 if initial else pause_s * (0.2 + 0.8 * self._draw())))

        def book(db: Db) -> int:
            if (at := identifies.room_at(db, self._now(), most)) <= self._now():
                identifies.add(db, self._now())
            return at

        if (at := await self._database.run(book)) > self._now():
            raise NoSessionLeft(most=most, at=clock.iso(at))
        self.identified = True

    async def login(self, token: str) -> None:
        """As discord.py does it, but not for longer than is useful."""
        async with asyncio.timeout(self.pace.login_s):
            await super().login(token)

    async def connect(self, *, reconnect: bool = True) -> None:
        """Carries sessions until the client is closed or what it meets needs a fresh one, which is raised.

        This is in place of discord.py's own loop, which (2.7.1) waits up to 17 minutes in a longer outage, not at all
        when a gateway hangs up again and again, breaks when the first connection fails, and goes on at the regional
        gateway of a session that is over. With its `reconnect=False` each outage would cost an IDENTIFY, and whatever
        was said meanwhile: only a RESUME brings that."""
        resume: dict[str, Any] = {}
        failures, failing_since = 0, 0.0
        initial = True
        while not self._stopping:
            lost: Exception
            try:
                self.ws = await open_gateway(self, self.pace, initial=initial, **resume)
                initial = False
                while True:
                    await self.ws.poll_event()
            except ReconnectWebSocket as error:
                lost = ConnectionError(f"the gateway wants another connection and {error.op}")
            except discord.ConnectionClosed as error:
                if error.code == 4014:
                    raise discord.PrivilegedIntentsRequired(error.shard_id) from None
                if error.code in FATAL:
                    raise
                lost = error
            except LOST as error:
                lost = error
            lasted = self._lose()
            if self._stopping:
                return
            if failures == 0 or lasted:
                failures, failing_since = 0, time.monotonic()
            failures += 1
            if not self._begun or not reconnect or time.monotonic() - failing_since > self.pace.resume_s:
                raise lost
            await hang_up(self.ws, 4000, self.pace)
            wait_s = self.pace.wait_s(failures - 1, self.pace.outage_s, self._draw) if failures > 1 else 0.0
            if self.ws.session_id is None:  # it was declared invalid
                self._begun = False
                wait_s = 0.0 if resume else wait_s  # the outage is over, but lasted too long for the session
                resume = {}
            else:
                resume = {"resume": True, "session": self.ws.session_id, "sequence": self.ws.sequence}
                resume["gateway"] = self.ws.gateway
            log.info("the connection to Discord was lost (%s), trying again in %.1f s", lost or repr(lost), wait_s)
            await asyncio.sleep(wait_s)

    def _lose(self) -> bool:
        """The connection is no more; whether it had lasted."""
        since, self.online_since, self._kept.online = self.online_since, None, False
        lasted = since is not None and time.monotonic() - since >= self.pace.steady_s
        self.steady = self.steady or lasted
        return lasted

    async def close(self) -> None:
        """Hangs up, gives what is being answered a moment, and ends it; no step waits for a gateway that hangs."""
        self._stopping = True
        self._lose()
        self._kept.ended(self)
        ready = self._connection._ready_task
        for task in (self._syncing, ready):
            if task is not None:
                task.cancel()
        if self.ws is not None:
            await hang_up(self.ws, 1000, self.pace)
        if answering := self._answering - {asyncio.current_task()}:
            _, late = await asyncio.wait(answering, timeout=self.pace.close_s)
            for task in late:
                task.cancel()
            if late:
                log.warning("closed while %d answers were being made", len(late))
                await asyncio.wait(late, timeout=self.pace.close_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.pace.close_s):
                await super().close()

    # --- Commands -----------------------------------------------------------------------------------------------------

    async def setup_hook(self) -> None:
        """Called once, between login and the gateway."""
        self._kept.logged_in(self)
        if self._ears.translator is not None:
            await self.tree.set_translator(self._ears.translator)
        self._syncing = asyncio.create_task(self._keep_synced())

    async def _keep_synced(self) -> None:
        """Beside all else: what Discord does not take now it is told later, and the commands that it knows work."""
        assert self.application_id is not None
        for failures in itertools.count():
            try:
                if await sync_commands(self.tree, self.application_id, self._database, self._now):
                    log.info("Discord was told of the commands")
                return
            except Exception as error:
                wait_s = min(self.pace.unsynced_s, self.pace.unsynced_first_s * 2.0 ** min(failures, 30))
                if isinstance(error, discord.RateLimited):
                    wait_s = max(wait_s, error.retry_after)
                log.warning("Discord does not take the commands, trying again in %.0f s: %s", wait_s, error)
            await asyncio.sleep(wait_s)


class _Tree(app_commands.CommandTree[MockingbirdClient]):
    async def interaction_check(self, interaction: discord.Interaction[MockingbirdClient], /) -> bool:
        """The first that is called of a command, in its own task."""
        self.client.keep_answering()
        return True
