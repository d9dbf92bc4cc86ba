"""Permissions: who may do what. Discord itself sees to who may use a command of a server's bot; a button follows its
command.
"""

from __future__ import annotations

from typing import Any

import discord

from bot.errors import MayNotForget, NotAllowed
from bot.platforms.discord.access.overrides import Who, allowed
from bot.platforms.discord.connection.client import MockingbirdClient
from bot.platforms.discord.front import Front, Interaction, asker
from bot.store import consents


async def may(front: Front, interaction: Interaction, command: str) -> bool:
    """Whether they may use this command there, and so its buttons. In direct messages everybody may."""
    if interaction.guild_id is None or _is_checked(interaction, command):
        return True
    who = _who(interaction, interaction.guild_id)
    found = await front.overrides.of(interaction.client, interaction.guild_id)
    if found is not None and command in found.defaults:
        return found.allow(command, who)
    return allowed({}, _default(interaction.client, command), who)


async def require(front: Front, interaction: Interaction, command: str) -> None:
    """Raises NotAllowed."""
    if not await may(front, interaction, command):
        raise NotAllowed(command=command)


async def require_forget(front: Front, interaction: Interaction, handle: str) -> None:
    """Raises MayNotForget, but for those who look after the place, and who gave the tweets by their own archive."""
    by = asker(interaction)
    if not manages(interaction) and not await front.app.database.run(
        lambda db: consents.gave_own(db, by.place, handle, by.person)
    ):
        raise MayNotForget()


def manages(interaction: Interaction) -> bool:
    """Whether they look after the place: a server is its managers', a chat is everybody's in it."""
    return interaction.guild_id is None or interaction.permissions.manage_guild


def _is_checked(interaction: Interaction, command: str) -> bool:
    """Whether it is this command that they use, and Discord has seen to who may: not where somebody brought the bot
    along to a server that it is not in."""
    used = interaction.command
    return used is not None and used.qualified_name.split()[0] == command and interaction.is_guild_integration()


def _who(interaction: Interaction, guild_id: int) -> Who:
    user, channel = interaction.user, interaction.channel
    roles = [role.id for role in user.roles] if isinstance(user, discord.Member) else []
    channels = [interaction.channel_id, channel.parent_id if isinstance(channel, discord.Thread) else None]
    return Who(user.id, roles, interaction.permissions, [found for found in channels if found is not None], guild_id)


def _default(client: discord.Client, command: str) -> discord.Permissions | None:
    """As we tell Discord; of a command that we do not know, none but administrators may use its buttons."""
    known: Any = client.tree.get_command(command) if isinstance(client, MockingbirdClient) else None
    return discord.Permissions.all() if known is None else known.default_permissions
