"""Allowed: what members may do besides what Discord itself checks."""

from __future__ import annotations

from bot.platforms.discord.front import Front, Interaction, asker
from bot.store import consents

MANAGERS_ONLY = "Only members with the permission Manage Server may do that here."


def manages(interaction: Interaction) -> bool:
    """Whether they look after the place: a chat is everybody's in it."""
    return interaction.guild_id is None or interaction.permissions.manage_guild


def may_train(interaction: Interaction) -> bool:
    """Discord checks it where the bot was added to the server, by what the server has settled for the command."""
    return interaction.is_guild_integration() or manages(interaction)


async def may_forget(front: Front, interaction: Interaction, handle: str) -> bool:
    """Who looks after the place, and who gave the tweets by their own archive."""
    by = asker(interaction)
    return manages(interaction) or await front.app.database.run(
        lambda db: consents.gave_own(db, by.place, handle, by.person)
    )
