"""A loopback Discord with one guild, and one person in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tests.servers.discord.objects import Channel, Guild, User
from tests.servers.discord.server import LoopbackDiscord
from tests.servers.discord.world import World


@dataclass
class Place:
    server: LoopbackDiscord
    world: World
    guild: Guild
    channel: Channel
    ann: User


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """Whatever was said to the server and by it must be as the specification has it, unless a test clears the
    findings, because it asked for what is wrong."""
    async with LoopbackDiscord() as server:
        guild = server.world.add_guild("Meadow")
        ann = server.world.add_user("ann")
        server.world.join(guild, ann)
        (channel,) = guild.channels.values()
        yield Place(server, server.world, guild, channel, ann)
    assert server.spec.findings == []
    assert not server.gateway.connections
