"""The front: what commands, buttons and listeners are given to work with; they ask for operations as the shell does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import discord

from bot.app import App
from bot.clock import now_ms
from bot.domain import Asker
from bot.platforms.discord.access.cooldowns import Cooldowns
from bot.platforms.discord.access.overrides import Known
from bot.platforms.discord.answers.following import Following
from bot.platforms.discord.answers.webhooks import Webhooks
from bot.platforms.discord.seal import Seal
from bot.web.operation import Answer, Asked, Operation

A = TypeVar("A", bound=Asked)
Interaction = discord.Interaction[Any]

PLATFORM = "discord"


@dataclass(frozen=True)
class Front:
    """`client` gives the one that is connected, or None; `seal` closes the tokens of interactions; `cooldowns` and
    `overrides` say who may do what when; `following` sees to it that everybody is answered."""

    app: App
    client: Callable[[], discord.Client | None]
    seal: Seal
    cooldowns: Cooldowns = field(default_factory=Cooldowns)
    overrides: Known = field(default_factory=Known)
    now: Callable[[], int] = now_ms
    following: Following = field(default_factory=Following)
    webhooks: Webhooks = field(default_factory=Webhooks)

    async def ask(self, interaction: Interaction, operation: Operation[A], asked: A) -> Answer:
        """Does an operation for whoever uses a command; raises MockingbirdError."""
        answer = await operation.do(self.app, asked, asker(interaction), lambda told: None)
        if operation.method != "GET":
            self.app.wake()
        return answer


def asker(interaction: Interaction) -> Asker:
    """Who uses a command or a button, and where."""
    return Asker(person_of(interaction.user), place_of(interaction.guild_id, interaction.channel_id))


def person_of(user: discord.abc.User) -> str:
    return f"{PLATFORM}:{user.id}"


def place_of(guild_id: int | None, channel_id: int | None) -> str:
    """A server is a place; outside of servers a chat is one."""
    return f"{PLATFORM}:{channel_id if guild_id is None else guild_id}"
