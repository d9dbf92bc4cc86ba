"""The connection: who speaks to Discord at the moment, for those that have something to say, and where Discord is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import discord
import discord.gateway
import discord.http
import yarl

from bot.config import DiscordSettings, secret

API = discord.http.Route.BASE
GATEWAY = discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY


class Connection:
    """`client` is the one that logged in last, until it is closed. While Discord's gateway is away it stays, and
    can often speak all the same; `online` says whether it hears."""

    def __init__(self) -> None:
        self.client: discord.Client | None = None
        self.online = False
        self._there = asyncio.Event()

    async def ready(self) -> discord.Client:
        """The client, as soon as there is one that knows its servers."""
        while self.client is None or not self._there.is_set():
            await self._there.wait()
        return self.client

    def logged_in(self, client: discord.Client) -> None:
        """This client can speak, which goes over HTTP; commands come before it knows its servers."""
        self.client = client

    def began(self, client: discord.Client) -> None:
        """This client is ready."""
        self.client = client
        self._there.set()

    def ended(self, client: discord.Client) -> None:
        """This client is being closed."""
        if self.client is client:
            self.client = None
            self._there.clear()


def point_at(settings: DiscordSettings) -> None:
    """Sends every client of this process where the settings say, once at the start. What the library logs in detail
    holds the tokens of interactions, so it is not heard, whatever the level of the log."""
    discord.http.Route.BASE = settings.api_base.rstrip("/") or API
    discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(settings.gateway_url or str(GATEWAY))
    logging.getLogger("discord").setLevel(logging.INFO)
    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False  # it does not talk, and needs not to be told


def read_token(settings: DiscordSettings, environ: Mapping[str, str]) -> str | None:
    """The bot's token as it is now, because its file may have been replaced; None if there is none. BadConfig if its
    file cannot be read."""
    found = secret(settings.token_env, environ)
    return found.get_secret_value() if found else None
