"""Inbound: which messages are said to us; of all others only that somebody wrote is passed on, not what."""

from __future__ import annotations

import logging
import re

import aiohttp
import discord

from bot import clock
from bot.domain import Mention
from bot.platforms.discord.front import PLATFORM, Front, person_of, place_of

log = logging.getLogger(__name__)

SAID = frozenset({discord.MessageType.default, discord.MessageType.reply})  # by people; the others tell of events
_NAMED = re.compile(r"<(?:(?P<kind>@!?|@&|#|a?:(?P<emoji>\w+):)(?P<id>\d+)|t:-?\d+(?::\w)?)>")
_LOOSE = re.compile(r" (?=[,.!?])")  # a blank where our name was


async def on_message(front: Front, message: discord.Message) -> None:
    """Is given each new message once. Only people are answered: no bot, no webhook, not ourselves, no event. Nothing
    is kept of a message that is not for us, and nobody learns from any."""
    if message.author.bot or message.webhook_id is not None or message.type not in SAID:
        return
    mention = read(message)
    if mention is None:
        await front.app.listener.passed(_mention(message, "", None, by_name=False))
    elif await front.app.listener.heard(mention):
        try:
            await message.channel.typing()  # shown until the answer is there, or for ten seconds
        except (discord.DiscordException, aiohttp.ClientError, OSError) as error:
            log.info("nobody sees that an answer is being written: %s", error)


def read(message: discord.Message) -> Mention | None:
    """What somebody says to us: by our name, alone with us, or in answer to something of ours. None if a message is not
    for us, or is hidden: what answers us without notifying us, Discord does not show."""
    me = message.guild.me if message.guild is not None else getattr(message.channel, "me", None)
    if me is None:
        return None
    by_name = re.search(rf"<@!?{me.id}>", message.content) is not None
    alone = message.guild is None
    reply_to = _of_ours(message, me.id)
    if not by_name and not (message.content and (alone or reply_to is not None)):
        return None
    text = without_names(message, me.id)
    return _mention(message, text, None if reply_to is None else str(reply_to), by_name=by_name or alone)


def _of_ours(message: discord.Message, our_id: int) -> int | None:
    """The message of ours that it answers, be it by a webhook of ours."""
    if message.type is not discord.MessageType.reply or message.reference is None:
        return None
    answered = message.reference.resolved
    if isinstance(answered, discord.Message):
        ours = our_id in (answered.author.id, answered.application_id)
    else:  # Discord does not always show it; whoever is answered is mentioned
        ours = answered is None and any(user.id == our_id for user in message.mentions)
    return message.reference.message_id if ours else None


def _mention(message: discord.Message, text: str, reply_to: str | None, by_name: bool) -> Mention:
    channel = message.channel
    parent = channel.parent_id if isinstance(channel, discord.Thread) else None
    return Mention(
        platform=PLATFORM,
        remote_id=str(message.id),
        place=place_of(None if message.guild is None else message.guild.id, channel.id),
        account=str(channel.id),
        person=person_of(message.author),
        at=min(int(message.created_at.timestamp() * 1000), clock.now_ms()),  # one of the two clocks may be wrong
        text=text,
        reply_to=reply_to,
        by_name=by_name,
        within=None if parent is None else str(parent),
    )


def without_names(message: discord.Message, our_id: int) -> str:
    """What was said, without our name; others' names, and those of emoji, as people read them."""
    people = {user.id: user.display_name for user in message.mentions}

    def shown(found: re.Match[str]) -> str:
        if found["emoji"]:
            return f":{found['emoji']}:"
        if found["kind"] in ("@", "@!") and int(found["id"]) != our_id:
            return people.get(int(found["id"]), "")
        return ""

    text = " ".join(_NAMED.sub(shown, message.content).split())
    return _LOOSE.sub("", text).lstrip(", ")
