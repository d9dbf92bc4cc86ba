"""A loopback Discord, and a client of it that has logged in but has no gateway: for what needs none."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator
from dataclasses import dataclass

import discord
import discord.http
import pytest

from bot.platforms.discord import attempt
from tests.servers.discord.clients import send_discord_py
from tests.servers.discord.conftest import Place, place

__all__ = ["place"]


@dataclass
class Online(Place):
    client: discord.Client

    def now(self) -> int:
        return int(self.world.now() * 1000)


@pytest.fixture
async def online(place: Place, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Online]:
    """discord.py waits up to 7 s before it repeats what was answered by 5xx: not here."""
    send_discord_py(monkeypatch, place.server)
    quick = types.SimpleNamespace(**{**vars(asyncio), "sleep": lambda seconds: asyncio.sleep(min(seconds, 0.001))})
    monkeypatch.setattr(discord.http, "asyncio", quick)
    client = discord.Client(
        intents=discord.Intents.default(), http_trace=attempt.trace(), max_ratelimit_timeout=30.0,
        allowed_mentions=discord.AllowedMentions.none(),
    )  # fmt: skip
    await client.login(place.server.token)
    try:
        yield Online(**vars(place), client=client)
    finally:
        await client.close()
