"""Personas: who can be imitated here."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands

from bot.platforms.discord.commands import completing
from bot.platforms.discord.front import PLATFORM, Front, Interaction
from bot.platforms.discord.kinds import Command, for_all
from bot.platforms.discord.layout.listing import Line, Listing, listing
from bot.platforms.discord.layout.parts import Part, speaker, view
from bot.platforms.discord.layout.training import foresight
from bot.platforms.discord.sentences import show
from bot.platforms.discord.texts import name, quoted
from bot.web.operations import personas
from training.preview import Person, draw

SAMPLES = 3
PICTURE = "persona.png"
MOST_HANDLES = 10  # of which more is told
GROUNDS = {
    "archive": "from their own archive",
    "permission": "with their permission, as whoever gave them says",
    "operator": "by whoever runs the bot",
}


def every(front: Front) -> Command:
    @app_commands.command(name="personas", description="Who can be imitated here")
    async def command(interaction: Interaction) -> None:
        answer = await front.ask(interaction, personas.every, personas.Every(counts=True))
        lines = tuple(Line(found["slug"], _about(found)) for found in answer["personas"])
        empty = "Nobody yet: /train takes somebody's tweets and learns to write like them."
        hint = "/persona tells more, /imitate lets one speak" if lines else ""
        await show(interaction, listing(Listing("Personas", lines, empty, hint)))

    return for_all(command)


def one(front: Front) -> Command:
    @app_commands.command(name="persona", description="Who a persona is, what it was made of, and how it sounds")
    @app_commands.describe(name="Who; personas appear while you type")
    async def command(interaction: Interaction, name: app_commands.Range[str, 1, 100]) -> None:
        await show_card(front, interaction, name)

    command.autocomplete("name")(completing.persona(front))
    return for_all(command)


async def show_card(front: Front, interaction: Interaction, persona: str) -> None:
    """To whoever asked alone; with a picture where it has something to say at once."""
    await interaction.response.defer(ephemeral=True, thinking=True)
    answer = await front.ask(interaction, personas.show, personas.One(persona=persona, samples=SAMPLES))
    if not answer["samples"]:
        await show(interaction, card(answer))
        return
    people = [Person(found["handle"], found["display_name"] or "") for found in answer["held"]]
    picture = await asyncio.to_thread(draw, people, "", answer["samples"][0])
    await show(interaction, card(answer, PICTURE), discord.File(io.BytesIO(picture), PICTURE))


def card(of: Mapping[str, Any], picture: str = "") -> discord.ui.LayoutView:
    """`of` is what the operation says of one, `picture` the name of a file that is sent with it."""
    parts: list[Part] = [speaker(of["slug"]), None]
    held = [_held(found) for found in of["held"][:MOST_HANDLES]]
    if (more := len(of["held"]) - len(held)) > 0:
        held.append(f"… and {more:,} more")
    parts.append("\n".join([*held, _trained(of["results"])]))
    if of["grounds"]:
        parts.append("\n".join(list(dict.fromkeys(map(_ground, of["grounds"])))[:MOST_HANDLES]))
    if of["samples"]:
        parts += [None, "\n\n".join(quoted(text) for text in of["samples"])]
    made = view(*parts)
    if picture:
        made.add_item(discord.ui.MediaGallery(discord.MediaGalleryItem(f"attachment://{picture}")))
    return made


def _about(found: Mapping[str, Any]) -> str:
    shared = ["shared by whoever runs the bot"] if found["shared"] else []
    untrained = [] if found["run_id"] else ["not trained yet"]
    return ", ".join([f"{found['tweets']:,} tweets", *untrained, *shared])


def _held(found: Mapping[str, Any]) -> str:
    called = f" ({name(found['display_name'])})" if found["display_name"] else ""
    return f"**{name('@' + found['handle'])}**{called}: {found['held']:,} tweets held, {found['used']:,} of use"


def _trained(results: Mapping[str, Any] | None) -> str:
    if results is None:
        return "Not trained yet."
    before, after = results.get("base_heldout_loss"), results.get("heldout_loss")
    gain = "" if before is None or after is None else f" {foresight(before, after)}"
    return f"Trained in {results['train_seconds']:,.0f} s.{gain}"


def _ground(found: Mapping[str, Any]) -> str:
    platform, _, person = (found["person"] or "").partition(":")
    giver = f", given by <@{person}>" if platform == PLATFORM and person.isdecimal() else ""
    return f"-# {name('@' + found['handle'])}: {GROUNDS[found['grounds']]}{giver}, {found['at'][:10]}"
