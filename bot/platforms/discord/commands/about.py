"""About: help, and how the bot is doing."""

from __future__ import annotations

import time
from importlib.metadata import version

from discord import app_commands

from bot.platforms.discord.access.permissions import manages
from bot.platforms.discord.connection.client import MockingbirdClient
from bot.platforms.discord.front import Front, Interaction
from bot.platforms.discord.kinds import Command, for_all
from bot.platforms.discord.layout.parts import moment, view
from bot.platforms.discord.sentences import show
from bot.web.operation import Asked
from bot.web.operations import personas, queue

ALL = """**Mockingbird** writes like people whose tweets it was given. A machine makes its texts; nobody said them.
- /imitate lets a persona speak; `jo+kim` speaks as a mixture. In the menu of a message, under Apps, one answers it.
- /personas shows who there is here, /persona tells more about one.
- /queue shows what waits, and takes your own back.
- /optout makes it leave you alone, /privacy says what is kept, /status how it is doing."""
MODERATORS = """**For those who manage this server**
- /train takes somebody's tweets and learns, /forget removes a person for good.
- /schedule lets a persona speak by itself, /outbox shows drafts to approve.
- /reply settles who answers mentions, /settings where drafts and notices are shown.
- /mute and /ban-phrase keep it quiet.
-# Server Settings, Integrations says who may use which command."""
ALONE = """**Here, between us**
- /train takes tweets and learns, /schedule lets a persona speak by itself, /forget removes a person for good."""


def helping(front: Front) -> Command:
    @app_commands.command(name="help", description="What there is, in short")
    async def command(interaction: Interaction) -> None:
        more = ALONE if interaction.guild_id is None else MODERATORS if manages(interaction) else ""
        await show(interaction, view(*filter(None, [ALL, more])))

    return for_all(command)


def status(front: Front) -> Command:
    @app_commands.command(name="status", description="How the bot is doing, and what it has to do here")
    async def command(interaction: Interaction) -> None:
        seen = (await front.ask(interaction, personas.every, personas.Every()))["personas"]
        waiting = (await front.ask(interaction, queue.every, Asked()))["requests"]
        training = sum(found["kind"] == "train" and found["state"] == "running" for found in waiting)
        quota = front.app.config.quota
        lines = [
            f"Connected since {moment(since)}" if (since := _connected_since(interaction)) else "Connected",
            f"Personas here: {len(seen)}",
            f"Waiting or under way here: {len(waiting)}" + (", a training among them" if training else ""),
            f"In 24 hours you may have {_limit(quota.imitations_per_person_per_day)} imitations and "
            f"{_limit(quota.trainings_per_person_per_day)} trainings, this place "
            f"{_limit(quota.imitations_per_place_per_day)} and {_limit(quota.trainings_per_place_per_day)}",
        ]
        await show(interaction, view("**Status**", "\n".join(lines), f"-# Mockingbird {version('mockingbird')}"))

    return for_all(command)


def _limit(count: int) -> str:
    return f"{count:,}" if count else "any number of"


def _connected_since(interaction: Interaction) -> int | None:
    """In milliseconds since 1970."""
    client = interaction.client
    if not isinstance(client, MockingbirdClient) or client.online_since is None:
        return None
    return round((time.time() - time.monotonic() + client.online_since) * 1000)
