"""Channels: where the bot is to speak; an account of the outbox is a channel's id."""

from __future__ import annotations

import discord

from bot.errors import CannotSpeak, MayNotWrite
from bot.platforms.discord.front import Interaction

Channel = discord.TextChannel | discord.Thread


def account_of(interaction: Interaction, channel: Channel | None) -> str:
    """The account of a channel, or of the one where they are, if both they and the bot may write there; else
    CannotSpeak or MayNotWrite says what is missing."""
    if interaction.guild_id is None or (channel is None and interaction.guild is None):
        return str(interaction.channel_id)
    where = channel or interaction.channel
    bots, theirs = interaction.app_permissions, interaction.permissions
    if channel is not None:
        me = channel.guild.me
        bots = discord.Permissions.none() if me is None else channel.permissions_for(me)
        theirs = _theirs(channel, interaction)
    named = f"#{getattr(where, 'name', None) or 'this channel'}"
    thread = isinstance(where, discord.Thread)
    if missing := missing_of(bots, thread):
        raise CannotSpeak(channel=named, permissions=", ".join(missing))
    if not (theirs.send_messages_in_threads if thread else theirs.send_messages):
        raise MayNotWrite(channel=named)
    return str(interaction.channel_id if channel is None else channel.id)


def missing_of(held: discord.Permissions, thread: bool = False) -> list[str]:
    """What the bot lacks to speak, and to look afterwards whether it has, in Discord's words."""
    needed = {
        "View Channel": held.view_channel,
        "Send Messages in Threads" if thread else "Send Messages": (
            held.send_messages_in_threads if thread else held.send_messages
        ),
        "Read Message History": held.read_message_history,
    }
    return [name for name, granted in needed.items() if not granted]


async def silenced(interaction: Interaction, account: str) -> str | None:
    """Why the bot cannot speak in a channel of this server, in a sentence; None if it can, as far as is known."""
    guild = interaction.guild
    if guild is None or not account.isdecimal():
        return None
    channel: object = guild.get_channel_or_thread(int(account))
    try:
        channel = channel or await guild.fetch_channel(int(account))  # a thread that rests, for instance
    except (discord.NotFound, discord.Forbidden, discord.InvalidData):
        return "The bot does not find that channel: choose another one."
    except (discord.HTTPException, OSError):
        return None
    if not isinstance(channel, discord.abc.GuildChannel | discord.Thread):
        return None
    missing = missing_of(channel.permissions_for(guild.me), isinstance(channel, discord.Thread))
    return f"The bot cannot speak there: it needs {', '.join(missing)}." if missing else None


def _theirs(channel: Channel, interaction: Interaction) -> discord.Permissions:
    if not isinstance(interaction.user, discord.Member):
        return discord.Permissions.none()
    return channel.permissions_for(interaction.user)
