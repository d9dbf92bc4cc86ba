"""The Discord part of a running bot: it stays connected, hears, answers, and is what the outbox speaks through."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial

import discord

from bot import clock
from bot.app import App
from bot.config import DiscordSettings
from bot.domain import Post
from bot.platforms.discord import inbound
from bot.platforms.discord.answers.ask import keep_answering
from bot.platforms.discord.commands.press import pressed
from bot.platforms.discord.commands.tree import install
from bot.platforms.discord.connection.client import Ears, MockingbirdClient
from bot.platforms.discord.connection.connection import Connection, point_at, read_token
from bot.platforms.discord.connection.supervisor import keep_connected
from bot.platforms.discord.dress import dressed
from bot.platforms.discord.front import Front
from bot.platforms.discord.poster import DiscordPoster
from bot.platforms.discord.seal import Seal, read_key
from bot.platforms.discord.translations import Translations
from bot.platforms.discord.withdraw import keep_withdrawing
from bot.store import outbox

KEY_FILE = "discord.key"  # in the data directory, beside the database


class Discord:
    """Built before the app, which is given its `poster`; then `run` runs beside it."""

    def __init__(self, settings: DiscordSettings, environ: Mapping[str, str]) -> None:
        self._settings, self._environ = settings, environ
        self._connection = Connection()
        self._front: Front | None = None
        self.poster = DiscordPoster(self._client, dressed=self._dressed)

    async def run(self, app: App) -> None:
        """Until it is cancelled."""
        point_at(self._settings)
        seal = Seal(read_key(app.database.folder / KEY_FILE))
        self._front = front = Front(app, self._client, seal)
        ears = Ears(
            commands=partial(install, front),
            translator=Translations(),
            on_interaction=partial(pressed, front),
            on_message=partial(inbound.on_message, front),
        )
        telling: set[asyncio.Task[Post]] = set()

        def tell(sentence: str) -> None:
            """Whoever runs the bot reads it among the notices, too."""
            now = clock.now_ms()
            told = asyncio.create_task(
                app.database.run(lambda db: outbox.notify(db, f"discord:{now}", f"Discord: {sentence}", now))
            )
            telling.add(told)
            told.add_done_callback(telling.discard)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep_answering(front, self._connection.ready))
            tasks.create_task(keep_withdrawing(front, self._connection.ready))
            tasks.create_task(
                keep_connected(
                    partial(MockingbirdClient, ears, self._connection, app.database, self._settings),
                    partial(read_token, self._settings, self._environ),
                    app.database,
                    tell,
                )
            )

    def _client(self) -> discord.Client | None:
        return self._connection.client

    async def _dressed(self, post: Post) -> discord.ui.LayoutView | None:
        return None if self._front is None else await dressed(self._front, post)
