"""/reply: who answers in a channel, how often, and whether they speak there without being spoken to."""

from __future__ import annotations

from typing import Any

from discord import AppCommandOptionType, ChannelType, app_commands
from discord.app_commands import AppCommandChannel, AppCommandThread, Range

from bot.errors import BadRequest
from bot.platforms.discord.commands import completing
from bot.platforms.discord.front import PLATFORM, Front, Interaction
from bot.platforms.discord.kinds import Command, group
from bot.platforms.discord.texts import name
from bot.web.operation import Answer
from bot.web.operations import listening, personas

Channel = AppCommandChannel | AppCommandThread


class Where(app_commands.Transformer):
    """A channel in which people write, which need not be one that the client knows of."""

    @property
    def type(self) -> AppCommandOptionType:
        return AppCommandOptionType.channel

    @property
    def channel_types(self) -> list[ChannelType]:
        threads = [ChannelType.news_thread, ChannelType.public_thread, ChannelType.private_thread]
        return [ChannelType.text, ChannelType.news, ChannelType.voice, ChannelType.stage_voice, *threads]

    async def transform(self, interaction: Interaction, value: Any, /) -> Channel:
        chosen: Channel = value
        return chosen


def reply(front: Front) -> Command:
    made = group("reply", "Who answers when people speak to me")

    @made.command(name="set", description="Choose who answers in a channel")
    @app_commands.describe(
        persona="Who answers",
        chance="How likely an answer is, from 0 to 1 (always, unless you say otherwise)",
        cooldown="Seconds between two answers (10, unless you say otherwise)",
        unasked_chance="How likely they speak by themselves after a message, from 0 to 1 (never)",
        unasked_every="After how many messages they speak by themselves, 0 for never",
        channel="Where, if not here",
    )
    async def set_(
        interaction: Interaction,
        persona: str,
        chance: Range[float, 0, 1] | None = None,
        cooldown: Range[int, 0, listening.LONGEST_COOLDOWN_S] | None = None,
        unasked_chance: Range[float, 0, 1] | None = None,
        unasked_every: Range[int, 0, 1_000_000] | None = None,
        channel: app_commands.Transform[Channel, Where] | None = None,
    ) -> None:
        account = account_of(interaction, channel)
        await interaction.response.defer(ephemeral=True, thinking=True)
        asked = listening.Settle(
            platform=PLATFORM,
            account=account,
            persona=persona,
            chance=chance,
            cooldown=cooldown,
            unasked_chance=unasked_chance,
            unasked_every=unasked_every,
        )
        await tell(interaction, await front.ask(interaction, listening.settle, asked))

    set_.autocomplete("persona")(completing.persona(front, speaking=True))

    @made.command(name="off", description="Nobody answers in a channel any more")
    @app_commands.describe(channel="Where, if not here")
    async def off(interaction: Interaction, channel: app_commands.Transform[Channel, Where] | None = None) -> None:
        account = account_of(interaction, channel)
        await interaction.response.defer(ephemeral=True, thinking=True)
        asked = listening.One(platform=PLATFORM, account=account)
        await tell(interaction, await front.ask(interaction, listening.off, asked))

    @made.command(name="show", description="Who answers in a channel, and how often")
    @app_commands.describe(channel="Where, if not here")
    async def show(interaction: Interaction, channel: app_commands.Transform[Channel, Where] | None = None) -> None:
        account = account_of(interaction, channel)
        parent = getattr(channel or interaction.channel, "parent_id", None)
        await interaction.response.defer(ephemeral=True, thinking=True)
        asked = listening.Show(platform=PLATFORM, account=account, within=None if parent is None else str(parent))
        settled = await front.ask(interaction, listening.show, asked)
        there = (await front.ask(interaction, personas.every, personas.Every()))["personas"]
        if not any(found["run_id"] is not None for found in there):
            await interaction.edit_original_response(content="Nobody answers yet: /train makes a persona.")
        else:
            await tell(interaction, settled)

    return made


def account_of(interaction: Interaction, channel: Channel | None) -> str:
    """Where it is settled; BadRequest for others' channels."""
    if channel is not None and channel.guild_id != interaction.guild_id:
        raise BadRequest(reason="Choose a channel of this server")
    return str(interaction.channel_id if channel is None else channel.id)


async def tell(interaction: Interaction, settled: Answer) -> None:
    await interaction.edit_original_response(content=in_words(settled, interaction.guild_id is None))


def in_words(settled: Answer, direct: bool = False) -> str:
    """What happens from now on; `direct` where it is a direct message."""
    where = f"<#{settled['account']}>"
    who = "Nobody" if settled["slug"] is None else f"**{name(settled['slug'])}**"
    if settled["chance"] == 0:
        said = ["Nobody answers here when you write to me."]
        if not direct:
            said = [f"In {where} nobody answers when people speak to me."]
    else:
        chance = "" if settled["chance"] == 1 else f" {settled['chance'] * 100:g} times out of 100"
        pace = f", at most once in {seconds(settled['cooldown'])}" if settled["cooldown"] else ""
        whoever = who if settled["slug"] is not None else "the only persona that there is here"
        when = "you write to me" if direct else f"somebody mentions me in {where} or replies to me"
        said = [f"When {when}, {whoever} answers{chance}{pace}."]
        said.append("What another persona said is answered by that one.")
    unasked = [f"after every {settled['unasked_every']:,} messages of people"] if settled["unasked_every"] else []
    if settled["unasked_chance"]:
        unasked.append(f"after any message with a chance of {settled['unasked_chance'] * 100:g} %")
    said.append(f"{who} speaks unasked {' and '.join(unasked)}." if unasked else "Nobody speaks unasked.")
    if settled["muted_until"] is not None:
        said.append("Now it is muted, so nothing is said until that ends.")
    return " ".join(said)


def seconds(count: int) -> str:
    """As people say it."""
    for size, unit in ((3600, "hour"), (60, "minute"), (1, "second")):
        if count % size == 0:
            return f"{count // size} {unit}{'' if count == size else 's'}"
    raise AssertionError("every number is one of seconds")
