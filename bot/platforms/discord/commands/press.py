"""Press: what is pressed, chosen or filled in is found by its custom_id, so it works as long as its message stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import discord

from bot.platforms.discord.commands import BUTTONS
from bot.platforms.discord.front import Front, Interaction
from bot.platforms.discord.layout.parts import parsed
from bot.platforms.discord.sentences import on_failure, tell

USED = (discord.InteractionType.component, discord.InteractionType.modal_submit)


async def pressed(front: Front, interaction: Interaction) -> None:
    """Does what one of our buttons, lists or forms is for, and nothing of others; whoever used it is answered."""
    data: Mapping[str, Any] = interaction.data or {}
    meaning = parsed(str(data.get("custom_id"))) if interaction.type in USED else None
    if meaning is None:
        return
    try:
        if (press := BUTTONS.get(meaning.verb)) is None:
            await tell(interaction, "This is no longer in use: ask again with a command.")
        else:
            await press(front, interaction, meaning.id, meaning.index or 0)
    except Exception as error:
        await on_failure(front, interaction, error)
