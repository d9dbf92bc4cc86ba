"""Everything that people can do on Discord, by noun: commands, and what the buttons of messages do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.platforms.discord import review
from bot.platforms.discord.commands import about, outbox, personas, queue, quiet, reply, schedule, settings
from bot.platforms.discord.kinds import Command, Make, Press

__all__ = ["BUTTONS", "COMMANDS", "Command", "Make", "Press"]

COMMANDS: Sequence[Make] = (
    personas.every,
    personas.one,
    schedule.schedule,
    reply.reply,
    queue.queue,
    outbox.drafts,
    quiet.mute,
    quiet.unmute,
    quiet.phrases,
    settings.settings,
    about.helping,
    about.status,
)
BUTTONS: Mapping[str, Press] = {**review.BUTTONS, **outbox.BUTTONS, **queue.BUTTONS}  # by verb
