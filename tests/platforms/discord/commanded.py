"""An app with its commands on a loopback Discord: real discord.py, a real database, no gateway of the world's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import pytest
from discord import app_commands

from bot.app import App
from bot.config import Config, DiscordSettings
from bot.platforms.discord.commands.press import pressed
from bot.platforms.discord.commands.tree import install
from bot.platforms.discord.connection.client import Ears, MockingbirdClient
from bot.platforms.discord.connection.connection import Connection
from bot.platforms.discord.connection.pace import Pace
from bot.platforms.discord.front import Front
from bot.platforms.discord.poster import DiscordPoster
from bot.platforms.discord.seal import Seal
from bot.platforms.discord.translations import Translations
from bot.store import personas, runs, timelines
from bot.store.database import Db
from tests.servers.discord.clients import send_discord_py
from tests.servers.discord.conftest import Place
from tests.servers.discord.objects import Channel, Interaction, Message, Permission, User
from training.timeline import Tweet

AT_ONCE = Config(discord=DiscordSettings(cooldown_seconds=0))
QUICK = Pace(first_s=0.02, identify_s=0.02, close_s=0.5)


@dataclass
class Commanded(Place):
    """`mod` manages the server, ann does not."""

    app: App
    front: Front
    mod: User

    @property
    def place(self) -> str:
        return f"discord:{self.guild.id}"

    async def use(self, user: User, command: str, where: Channel | None = None, /, **given: Any) -> Message:
        """Uses a command and awaits the answer, which nobody else may see."""
        answer = await self.world.answer(self.world.slash(where or self.channel, user, command, **given))
        assert answer.flags & 64
        assert answer.pings == []
        return answer

    async def completed(self, user: User, command: str, focus: str, **given: Any) -> list[Any]:
        asked = self.world.autocomplete(self.channel, user, command, focus, **given)
        return (await self.world.acknowledged(asked)).choices

    async def told(self, asked: Interaction) -> str:
        """What was said, to whoever asked alone, after something that only changes a message."""
        await self.world.until(lambda: asked.followups or (asked.callback and asked.callback["type"] == 4))
        message = asked.followups[-1] if asked.followups else asked.original
        assert message is not None
        assert message.flags & 64
        return message.text


def hold(db: Db, place: str, handle: str, trained: bool = True, given_by: str = "") -> None:
    """A persona of a place, as if it had been trained."""
    tweets = [Tweet(str(number), f"the kettle sings its song number {number}", number, handle) for number in range(3)]
    timelines.hold(db, handle, handle.title(), tweets, 1, place)
    persona = personas.create(db, [handle], 1, place)
    if given_by:
        query = "INSERT INTO consents (place, handle, grounds, person, detail, at) VALUES (?, ?, 'archive', ?, '', 1)"
        db.execute(query, [place, handle, given_by])
    if trained:
        run = runs.begin(db, persona.id, "quick", 1, "abc", 1)
        results = {"train_seconds": 12.0, "heldout_loss": 2.5, "base_heldout_loss": 3.5}
        runs.finish(db, run, results, 2)
        personas.promote(db, persona.id, run)


@asynccontextmanager
async def connected(place: Place, folder: Path, config: Config | None = None) -> AsyncIterator[Commanded]:
    """The bot, ready; entered again with the same folder it is one that was restarted."""
    with pytest.MonkeyPatch.context() as patch:
        send_discord_py(patch, place.server)
        async with _opened(place, folder, config or AT_ONCE) as bot:
            yield bot


@asynccontextmanager
async def _opened(place: Place, folder: Path, config: Config) -> AsyncIterator[Commanded]:
    connection = Connection()
    poster = DiscordPoster(lambda: connection.client)
    async with App(config, folder, {}, posters=[poster]) as app:
        front = Front(app, lambda: connection.client, Seal(bytes(32)))

        def commands(tree: app_commands.CommandTree[Any]) -> None:
            install(front, tree)

        async def on_interaction(interaction: discord.Interaction[Any]) -> None:
            await pressed(front, interaction)

        client = MockingbirdClient(
            Ears(commands, Translations(), on_interaction), connection, app.database, DiscordSettings(), pace=QUICK,
            guild_ready_timeout=0.02,
        )  # fmt: skip
        running = asyncio.create_task(client.start(place.server.token))
        ready = asyncio.create_task(connection.ready())
        try:
            await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
            if running.done():
                running.result()
            await place.world.until(lambda: place.world.commands.get(None))
            moderators = [user for user in place.world.users.values() if user.name == "mod"]
            mod = moderators[0] if moderators else place.world.add_user("mod")
            if not moderators:
                place.world.join(place.guild, mod, Permission.MANAGE_GUILD)
            yield Commanded(place.server, place.world, place.guild, place.channel, place.ann, app, front, mod)
        finally:
            await client.close()
            ready.cancel()
            await asyncio.gather(running, ready, return_exceptions=True)
