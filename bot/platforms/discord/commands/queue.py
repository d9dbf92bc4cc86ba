"""Queue: what people wait for here, and taking it back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands

from bot.errors import NotAllowed, UnknownRequest
from bot.platforms.discord.access.permissions import manages
from bot.platforms.discord.commands import completing
from bot.platforms.discord.front import Front, Interaction, person_of
from bot.platforms.discord.given import chosen
from bot.platforms.discord.kinds import Command, Press, for_all
from bot.platforms.discord.layout.listing import Line, Listing, listing
from bot.platforms.discord.layout.parts import custom_id
from bot.platforms.discord.layout.training import ahead_of_you
from bot.platforms.discord.sentences import show, tell
from bot.platforms.discord.texts import CHOICE, label, name
from bot.web.operation import Answer, Asked
from bot.web.operations import queue as queued

MOST = 25
KINDS = {"imitate": "imitation of", "train": "training of"}


def queue(front: Front) -> Command:
    @app_commands.command(name="queue", description="What waits here, how many are ahead, and taking your own back")
    @app_commands.describe(cancel="The number of what you want to take back")
    async def command(interaction: Interaction, cancel: app_commands.Range[int, 1] | None = None) -> None:
        if cancel is not None:
            await take_back(front, interaction, cancel)
            return
        waiting = await _theirs(front, interaction)
        lines = tuple(Line(f"{found['request']} · {_what(found)}", _standing(found)) for found in waiting)
        shown = listing(Listing("Queue", lines, "Nothing of yours waits."))
        if waiting:
            shown.add_item(discord.ui.ActionRow(_list(waiting[:MOST])))
        await show(interaction, shown)

    async def complete(interaction: Interaction, typed: str) -> list[app_commands.Choice[int]]:
        waiting = await _theirs(front, interaction)
        return completing.numbered(str(typed), {found["request"]: _what(found) for found in waiting})

    command.autocomplete("cancel")(complete)
    return for_all(command)


async def take_back(front: Front, interaction: Interaction, number: int) -> None:
    """Only their own, or, for those who manage the server, anybody's of it."""
    found = await front.ask(interaction, queued.show, queued.One(id=number))
    if found["person"] != person_of(interaction.user) and not manages(interaction):
        raise UnknownRequest(request=number)
    answer = await front.ask(interaction, queued.cancel, queued.One(id=number))
    await tell(interaction, f"{number} · {name(_what(found))} is {answer['state']}.")


async def _take_back(front: Front, interaction: Interaction, id: str, index: int) -> None:
    if len(values := chosen(interaction)) != 1 or not values[0].isdecimal():
        raise NotAllowed(command="queue")
    await take_back(front, interaction, int(values[0]))


async def _theirs(front: Front, interaction: Interaction) -> list[Answer]:
    """In the order in which it will be done."""
    answer = await front.ask(interaction, queued.every, Asked())
    mine, all_of_it = person_of(interaction.user), manages(interaction)
    return [found for found in answer["requests"] if all_of_it or found["person"] == mine]


def _list(waiting: list[Answer]) -> discord.ui.Select[Any]:
    options = [
        discord.SelectOption(label=label(f"{found['request']} · {_what(found)}", CHOICE), value=str(found["request"]))
        for found in waiting
    ]
    return discord.ui.Select(custom_id=custom_id("takeback", "queue"), placeholder="Take back …", options=options)


def _what(found: Mapping[str, Any]) -> str:
    asked = found["asked"]
    who = str(asked.get("persona") or " + ".join(asked.get("handles", ()))).rpartition("/")[2]
    return f"{KINDS[found['kind']]} {who}"


def _standing(found: Mapping[str, Any]) -> str:
    return "under way" if found["state"] == "running" else ahead_of_you(found["ahead"], found["eta_seconds"])


BUTTONS: Mapping[str, Press] = {"takeback": _take_back}
