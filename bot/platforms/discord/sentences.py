"""Sentences: what people on Discord are told when something cannot be done; nobody there has a shell."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping
from typing import Any

import aiohttp
import discord
from discord import app_commands

from bot import errors
from bot.errors import MockingbirdError
from bot.platforms.discord.front import Front, Interaction
from bot.platforms.discord.layout.parts import with_moments
from bot.platforms.discord.texts import MESSAGE, said

log = logging.getLogger(__name__)

ROOM = 100  # characters that instants may take more than they are written with

OPERATOR = "The bot cannot do that at the moment; whoever runs it finds the reason in its log."
CHANGED = "This command has changed since Discord was told of it: press Ctrl-R, or restart Discord, and try again."

# In place of the errors' own sentences, which are for whoever runs the bot.
SENTENCES: Mapping[type[MockingbirdError], str] = {
    errors.BadConfig: OPERATOR,
    errors.DataDirectoryHeld: OPERATOR,
    errors.DataDirectoryUnusable: OPERATOR,
    errors.DatabaseBusy: "The bot is busy: try again in a moment.",
    errors.DiskFull: "The disk of the machine that runs the bot is full: nothing was changed.",
    errors.UnknownHandle: "Nothing is held of @{handle}{nearest}: /train takes their tweets.",
    errors.UnknownPersona: "There is no persona {persona!r} here{nearest}: /personas shows all, /train makes one.",
    errors.NoCheckpoint: "{persona} cannot speak yet: /train makes it learn.",
    errors.NothingHeld: "Nothing is held of @{handle} here{nearest}.",
    errors.TooLittleText: (
        "@{handle} has {characters:,} characters in {tweets:,} usable tweets, and a voice needs at least {needed:,} in "
        "at least {fewest} different ones: give more of their tweets with /train."
    ),
    errors.AdaptersOnly: "The recipe {recipe} cannot do that: choose another one.",
    errors.BadWeights: "{reason}: give one positive number for each handle.",
    errors.TrainingInterrupted: "The training stopped before it was done; /train goes on where it stopped.",
    errors.BaseUnavailable: OPERATOR,
    errors.CorruptCheckpoint: "What was learnt of this persona is damaged: /train makes it learn again.",
    errors.NothingAcceptable: "Moderation refused every text of {persona} ({reasons}): try another prompt.",
    errors.NothingFresh: "All that {persona} wrote had been said there within 30 days: try another prompt.",
    errors.WorkerUnavailable: "The bot could not write that just now: try again in a moment.",
    errors.UnknownSchedule: "There is no schedule {schedule} here: /schedule list shows them all.",
    errors.BotGone: "The bot stopped before it answered: /queue and /outbox show what became of it.",
    errors.BotSilent: "The bot does not answer: try again in a moment.",
    errors.OtherVersion: OPERATOR,
    errors.Unexpected: "Something went wrong (reference {reference}).",
    errors.UnknownAccount: "That channel is not one of this place.",
    errors.UnknownPlatform: "Nothing can be said there.",
    errors.UnknownPost: "There is no post {post} here: /outbox shows them.",
    errors.NotBanned: "{phrase!r} is not banned here{nearest}: /ban-phrase list shows what is.",
    errors.NotMuted: "That is not muted here.",
    errors.NoDiscordToken: OPERATOR,
    errors.NoSessionLeft: OPERATOR,
}

# What stands in texts that were written for the shell and kept: why a request failed, notices.
_COMMANDS = re.compile(r"`mockingbird ([a-z-]+)(?: [^`]*)?`")
_SETTING = re.compile(r", which moderation\.\w+ does not allow")
_INSTEAD = {
    "train": "/train", "import": "/train", "imitate": "/imitate", "schedule": "/schedule", "queue": "/queue",
    "ban-phrase": "/ban-phrase", "mute": "/mute", "post": "/outbox", "outbox": "/outbox", "account": "/status",
}  # fmt: skip


def sentence(error: MockingbirdError) -> str:
    """What people on Discord read of an error."""
    written = next((SENTENCES[kind] for kind in type(error).__mro__ if kind in SENTENCES), None)
    return without_shell(str(error) if written is None else written.format(**error.facts))


def without_shell(text: str) -> str:
    """The same text, with commands of Discord where it names some of the shell, and without names of settings."""
    return _COMMANDS.sub(lambda found: _INSTEAD.get(found[1], "/help"), _SETTING.sub("", text))


async def on_failure(front: Front, interaction: Interaction, error: Exception) -> None:
    """Tells whoever asked, and nobody else, whether or not they were answered already; what is unexpected is described
    in the log. Raises nothing."""
    if isinstance(error, app_commands.CommandInvokeError):
        error = error.original
    if isinstance(error, app_commands.CheckFailure) and interaction.response.is_done():
        return  # the check has told them
    if isinstance(error, MockingbirdError):
        text = sentence(error)
    elif isinstance(error, app_commands.CommandSignatureMismatch | app_commands.CommandNotFound):
        text = CHANGED
    elif isinstance(error, app_commands.TransformerError):
        text = "The bot does not see what you chose, so it cannot use it."
    else:
        reference = secrets.token_hex(4)
        log.error("%s failed, reference %s", _asked(interaction), reference, exc_info=error)
        text = sentence(errors.Unexpected(reference=reference))
    try:
        await tell(interaction, with_moments(said(text, most=MESSAGE - ROOM)))
    except (OSError, aiohttp.ClientError, discord.DiscordException) as refused:  # it came too late, or Discord is away
        log.info("somebody could not be told %r: %s", text, type(refused).__name__)


def _asked(interaction: Interaction) -> str:
    data: Mapping[str, Any] = interaction.data or {}
    return interaction.command.qualified_name if interaction.command else str(data.get("custom_id"))


async def tell(interaction: Interaction, text: str) -> None:
    """A sentence for whoever asked alone; texts from outside it are given as `texts` prepares them."""
    if interaction.type is discord.InteractionType.autocomplete:
        if not interaction.response.is_done():
            await interaction.response.autocomplete([])
    elif interaction.response.is_done():
        await interaction.followup.send(text, ephemeral=True, allowed_mentions=discord.AllowedMentions.none())
    else:
        await interaction.response.send_message(
            text, ephemeral=True, allowed_mentions=discord.AllowedMentions.none(), suppress_embeds=True
        )


async def show(interaction: Interaction, view: discord.ui.LayoutView, *files: discord.File) -> None:
    """Something laid out, for whoever asked alone."""
    none = discord.AllowedMentions.none()
    if interaction.response.is_done():
        await interaction.followup.send(view=view, files=list(files), ephemeral=True, allowed_mentions=none)
    else:
        await interaction.response.send_message(view=view, files=list(files), ephemeral=True, allowed_mentions=none)
