"""Everything that people can do on Discord, by noun: commands, and what the buttons of messages do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from discord import app_commands

from bot.platforms.discord.commands.reply import reply
from bot.platforms.discord.front import Front, Interaction

Command = app_commands.Command[Any, ..., Any] | app_commands.Group | app_commands.ContextMenu
Make = Callable[[Front], Command]

Press = Callable[[Front, Interaction, str, int], Awaitable[None]]
"""(front, interaction, id, index): what a button of the custom id `mb:<verb>:<id>:<index>` does."""

COMMANDS: Sequence[Make] = (reply,)
BUTTONS: Mapping[str, Press] = {}  # by verb
