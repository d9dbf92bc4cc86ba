"""/train: a file of tweets, or what is held already, becomes a persona of this place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

import aiohttp
import discord
from discord import app_commands

from bot.domain import Asker
from bot.errors import AuthorUnknown, MockingbirdError, NeedsPermission, UploadTooLarge, did_you_mean
from bot.flows.train import check_held
from bot.platforms.discord.access.permissions import require
from bot.platforms.discord.answers.ask import ask_training, reading
from bot.platforms.discord.answers.original import say
from bot.platforms.discord.front import Front, Interaction, asker
from bot.platforms.discord.kinds import MODERATORS, Command, for_all
from bot.platforms.discord.layout.listing import sentence
from bot.platforms.discord.sentences import sentence as sentence_of
from bot.platforms.discord.texts import name
from bot.platforms.discord.uploads import MIB, Trusted, fetched, trusts
from bot.store import opt_outs, personas, timelines
from bot.store.database import Db
from bot.web.operation import Answer
from bot.web.operations.timelines import Import, hold
from training.timeline.errors import FORMATS, GET_ARCHIVE

log = logging.getLogger(__name__)

AT_ONCE = 2  # files that are fetched and read; each may be large
LONGEST_NAME = 100

HOW = (
    "Attach the file tweets.js of an X archive (it lies in the folder data; zipped is fine), a .jsonl or a .csv, or "
    "fill in the handle of somebody whose tweets are held here already. An archive says whose it is; for any other "
    "file fill in handle, and set permission to True if you have this person's permission."
)


def train(front: Front) -> Command:
    room = asyncio.Semaphore(AT_ONCE)
    trusted = partial(trusts, front.app.config.discord.api_base)

    @app_commands.command(name="train", description="Learns how somebody writes, from their tweets")
    @app_commands.describe(
        file="tweets.js of an X archive (zipped is fine), .jsonl or .csv; none: what is held already",
        handle="Whose tweets they are; or, without a file, who is held here, as in jo+kim",
        permission="Whether you have this person's permission",
    )
    async def command(
        interaction: Interaction,
        file: discord.Attachment | None = None,
        handle: app_commands.Range[str, 1, LONGEST_NAME] | None = None,
        permission: bool = False,
    ) -> None:
        try:
            await require(front, interaction, "train")
            if file is not None:
                await give(front, interaction, file, handle, permission, room, trusted)
            elif handle is not None:
                await again(front, interaction, personas.split(handle.replace("@", " ")))
            else:
                await say(interaction, HOW)
        except MockingbirdError as error:
            await say(interaction, in_words(error))

    command.default_permissions = MODERATORS
    return for_all(command)


async def give(
    front: Front,
    interaction: Interaction,
    file: discord.Attachment,
    handle: str | None,
    permission: bool,
    room: asyncio.Semaphore,
    trusted: Trusted,
) -> None:
    """Holds what somebody attached, and trains on it."""
    most = min(interaction.filesize_limit or MIB, front.app.config.discord.max_upload_mb * MIB)
    if file.size > most:
        raise UploadTooLarge(most=most // MIB)
    async with reading(front, interaction, handle or file.filename, f"Reading {name(file.filename)} …"):
        async with room, fetched(file.url, interaction.id, front.app.database.folder, most, trusted) as path:
            asked = Import(file=path, handle=handle, permission=permission, name=file.filename[:LONGEST_NAME])
            held = await front.ask(interaction, hold, asked)
        try:
            await interaction.followup.send(view=sentence(counted(held)))
        except (OSError, aiohttp.ClientError, discord.HTTPException) as error:  # it is trained all the same
            log.info("nobody could be told what was held: %s", type(error).__name__)
        await learn(front, interaction, [held["handle"]])


async def again(front: Front, interaction: Interaction, handles: Sequence[str]) -> None:
    """Trains on what the place holds."""
    by = asker(interaction)
    unknown = await front.app.database.run(lambda db: not_held(db, handles, by))
    if unknown is not None:
        await say(interaction, unknown)
    else:
        await learn(front, interaction, handles)


def not_held(db: Db, handles: Sequence[str], by: Asker) -> str | None:
    """What to say if one of the handles is not held in this place; raises OptedOut."""
    opt_outs.check(db, handles)
    for handle in handles:
        if timelines.spelled(db, handle, by.place) is None:
            nearest = did_you_mean(handle, timelines.handles(db, by.place), "@{}")
            return f"Nothing is held of @{handle} here{nearest}. {HOW}"
    return None if handles else HOW


async def learn(front: Front, interaction: Interaction, handles: Sequence[str]) -> None:
    """Raises TooLittleText; else whoever asked is told of the training, and of its end."""
    place, config = asker(interaction).place, front.app.config

    def check(db: Db) -> None:
        for handle in handles:
            check_held(db, handle, place, config)

    await front.app.database.run(check)
    await ask_training(front, interaction, handles, None)


def counted(held: Answer) -> str:
    """What is held now, in words."""
    left_out = [
        f"{held[kind]:,} are {what}"
        for kind, what in (("retweets", "retweets"), ("short", "too short"))
        if held[kind]
    ]  # fmt: skip
    others = f" ({' and '.join(left_out)})" if left_out else ""
    new = "" if held["new"] == held["downloaded"] else f", {held['new']:,} of them new"
    of = f"{held['downloaded']:,} tweets{new}, of which {held['kept']:,} will be learned from{others}"
    return f"@{held['handle']}: {of}."


def in_words(error: MockingbirdError) -> str:
    """An error for those who have options where the shell has flags."""
    said = sentence_of(error).replace("--handle", "the option handle")
    # Nobody can attach a folder, and hardly anybody a whole archive.
    said = said.replace(FORMATS, "tweets.js of an X archive (zipped is fine), .jsonl, .jsonl.gz or .csv")
    said = said.replace(GET_ARCHIVE, "attach the file tweets.js that lies in the folder data of an X archive")
    if isinstance(error, AuthorUnknown):
        return f"{said} Set permission to True, too, if you have this person's permission."
    if isinstance(error, NeedsPermission):
        return f"{said} If you have it, use the command again and set permission to True."
    return said
