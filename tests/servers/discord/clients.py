"""The two independent clients, sent to loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import discord
import discord.gateway
import discord.http
import hikari
import pytest
import yarl

from tests.servers.discord.server import LoopbackDiscord


def send_discord_py(monkeypatch: pytest.MonkeyPatch, server: LoopbackDiscord) -> None:
    """Every discord.py client of this process speaks to the server from here on."""
    monkeypatch.setattr(discord.http.Route, "BASE", server.api_url)
    monkeypatch.setattr(discord.gateway.DiscordWebSocket, "DEFAULT_GATEWAY", yarl.URL(server.gateway_url))


@asynccontextmanager
async def running(client: discord.Client, server: LoopbackDiscord | str) -> AsyncIterator[discord.Client]:
    """A discord.py client of a server, or with a token, that has come so far that `on_ready` was called; what ended it
    early is raised."""
    start = asyncio.create_task(client.start(server if isinstance(server, str) else server.token))
    ready = asyncio.create_task(_ready(client))
    try:
        await asyncio.wait({start, ready}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        if start.done():
            start.result()
        assert ready.done(), "the client did not become ready"
        yield client
    finally:
        ready.cancel()
        await client.close()
        await asyncio.gather(start, ready, return_exceptions=True)


async def _ready(client: discord.Client) -> None:
    while client._ready is discord.utils.MISSING:  # noqa: ASYNC110 (it is made by start, and cannot be awaited before)
        await asyncio.sleep(0.005)
    await client.wait_until_ready()


@asynccontextmanager
async def hikari_bot(server: LoopbackDiscord, **more: Any) -> AsyncIterator[hikari.GatewayBot]:
    """A hikari bot, not started: listeners are added first."""
    bot = hikari.GatewayBot(server.token, rest_url=server.api_url, banner=None, logs=None, **more)
    try:
        yield bot
    finally:
        if bot.is_alive:
            await bot.close()


@asynccontextmanager
async def hikari_rest(server: LoopbackDiscord) -> AsyncIterator[hikari.impl.RESTClientImpl]:
    """hikari without its gateway."""
    app = hikari.RESTApp(url=server.api_url)
    await app.start()
    try:
        async with app.acquire(server.token, hikari.TokenType.BOT) as rest:
            yield rest
    finally:
        await app.close()
