"""Quiet: who says nothing for a while, and what nobody is to say here."""

from __future__ import annotations

from datetime import datetime

from discord import app_commands

from bot.errors import BadMute
from bot.platforms.discord.access.channels import Channel
from bot.platforms.discord.commands import completing
from bot.platforms.discord.front import PLATFORM, Front, Interaction
from bot.platforms.discord.kinds import Command, for_moderators, group
from bot.platforms.discord.layout.listing import Line, Listing, listing
from bot.platforms.discord.layout.parts import moment
from bot.platforms.discord.sentences import show, tell
from bot.platforms.discord.texts import name
from bot.store import mutes
from bot.web.operation import Asked
from bot.web.operations import quiet

TIMES = ("10m", "30m", "1h", "2h", "8h", "1d", "7d")
EVERYTHING = "everything here"


def mute(front: Front) -> Command:
    @app_commands.command(name="mute", description="Lets a persona, a channel or everything here be silent for a while")
    @app_commands.describe(
        time="How long: 30m, 2h, 1d; without it you see what is muted",
        persona="Who is to be silent, in every channel",
        channel="Where nothing is to be said; without persona and channel everything here is muted",
    )
    async def command(
        interaction: Interaction,
        time: str | None = None,
        persona: app_commands.Range[str, 1, 100] | None = None,
        channel: Channel | None = None,
    ) -> None:
        if time is None:
            answer = await front.ask(interaction, quiet.muted, Asked())
            lines = tuple(Line(_named(found["scope"]), at=_ms(found["until"])) for found in answer["mutes"])
            title = "Muted here until" if lines else "Muted here"
            await show(interaction, listing(Listing(title, lines, "Nothing is muted here.")))
            return
        scope = scope_of(persona, channel)
        answer = await front.ask(interaction, quiet.mute, quiet.Mute(scope=scope, time=time))
        await tell(interaction, f"{_linked(answer['scope'])} is muted until {moment(_ms(answer['until']))}.")

    command.autocomplete("persona")(completing.persona(front))

    @command.autocomplete("time")
    async def complete(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        return completing.choices(typed, TIMES)

    return for_moderators(command)


def unmute(front: Front) -> Command:
    @app_commands.command(name="unmute", description="Ends a mute before its time")
    @app_commands.describe(
        persona="Who may speak again", channel="Where; without persona and channel the mute of everything here ends"
    )
    async def command(
        interaction: Interaction,
        persona: app_commands.Range[str, 1, 100] | None = None,
        channel: Channel | None = None,
    ) -> None:
        answer = await front.ask(interaction, quiet.unmute, quiet.Scope(scope=scope_of(persona, channel)))
        await tell(interaction, f"{_linked(answer['scope'])} is muted no more.")

    command.autocomplete("persona")(completing.persona(front))
    return for_moderators(command)


def phrases(front: Front) -> Command:
    made = group("ban-phrase", "What nobody is to say here, in whatever spelling")

    @made.command(name="add", description="Bans a word or a phrase; what waits and holds it is cancelled")
    @app_commands.describe(phrase="The word or phrase")
    async def add(interaction: Interaction, phrase: app_commands.Range[str, 1, 100]) -> None:
        answer = await front.ask(interaction, quiet.ban, quiet.Phrase(phrase=phrase))
        cancelled = len(answer["cancelled"])
        waited = f" What held it and waited is cancelled ({cancelled})." if cancelled else ""
        await tell(interaction, f"“{name(answer['phrase'], 400)}” is banned here.{waited}")

    @made.command(name="list", description="The words and phrases that are banned here")
    async def every(interaction: Interaction) -> None:
        answer = await front.ask(interaction, quiet.phrases_banned, Asked())
        lines = tuple(Line(phrase) for phrase in answer["phrases"])
        await show(interaction, listing(Listing("Banned here", lines, "Nothing, besides the built-in list.")))

    @made.command(name="remove", description="Allows a word or a phrase again")
    @app_commands.describe(phrase="The word or phrase")
    async def remove(interaction: Interaction, phrase: app_commands.Range[str, 1, 100]) -> None:
        answer = await front.ask(interaction, quiet.unban, quiet.Phrase(phrase=phrase))
        await tell(interaction, f"“{name(answer['phrase'], 400)}” is allowed again.")

    @remove.autocomplete("phrase")
    async def complete(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        answer = await front.ask(interaction, quiet.phrases_banned, Asked())
        return completing.choices(typed, answer["phrases"])

    return made


def scope_of(persona: str | None, channel: Channel | None) -> str:
    """What is to be muted, as the operation names it."""
    if persona is not None and channel is not None:
        raise BadMute(reason="Mute a persona or a channel, one at a time.")
    if channel is not None:
        return mutes.of_account(PLATFORM, str(channel.id))
    return mutes.EVERYTHING if persona is None else mutes.of_persona(persona)


def _named(scope: str) -> str:
    kind, _, rest = scope.partition(":")
    if kind == "persona":
        return rest.rpartition("/")[2]
    return f"the channel {rest.rpartition('/')[2]}" if kind == "account" else EVERYTHING


def _linked(scope: str) -> str:
    kind, _, rest = scope.partition(":")
    if kind == "account":
        return f"<#{rest.rpartition('/')[2]}>"
    return name(_named(scope)) if kind == "persona" else EVERYTHING.capitalize()


def _ms(instant: str) -> int:
    return round(datetime.fromisoformat(instant).timestamp() * 1000)
