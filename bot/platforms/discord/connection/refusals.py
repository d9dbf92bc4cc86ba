"""Refusals: why Discord will not have the bot as it is, and what whoever runs it can do about that."""

from __future__ import annotations

import discord

from bot.errors import BadConfig, NoDiscordToken

BAD_TOKEN = (
    "Discord does not accept the bot's token; in the developer portal, at your application, page Bot, choose Reset "
    "Token, and put the new one where [discord] token_env says."
)
NO_CONTENT = (
    "Discord does not let the bot read all messages: in the developer portal, at your application, page Bot, switch on "
    "Message Content Intent, or set [discord] message_content = false."
)
TOO_MANY_SERVERS = (
    "The bot is in more servers than Discord serves over one connection (2,500), and it has only one: remove it from "
    "some."
)
OUTDATED = "Discord no longer understands this version of Mockingbird: update it, and discord.py with it."
BY_CODE = {4004: BAD_TOKEN, 4010: TOO_MANY_SERVERS, 4011: TOO_MANY_SERVERS, 4012: OUTDATED, 4013: OUTDATED}


def refusal(error: Exception | None) -> str | None:
    """The sentence for people if trying again will not help; None if it may."""
    if isinstance(error, BadConfig | NoDiscordToken):
        return str(error)
    if isinstance(error, discord.LoginFailure) or (isinstance(error, discord.HTTPException) and error.status == 401):
        return BAD_TOKEN
    if isinstance(error, discord.PrivilegedIntentsRequired):
        return NO_CONTENT
    if isinstance(error, discord.ConnectionClosed):
        return BY_CODE.get(error.code)
    return None
