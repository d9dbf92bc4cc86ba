"""A bot in a process of its own, which acknowledges all and answers nothing: DATA API GATEWAY TOKEN PLACE."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bot.config import DiscordSettings
from bot.platforms.discord.connection.connection import point_at
from tests.platforms.discord.fronted import Alone


async def main(data: str, api: str, gateway: str, token: str, home: str) -> None:
    point_at(DiscordSettings(api_base=api, gateway_url=gateway))
    bot = Alone(Path(data), token, home)
    bot.script.free.clear()
    await bot.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
