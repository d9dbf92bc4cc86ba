"""/forget, /optout and /privacy: what is kept of people, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import discord
from discord import app_commands

from bot.errors import OperatorOnly
from bot.flows.opt_out import checked
from bot.platforms.discord import privacy
from bot.platforms.discord.access.permissions import require_forget
from bot.platforms.discord.answers.original import say
from bot.platforms.discord.front import Front, Interaction
from bot.platforms.discord.kinds import Command, Press, for_all
from bot.platforms.discord.layout.listing import sentence
from bot.platforms.discord.layout.parts import RED, button, view
from bot.platforms.discord.texts import name, said
from bot.platforms.discord.withdraw import withdraw
from bot.web.operation import Answer
from bot.web.operations import people

LISTED = 20  # messages, and personas, that are named
Handle = app_commands.Range[str, 1, 16]


def forget(front: Front) -> Command:
    @app_commands.command(name="forget", description="Removes all that is held of a handle here")
    @app_commands.describe(handle="Whose tweets, personas and texts are to go")
    async def command(interaction: Interaction, handle: Handle) -> None:
        await confirm(front, interaction, checked(handle))

    return for_all(command)


async def confirm(front: Front, interaction: Interaction, handle: str) -> None:
    """Tells what would go before it goes."""
    await require_forget(front, interaction, handle)
    found = await front.ask(interaction, people.forget, people.Forget(handle=handle, dry_run=True))
    (of,) = found["places"]
    stays = "" if not of["said"] else f" {messages(len(of['said']))} that were sent stay until somebody deletes them."
    asked = view(
        f"**Forget @{name(found['handle'])}?**",
        f"{what_goes(of)}.{stays} This cannot be taken back.",
        (button("Forget", "forget", found["handle"], style=RED), button("Keep", "keep", found["handle"])),
    )
    await interaction.response.send_message(view=asked, ephemeral=True)


async def forgotten(front: Front, interaction: Interaction, handle: str, index: int) -> None:
    """The button: it goes."""
    await require_forget(front, interaction, handle)
    await interaction.response.edit_message(view=sentence(f"Forgetting @{handle} …"))
    went = await front.ask(interaction, people.forget, people.Forget(handle=handle))
    front.following.start(f"withdraw:{interaction.id}", partial(withdraw, front))
    await interaction.edit_original_response(view=told(went, interaction.guild_id))


async def kept(front: Front, interaction: Interaction, handle: str, index: int) -> None:
    await interaction.response.edit_message(view=sentence(f"Nothing of @{handle} was forgotten."))


def told(went: Answer, guild_id: int | None) -> discord.ui.LayoutView:
    """What went, and which messages only people can delete."""
    (of,) = went["places"]
    parts = [f"**@{name(went['handle'])} is forgotten here.**", f"What went: {what_goes(of)}."]
    if of["said"]:
        parts.append(
            f"{messages(len(of['said']))} may still stand; only people can delete them:\n{links(of, guild_id)}"
        )
    return view(*parts)


def what_goes(of: Mapping[str, Any]) -> str:
    """In words."""
    slugs = ", ".join(name(slug) for slug in of["personas"][:LISTED])
    slugs += ", …" if len(of["personas"]) > LISTED else ""
    counts = [
        (of["tweets"], "tweet", ""),
        (len(of["personas"]), "persona", f" ({slugs})"),
        (of["runs"], "training", ""),
        (of["schedules"], "schedule", ""),
        (of["waiting"], "post", " that waited to be said"),
    ]
    return ", ".join(f"{count:,} {what}{'' if count == 1 else 's'}{more}" for count, what, more in counts if count)


def messages(count: int) -> str:
    return f"{count:,} message{'' if count == 1 else 's'}"


def links(of: Mapping[str, Any], guild_id: int | None) -> str:
    found: Sequence[Mapping[str, Any]] = of["said"]
    lines = [line(said, guild_id) for said in found[:LISTED]]
    more = [f"… and {len(found) - LISTED:,} more"] if len(found) > LISTED else []
    return "\n".join([*lines, *more])


def line(found: Mapping[str, Any], guild_id: int | None) -> str:
    where = name(f"{found['platform']}/{found['account']}")
    if found["remote_id"] is None:
        return f"- in {where}: one that may have arrived"
    if found["platform"] != "discord":
        return f"- in {where}: {name(found['remote_id'])}"
    return f"- https://discord.com/channels/{guild_id or '@me'}/{found['account']}/{found['remote_id']}"


def opt_out(front: Front) -> Command:
    @app_commands.command(name="optout", description="The bot leaves you alone, or you ask that a handle be forgotten")
    @app_commands.describe(handle="Who should be forgotten here, if not you", undo="Take it back")
    async def command(interaction: Interaction, handle: Handle | None = None, undo: bool = False) -> None:
        await say(interaction, await opted_out(front, interaction, handle, undo))

    return for_all(command)


async def opted_out(front: Front, interaction: Interaction, handle: str | None, undo: bool) -> str:
    """Does it, and says so."""
    if handle is None and undo:
        await front.ask(interaction, people.come_back, people.OptOut())
        return "The bot answers you again when you speak to it."
    if handle is None:
        await front.ask(interaction, people.leave, people.OptOut())
        return (
            "From now on the bot does not answer, quote or hear you, here or anywhere else. Commands that "
            "you use are still answered. To take it back use /optout and set undo to True."
        )
    if undo:
        raise OperatorOnly()
    done = await front.ask(interaction, people.leave, people.OptOut(handle=handle))
    here = (
        f"Those who look after this place are told that @{done['handle']} is to be forgotten; /forget does it."
        if done["asked"]
        else f"Nothing is held of @{done['handle']} here."
    )
    return f"{here} {privacy.reach(front.app.config.discord.contact)}"


def tell_privacy(front: Front) -> Command:
    @app_commands.command(name="privacy", description="What is kept of you, why, for how long, and how it ends")
    async def command(interaction: Interaction) -> None:
        contact = said(front.app.config.discord.contact, allow_links=True) if front.app.config.discord.contact else ""
        await interaction.response.send_message(view=view(privacy.text(contact)), ephemeral=True)

    return for_all(command)


BUTTONS: Mapping[str, Press] = {"forget": forgotten, "keep": kept}
