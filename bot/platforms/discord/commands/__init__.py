"""Everything that people can do on Discord, by noun: commands, and what the buttons of messages do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.platforms.discord import review
from bot.platforms.discord.commands import (
    about,
    answer,
    forget,
    imitate,
    outbox,
    personas,
    queue,
    quiet,
    reply,
    schedule,
    settings,
    train,
)
from bot.platforms.discord.kinds import Command, Make, Press

__all__ = ["BUTTONS", "COMMANDS", "Command", "Make", "Press"]

COMMANDS: Sequence[Make] = (
    imitate.imitate,
    imitate.answer_as,
    train.train,
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
    forget.forget,
    forget.opt_out,
    forget.tell_privacy,
)
# by verb
BUTTONS: Mapping[str, Press] = {
    **answer.BUTTONS,
    **forget.BUTTONS,
    **imitate.BUTTONS,
    **outbox.BUTTONS,
    **queue.BUTTONS,
    **review.BUTTONS,
}
