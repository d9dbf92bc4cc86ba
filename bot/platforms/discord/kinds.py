"""Kinds: what a command and the meaning of a button are, who may use which by default, and where."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import discord
from discord import app_commands

from bot.platforms.discord.front import Front, Interaction

Command = app_commands.Command[Any, ..., Any] | app_commands.Group | app_commands.ContextMenu
Make = Callable[[Front], Command]
C = TypeVar("C", bound=app_commands.Command[Any, ..., Any] | app_commands.ContextMenu)

Press = Callable[[Front, Interaction, str, int], Awaitable[None]]
"""(front, interaction, id, index): what a button of the custom id `mb:<verb>:<id>:<index>` does."""

# What works in a chat of others, where the bot itself is not, and what needs the bot to be there.
ANYWHERE = app_commands.AppInstallationType(guild=True, user=True)
EVERYWHERE = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True)
WITH_THE_BOT = app_commands.AppInstallationType(guild=True, user=False)
WHERE_IT_SPEAKS = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=False)
MODERATORS = discord.Permissions(manage_guild=True)


def group(name: str, description: str) -> app_commands.Group:
    """Of commands for those who manage a server, where the bot is."""
    return app_commands.Group(
        name=name, description=description, default_permissions=MODERATORS, allowed_installs=WITH_THE_BOT,
        allowed_contexts=WHERE_IT_SPEAKS,
    )  # fmt: skip


def for_all(command: C) -> C:
    """Everybody may use it, unless it says otherwise, wherever Discord offers commands."""
    command.allowed_installs, command.allowed_contexts = ANYWHERE, EVERYWHERE
    return command


def for_moderators(command: app_commands.Command[Any, ..., Any]) -> app_commands.Command[Any, ..., Any]:
    """For those who manage a server, where the bot is."""
    command.allowed_installs, command.allowed_contexts = WITH_THE_BOT, WHERE_IT_SPEAKS
    command.default_permissions = MODERATORS
    return command
