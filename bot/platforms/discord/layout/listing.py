"""A listing: lines under a title, as many as fit; and a plain sentence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import discord

from bot.platforms.discord.layout.parts import ALARM, TEXT, moment, view, with_moments
from bot.platforms.discord.texts import name, said, units

REST = 200  # characters of a line behind its head
MOST_LINES = 40
ROOM = 500  # for the title, the hint and what says that there is more


@dataclass(frozen=True)
class Line:
    """`head` is what it is about, such as a persona or a post's short id; `at` in milliseconds."""

    head: str
    rest: str = ""
    at: int | None = None


@dataclass(frozen=True)
class Listing:
    """`title`, `empty` (what is said if there are no lines) and `hint` are in our words."""

    title: str
    lines: tuple[Line, ...]
    empty: str = "There are none."
    hint: str = ""


def listing(shown: Listing) -> discord.ui.LayoutView:
    lines: list[str] = []
    room = TEXT - ROOM
    for line in shown.lines[:MOST_LINES]:
        made = _line(line)
        room -= units(made) + 1
        if room < 0:
            break
        lines.append(made)
    if (more := len(shown.lines) - len(lines)) > 0:
        lines.append(f"… and {more:,} more")
    hint = f"-# {shown.hint}" if shown.hint else ""
    return view(*filter(None, [f"**{shown.title}**", "\n".join(lines) or shown.empty, hint]))


def sentence(text: str, failed: bool = False) -> discord.ui.LayoutView:
    return view(_harmless(text), colour=ALARM if failed else None)


@lru_cache(64)  # whoever floods the bot is told the same again and again
def _harmless(text: str) -> str:
    return with_moments(said(text, most=TEXT - ROOM))


def _line(line: Line) -> str:
    rest = [name(line.rest, REST)] if line.rest else []
    at = [] if line.at is None else [moment(line.at)]
    return " · ".join([f"**{name(line.head)}**", *rest, *at])
