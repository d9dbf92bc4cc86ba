"""The gateway: one connection to it is opened, or hung up; neither waits for one that hangs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import aiohttp
import discord
from discord.gateway import DiscordWebSocket

from bot.platforms.discord.connection.pace import Pace


async def open_gateway(client: discord.Client, pace: Pace, **more: Any) -> DiscordWebSocket:
    """As far as an IDENTIFY or a RESUME was sent. If it does not come to that, discord.py would leave a connection
    open, and a thread that sends heartbeats."""
    opened: list[DiscordWebSocket] = []

    class Gateway(DiscordWebSocket):
        def __init__(self, socket: aiohttp.ClientWebSocketResponse, *, loop: asyncio.AbstractEventLoop) -> None:
            super().__init__(socket, loop=loop)
            opened.append(self)

    try:
        return await asyncio.wait_for(Gateway.from_client(client, **more), pace.open_s)
    except BaseException:
        for gateway in opened:
            await hang_up(gateway, 1000, pace)
        raise


async def hang_up(gateway: DiscordWebSocket, code: int, pace: Pace) -> None:
    """With 1000 the session is over; with 4000 it can be resumed. Nothing happens if it is closed already."""
    if gateway.open:
        with contextlib.suppress(OSError, aiohttp.ClientError):
            async with asyncio.timeout(pace.close_s):
                await gateway.close(code)
