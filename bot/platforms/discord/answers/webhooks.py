"""Webhooks: ours in each channel, found among those there are, or made. In memory: their tokens are credentials."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import discord

Parent = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.ForumChannel
"""What has webhooks; a thread speaks through those of the channel that it is in."""

OURS = "Mockingbird"  # its own name, which people see in the settings of the channel


class Webhooks:
    def __init__(self) -> None:
        self._known: dict[int, tuple[int, str]] = {}  # by channel: id and token
        self._finding: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, channel: Parent) -> tuple[int, str]:
        """Id and token of ours; raises discord.DiscordException where there can be none."""
        async with self._finding[channel.id]:
            if channel.id not in self._known:
                me = channel.guild.me
                found = [held for held in await channel.webhooks() if held.token and held.user == me]
                webhook = found[0] if found else await channel.create_webhook(name=OURS)
                self._known[channel.id] = (webhook.id, webhook.token or "")
            return self._known[channel.id]

    def forget(self, channel: Parent) -> None:
        """It is gone."""
        self._known.pop(channel.id, None)
