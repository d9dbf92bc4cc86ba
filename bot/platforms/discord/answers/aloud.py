"""Aloud: an answer whose message cannot be changed any more becomes a message of its own, through the outbox."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import discord

from bot import clock
from bot.domain import Post, SaidAlready
from bot.platforms.discord.answers.original import PASSING
from bot.platforms.discord.answers.shown import notes, persona_of, view
from bot.platforms.discord.front import PLATFORM, Front
from bot.platforms.discord.layout.parts import MARK
from bot.platforms.discord.texts import name
from bot.store import interactions, outbox
from bot.store.database import Db

log = logging.getLogger(__name__)

CAUSE = "interaction:"
LONGEST_MS = 24 * 3_600_000  # then nobody waits for it
LONGEST_TEXT = 1_700  # of the 2,000 that a message holds
QUOTED = 100
LOOK_S, LONGEST_LOOK_S = 0.5, 30.0  # between looks for the channel, while there is no client
NEXT = 100  # messages that are looked through


async def speak_aloud(front: Front, row: interactions.Interaction) -> None:
    """Queues the answer as a reply in the channel where it was asked, and closes the interaction with it: both or
    neither. Where the bot cannot speak, only whoever runs it hears of it; where the message shows the answer already,
    because the bot was killed or the connection broken off before we knew, nothing is said."""
    channel = await channel_of(front, row)
    if channel is not None and await _stands(front, channel, row):
        await front.app.database.run(lambda db: interactions.close(db, row.id, "answered"))
        return
    if channel is None or not _writable(channel):
        log.warning("interaction %s: nobody can be answered in the channel %s any more", row.id, row.channel)
        await front.app.database.run(lambda db: interactions.close(db, row.id, "gone"))
        return
    text, now = spoken(row), front.now()
    cause = {"persona": (row.answer or {}).get("persona"), "interaction": row.id, "asked_by": row.person}

    def transaction(db: Db) -> None:
        if not interactions.close(db, row.id, "answered"):
            return
        outbox.add(
            db,
            PLATFORM,
            row.channel,
            CAUSE + row.id,
            cause,
            text,
            due_at=now,
            expires_at=now + LONGEST_MS,
            now=now,
            kind="reply",
            persona_id=row.persona_id,
            place=row.place,
        )

    try:
        await front.app.database.run(transaction)
    except SaidAlready:  # to the second the same question, with the same answer
        await front.app.database.run(lambda db: interactions.close(db, row.id, "answered"))
    front.app.wake()


async def dressed(front: Front, post: Post) -> discord.ui.LayoutView | None:
    """For the Poster: such an answer is laid out as others are, and has its buttons; None for any other post."""
    if not post.cause_key.startswith(CAUSE):
        return None
    row = await front.app.database.run(lambda db: interactions.get(db, post.cause_key.removeprefix(CAUSE)))
    if row is None or row.answer is None or "sentence" in row.answer:
        return None
    prompt = str(row.asked.get("prompt") or "")
    about = f" with “{name(prompt, QUOTED)}”" if prompt else ""
    return view(front, row, f"As asked{about} at {_clock_time(row)} UTC")


def _clock_time(row: interactions.Interaction) -> str:
    return clock.iso(row.created_at)[11:19]


def spoken(row: interactions.Interaction) -> str:
    """The answer in plain text, with what was asked: who reads it may have forgotten."""
    assert row.answer is not None
    at = _clock_time(row)
    who = persona_of(row) if row.asked else ""  # forgotten meanwhile
    if "sentence" in row.answer:
        return f"What was asked at {at} UTC{who and f' about {who}'}: {row.answer['sentence']}"
    prompt = str(row.asked.get("prompt") or "")
    about = f' with "{prompt[:QUOTED]}"' if prompt else ""
    texts = [str(candidate["text"]) for candidate in row.answer["candidates"]]
    each = LONGEST_TEXT // max(1, len(texts))
    head = f"{who} ({MARK}), as asked{about} at {at} UTC:"
    return "\n".join([*notes(row), head, *(text[:each] for text in texts)])


async def channel_of(front: Front, row: interactions.Interaction) -> discord.abc.Messageable | None:
    """Where it was asked; None if the bot has no access to it."""
    wait_s = LOOK_S
    while row.channel.isdecimal():
        client = front.client()
        if client is not None:
            try:
                found = client.get_channel(int(row.channel)) or await client.fetch_channel(int(row.channel))
            except (discord.Forbidden, discord.NotFound, discord.InvalidData):
                return None
            except (*PASSING, discord.HTTPException) as error:
                log.info("channel %s cannot be looked up: %s", row.channel, type(error).__name__)
            else:
                return found if isinstance(found, discord.abc.Messageable) else None
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_LOOK_S)
    return None


async def _stands(front: Front, channel: discord.abc.Messageable, row: interactions.Interaction) -> bool:
    """Whether the message that was to be changed shows the answer, as far as the bot may read the channel."""
    wanted = _said(view(front, row).to_components())  # type: ignore[no-untyped-call]
    try:
        async for message in channel.history(after=discord.Object(int(row.id)), limit=NEXT, oldest_first=True):
            about = message.interaction_metadata
            if about is not None and str(about.id) == row.id:
                return _said([part.to_dict() for part in message.components]) == wanted
    except (*PASSING, discord.HTTPException) as error:
        log.info("channel %s cannot be read: %s", row.channel, type(error).__name__)
    return False


def _said(parts: Sequence[Any]) -> list[str]:
    """All that is written in these components, however deep."""
    return [
        text
        for part in parts
        for text in (*([part["content"].strip()] if "content" in part else []), *_said(part.get("components", ())))
    ]


def _writable(channel: object) -> bool:
    if not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
        return True
    allowed = channel.permissions_for(channel.guild.me)
    return allowed.send_messages_in_threads if isinstance(channel, discord.Thread) else allowed.send_messages
