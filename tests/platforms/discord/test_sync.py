"""Discord is told of the commands when they have changed, and else it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import discord
import pytest
from discord import app_commands

from tests.platforms.discord.supervised import Bot, a_bot

pytestmark = pytest.mark.discord
SYNC = "PUT /applications/{application_id}/commands"


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    async with a_bot(tmp_path) as made:
        yield made


class German(app_commands.Translator):
    async def translate(self, string: app_commands.locale_str, locale: discord.Locale, context: Any) -> str | None:
        return "kling" if (str(string), locale) == ("ping", discord.Locale.german) else None


async def start(bot: Bot) -> None:
    """Runs until the commands are as they should be."""
    async with bot.running():
        await bot.online()
        await bot.known()
        await bot.answers()
        async with asyncio.timeout(5):
            await bot.clients[-1]._syncing  # type: ignore[misc]


async def test_commands_are_told_once_over_three_starts_and_again_after_a_change(bot: Bot) -> None:
    for _ in range(3):
        await start(bot)
    assert len(bot.server.asked(SYNC)) == 1
    bot.commands = lambda tree: tree.add_command(app_commands.ContextMenu(name="Answer as ...", callback=answer_as))
    for _ in range(2):
        await start(bot)
    assert len(bot.server.asked(SYNC)) == 2
    assert [command["name"] for command in bot.world.commands[None]] == ["ping", "Answer as ..."]
    bot.translator = German()
    for _ in range(2):
        await start(bot)
    assert len(bot.server.asked(SYNC)) == 3
    assert bot.world.commands[None][0]["name_localizations"] == {"de": "kling"}


async def answer_as(asked: discord.Interaction[Any], message: discord.Message) -> None: ...


async def test_commands_that_are_not_taken_are_told_later_and_the_bot_runs_meanwhile(bot: Bot) -> None:
    bot.server.fault(SYNC, "503", times=2)
    async with bot.running():
        await bot.online()
        assert bot.world.commands.get(None) is None
        await bot.known()
        await bot.answers()
    assert [request.status for request in bot.server.asked(SYNC)] == [503, 503, 200]
    assert len(bot.clients) == 1
