"""Webhook: where a server wants it, what a persona says stands under its own name, beside the original.

A webhook knows no nonce, so each message is asked for once. Before that it is written down that it may be there; if the
answer is lost, or the bot is killed meanwhile, the channel is looked through. Found there, the original shows only the
buttons; else it shows the texts itself. What remains: a message that Discord writes only after that look, or one in a
channel that the bot can no longer read, says once more what the original says.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from dataclasses import replace
from types import SimpleNamespace

import aiohttp
import discord

from bot.platforms.discord.answers.aloud import channel_of
from bot.platforms.discord.answers.shown import BY_NAME, alone, persona_of
from bot.platforms.discord.answers.webhooks import Parent
from bot.platforms.discord.front import PLATFORM, Front
from bot.platforms.discord.layout.parts import MARK
from bot.platforms.discord.texts import label
from bot.store import interactions, places

log = logging.getLogger(__name__)

AI = " (AI)"
LONGEST_NAME = 80
REFUSED_NAMES = ("clyde", "discord")  # by Discord, also as a part of a name
FIND_S, SEND_S = 5.0, 10.0  # discord.py waits for limits in between
LOOKS_S = (1.0, 3.0)  # before each look: what is there may not be shown at once
MOST_READ = 500  # messages
UNKNOWN_WEBHOOK = 10015
FAILED = (OSError, aiohttp.ClientError, TimeoutError, discord.DiscordException, RuntimeError)  # the last: closed client


Channel = discord.TextChannel | discord.VoiceChannel | discord.StageChannel | discord.Thread


class Lost(Exception):
    """It may have been done, and nobody knows."""


async def speak_by_name(front: Front, row: interactions.Interaction) -> interactions.Interaction:
    """Has the persona say the texts of an answer that is kept, if that is wanted and possible; returns it as the
    original is to show it."""
    assert row.answer is not None
    if row.answer.get(BY_NAME):
        return row
    begun = BY_NAME in row.answer  # before a restart
    if not begun and not await _wanted(front, row):
        return row
    channel = await channel_of(front, row)
    if not isinstance(channel, Channel) or (parent := _speakable(channel, row)) is None:
        return row
    if begun:
        message_id = await _look(front, channel, row)
    else:
        row = await _keep(front, row, "")
        try:
            message_id = await _say(front, channel, parent, row)
        except FAILED as error:  # surely not said
            log.info("interaction %s is not answered by a webhook: %s", row.id, type(error).__name__)
            message_id = None
    return row if message_id is None else await _keep(front, row, message_id)


def name_of(persona: str) -> str:
    """Under which name it speaks: one that Discord takes, and that nobody takes for the person."""
    if any(refused in persona.lower() for refused in REFUSED_NAMES):
        return MARK
    return label(persona, LONGEST_NAME - len(AI)) + AI


async def _wanted(front: Front, row: interactions.Interaction) -> bool:
    """Only for what is asked by a command and answered in time."""
    assert row.answer is not None
    in_time = row.token is not None and front.now() < row.token_until
    if row.kind != "imitate" or "candidates" not in row.answer or row.asked.get("of_message") or not in_time:
        return False
    settled = await front.app.database.run(lambda db: places.get(db, row.place))
    return settled.webhooks


def _speakable(channel: Channel, row: interactions.Interaction) -> Parent | None:
    """The channel whose webhook speaks here, if the bot may use one and look afterwards whether it has spoken."""
    if row.place != f"{PLATFORM}:{channel.guild.id}":
        return None
    me = channel.guild.me
    held = discord.Permissions.none() if me is None else channel.permissions_for(me)
    if not (held.view_channel and held.read_message_history and held.manage_webhooks):
        return None
    return channel.parent if isinstance(channel, discord.Thread) else channel


async def _keep(front: Front, row: interactions.Interaction, message_id: str) -> interactions.Interaction:
    answer = {**(row.answer or {}), BY_NAME: message_id}
    await front.app.database.run(lambda db: interactions.keep_answer(db, row.id, answer, row.persona_id))
    return replace(row, answer=answer)


async def _say(front: Front, channel: Channel, parent: Parent, row: interactions.Interaction) -> str | None:
    """The message's id, None if there is none as far as anybody knows; FAILED if there is none for sure."""
    for _ in range(2):
        async with asyncio.timeout(FIND_S):
            webhook_id, token = await front.webhooks.of(parent)
        try:
            async with asyncio.timeout(SEND_S):
                return await _send(front, webhook_id, token, channel, row)
        except discord.HTTPException as error:
            front.webhooks.forget(parent)
            if error.code != UNKNOWN_WEBHOOK:  # not: somebody has deleted it
                raise
        except (Lost, TimeoutError):
            return await _look(front, channel, row)
    return None


async def _send(front: Front, webhook_id: int, token: str, channel: Channel, row: interactions.Interaction) -> str:
    """In a session of its own, because discord.py repeats what was answered by 5xx."""
    async with aiohttp.ClientSession(trace_configs=[_once()]) as session:
        webhook = discord.Webhook.partial(webhook_id, token, session=session)
        sent = await webhook.send(
            view=alone(front, row, _mark(row)),
            username=name_of(persona_of(row)),
            allowed_mentions=discord.AllowedMentions.none(),
            thread=channel if isinstance(channel, discord.Thread) else discord.utils.MISSING,
            wait=True,
        )
        return str(sent.id)


async def _look(front: Front, channel: Channel, row: interactions.Interaction) -> str | None:
    """The message that says it, if it is found by the number of its mark."""
    for wait_s in LOOKS_S:
        await asyncio.sleep(wait_s)
        try:
            client, since = front.client(), discord.Object(int(row.id))
            async for message in channel.history(limit=MOST_READ, after=since, oldest_first=False):
                ours = client is not None and message.application_id == client.application_id
                if ours and any(getattr(part, "id", None) == _mark(row) for part in message.components):
                    return str(message.id)
        except FAILED as error:
            log.info("channel %s cannot be read: %s", row.channel, type(error).__name__)
    log.info("interaction %s: nobody knows whether the webhook spoke, so the original does", row.id)
    return None


def _mark(row: interactions.Interaction) -> int:
    """The number of the component that names the speaker, by which the message is known again: two answers may well
    say the same. Discord takes 31 bits."""
    return zlib.crc32(row.id.encode()) & 0x7FFF_FFFF


def _once() -> aiohttp.TraceConfig:
    """Ends a request that may have been done by Lost, which discord.py does not catch."""
    config = aiohttp.TraceConfig()
    config.on_request_end.append(_answered)
    config.on_request_exception.append(_failed)
    return config


async def _answered(
    session: aiohttp.ClientSession, context: SimpleNamespace, request: aiohttp.TraceRequestEndParams
) -> None:
    if request.response.status >= 500:
        raise Lost


async def _failed(
    session: aiohttp.ClientSession, context: SimpleNamespace, request: aiohttp.TraceRequestExceptionParams
) -> None:
    if isinstance(request.exception, Exception):  # not if we are being stopped
        raise Lost from request.exception
