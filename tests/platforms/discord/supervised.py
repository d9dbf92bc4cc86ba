"""A bot that does next to nothing, kept connected to a loopback Discord."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import discord
from discord import app_commands

from bot import clock
from bot.config import DiscordSettings
from bot.platforms.discord.connection.client import Ears, MockingbirdClient
from bot.platforms.discord.connection.connection import Connection, point_at
from bot.platforms.discord.connection.pace import Pace
from bot.platforms.discord.connection.supervisor import keep_connected
from bot.store.database import Database
from tests.servers.discord.objects import Channel, Message, User
from tests.servers.discord.server import LoopbackDiscord

QUICK = Pace(
    first_s=0.02, outage_s=0.1, longest_s=0.2, refused_s=0.3, unsynced_first_s=0.1, token_s=0.05, login_s=5, open_s=2,
    close_s=0.5, resume_s=1.5, identify_s=0.02,
)  # fmt: skip


@dataclass
class Bot:
    """`/ping` is answered with "pong N"; `told` is what whoever runs it was told."""

    server: LoopbackDiscord
    database: Database
    pace: Pace = QUICK
    commands: Callable[[app_commands.CommandTree[Any]], None] = lambda tree: None
    translator: app_commands.Translator | None = None
    message_content: bool = False
    heartbeat_timeout: float = 60.0
    now: Callable[[], int] = clock.now_ms
    token: str | None = None
    connection: Connection = field(default_factory=Connection)
    clients: list[MockingbirdClient] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    pinged: list[int] = field(default_factory=list)
    interactions: list[int] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        world = self.server.world
        self.world, self.gateway = world, self.server.gateway
        self.token = self.token or self.server.token
        guild = world.add_guild("Meadow")
        self.ann: User = world.add_user("ann")
        world.join(guild, self.ann)
        self.channel: Channel = next(iter(guild.channels.values()))

    def build(self) -> MockingbirdClient:
        ears = Ears(self._add, self.translator, self._interaction, self._message)
        client = MockingbirdClient(
            *(ears, self.connection, self.database, DiscordSettings(message_content=self.message_content)),
            pace=self.pace, now=self.now, guild_ready_timeout=0.02, heartbeat_timeout=self.heartbeat_timeout,
        )  # fmt: skip
        self.clients.append(client)
        return client

    def _add(self, tree: app_commands.CommandTree[Any]) -> None:
        tree.command(name="ping", description="Answers")(self._ping)
        self.commands(tree)

    async def _ping(self, asked: discord.Interaction[Any]) -> None:
        self.pinged.append(asked.id)
        await asked.response.send_message(f"pong {len(self.pinged)}")

    async def _interaction(self, asked: discord.Interaction[Any]) -> None:
        self.interactions.append(asked.id)

    async def _message(self, message: discord.Message) -> None:
        self.messages.append(message.content)
        if "break" in message.content:
            raise ZeroDivisionError

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[Any]]:
        point_at(DiscordSettings(api_base=self.server.api_url, gateway_url=self.server.gateway_url))
        keeping = keep_connected(
            self.build, lambda: self.token, self.database, self.told.append, pace=self.pace, now=self.now
        )
        task = asyncio.create_task(keeping)
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            point_at(DiscordSettings())

    async def online(self) -> None:
        """When it was ready and is there."""
        async with asyncio.timeout(10):
            await self.connection.ready()
        await self.gateway.ready()

    async def answers(self) -> Message:
        """The answer to a command that somebody uses now."""
        return await self.world.answer(self.world.slash(self.channel, self.ann, "ping"))

    async def known(self) -> None:
        """When Discord has been told of the commands."""
        await self.world.until(lambda: self.world.commands.get(None))


@asynccontextmanager
async def a_bot(folder: Path, **more: Any) -> AsyncIterator[Bot]:
    """Not yet running; what it says must be as the specification has it."""
    database = Database(folder)
    try:
        async with LoopbackDiscord(**{key: more.pop(key) for key in ("heartbeat_s", "port") if key in more}) as server:
            yield Bot(server, database, **more)
        assert server.spec.findings == []
        assert not server.gateway.connections
    finally:
        database.close()
