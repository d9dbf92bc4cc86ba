"""Inbound: which messages are said to us; of all others only that somebody wrote is passed on, not what."""

from __future__ import annotations

import re

import discord

from bot import clock
from bot.domain import Mention
from bot.platforms.discord.front import PLATFORM, Front, person_of, place_of

SAID = frozenset({discord.MessageType.default, discord.MessageType.reply})  # by people; the others tell of events
_NAMED = re.compile(r"<(?:(?P<kind>@!?|@&|#|a?:(?P<emoji>\w+):)(?P<id>\d+)|t:-?\d+(?::\w)?)>")


async def on_message(front: Front, message: discord.Message) -> None:
    """Is given each new message once. Only people are answered: no bot, no webhook, not ourselves, no event. Nothing
    is kept of a message that is not for us, and nobody learns from any."""
    if message.author.bot or message.webhook_id is not None or message.type not in SAID:
        return
    mention = read(message)
    if mention is None:
        await front.app.listener.passed(_mention(message, "", None, by_name=False))
    else:
        await front.app.listener.heard(mention)


def read(message: discord.Message) -> Mention | None:
    """What somebody says to us: by our name, alone with us, or in answer to something of ours. None if a message is not
    for us, or is hidden: what answers us without notifying us, Discord does not show."""
    me = message.guild.me if message.guild is not None else getattr(message.channel, "me", None)
    if me is None:
        return None
    by_name = re.search(rf"<@!?{me.id}>", message.content) is not None
    answered = message.reference.resolved if message.reference is not None else None
    is_reply = message.type is discord.MessageType.reply and isinstance(answered, discord.Message)
    ours = isinstance(answered, discord.Message) and me.id in (answered.author.id, answered.application_id)
    alone = message.guild is None
    if not by_name and not (message.content and (alone or (is_reply and ours))):
        return None
    reply_to = str(answered.id) if is_reply and ours and isinstance(answered, discord.Message) else None
    return _mention(message, without_names(message, me.id), reply_to, by_name=by_name or alone)


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

    return " ".join(_NAMED.sub(shown, message.content).split())
