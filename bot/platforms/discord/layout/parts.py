"""Parts: what every message is put together from, and what a button means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import discord
from discord import ButtonStyle

from bot.platforms.discord.texts import name

TEXT = 4_000  # characters in a message, in all its parts together
MARK = "AI imitation"
GREY, GREEN, RED, BLUE = ButtonStyle.secondary, ButtonStyle.success, ButtonStyle.danger, ButtonStyle.primary
ALARM = 0xD83C3E

TEMPLATE = re.compile(r"mb:(?P<verb>[a-z]+):(?P<id>[0-9A-Za-z_-]{1,64})(?::(?P<index>\d{1,3}))?")
"""Of our custom_ids; they are at most 100 characters long."""

_UTC = re.compile(r"\b(20\d\d-\d\d-\d\d \d\d:\d\d:\d\d) UTC\b", re.ASCII)

Button = discord.ui.Button[Any]
Part = str | Sequence[Button] | None
"""A text, a row of buttons, or a line across."""


@dataclass(frozen=True)
class Meaning:
    """What a button is there for: a verb, what it is about, and which of its texts."""

    verb: str
    id: str
    index: int | None = None


def custom_id(verb: str, id: str, index: int | None = None) -> str:
    made = f"mb:{verb}:{id}" if index is None else f"mb:{verb}:{id}:{index}"
    if TEMPLATE.fullmatch(made) is None or len(verb) > 24:
        raise ValueError(f"{made!r} cannot be a custom_id")
    return made


def parsed(custom_id: str) -> Meaning | None:
    """What a custom_id of ours means, None if it is not ours."""
    found = TEMPLATE.fullmatch(custom_id)
    if found is None:
        return None
    return Meaning(found["verb"], found["id"], None if found["index"] is None else int(found["index"]))


def button(label: str, verb: str, id: str, index: int | None = None, style: ButtonStyle = GREY) -> Button:
    return discord.ui.Button(label=label, style=style, custom_id=custom_id(verb, id, index))


def view(*parts: Part, colour: int | None = None) -> discord.ui.LayoutView:
    """A message in one frame. To be called in a running loop. discord.py is not to listen to its buttons: they are
    found by their custom_id, also after a restart, and nothing of it stays in memory."""
    container: discord.ui.Container[Any] = discord.ui.Container(accent_colour=colour)
    for part in parts:
        if part is None:
            container.add_item(discord.ui.Separator())
        elif isinstance(part, str):
            container.add_item(discord.ui.TextDisplay(part))
        elif part:
            container.add_item(discord.ui.ActionRow(*part))
    made = discord.ui.LayoutView(timeout=None)
    made.add_item(container)
    made.stop()
    return made


def speaker(persona: str) -> str:
    """Who speaks, so that nobody takes it for the person."""
    return f"**{name(persona)}** · {MARK}"


def place(platform: str, account: str) -> str:
    """Where something is said."""
    if platform == "discord" and account.isascii() and account.isdecimal():
        return f"<#{account}>"
    return f"**{name(f'{platform}/{account}')}**"


def moment(instant: int) -> str:
    """An instant, in milliseconds, as every reader's own time and as how far away it is."""
    seconds = instant // 1000
    return f"<t:{seconds}:f> (<t:{seconds}:R>)"


def with_moments(text: str) -> str:
    """The same text, in which our sentences' instants are every reader's own time; of a text that is safe already."""

    def shown(found: re.Match[str]) -> str:
        try:
            return moment(round(datetime.fromisoformat(f"{found[1]}+00:00").timestamp() * 1000))
        except ValueError:  # no day that there is
            return found[0]

    return _UTC.sub(shown, text)


def duration(seconds: float) -> str:
    """About how long, in words: as exact as anybody wants to know it."""
    if not seconds >= 5:  # nor if it is not a number
        return "a moment"
    if seconds < 90:
        return f"about {5 * round(seconds / 5)} s"
    if seconds < 5_400:
        return f"about {round(seconds / 60)} min"
    return f"about {min(round(seconds / 3_600), 999)} h"
