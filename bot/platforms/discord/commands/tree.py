"""Tree: the commands as Discord is told of them, and what goes for all: cooldowns, failures, who may use which."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import discord
from discord import app_commands

from bot.errors import CoolingDown
from bot.platforms.discord.commands import COMMANDS
from bot.platforms.discord.front import Front, Interaction, person_of
from bot.platforms.discord.kinds import Command
from bot.platforms.discord.sentences import on_failure, sentence, tell

Leaf = app_commands.Command[Any, ..., Any] | app_commands.ContextMenu


def install(front: Front, tree: app_commands.CommandTree[Any]) -> None:
    """For `Ears.commands`: adds all commands to the tree of a new client."""

    async def check(interaction: Interaction) -> bool:
        return await _is_cool(front, interaction)

    async def failed(interaction: Interaction, error: app_commands.AppCommandError) -> None:
        await on_failure(front, interaction, error)

    async def on_raw_app_command_permissions_update(event: discord.RawAppCommandPermissionsUpdateEvent) -> None:
        front.overrides.forget(event.guild.id)

    for make in COMMANDS:
        command = make(front)
        for leaf in leaves(command):
            leaf.add_check(check)
        tree.add_command(command)
    tree.error(failed)
    tree.client.event(on_raw_app_command_permissions_update)


def leaves(command: Command) -> Iterator[Leaf]:
    """What can be used of a command: itself, or its subcommands."""
    if isinstance(command, app_commands.Group):
        for inner in command.commands:
            yield from leaves(inner)
    else:
        yield command


async def _is_cool(front: Front, interaction: Interaction) -> bool:
    name = interaction.command.qualified_name if interaction.command else ""
    wait_s = front.cooldowns.wait_s(person_of(interaction.user), name, front.app.config.discord.cooldown_seconds)
    if wait_s:
        called = f'"{name}"' if isinstance(interaction.command, app_commands.ContextMenu) else f"/{name}"
        await tell(interaction, sentence(CoolingDown(command=called, seconds=math.ceil(wait_s))))
    return not wait_s
