"""What people decide: a draft before it is said, and a post of which nobody knows whether it arrived."""

from __future__ import annotations

from dataclasses import dataclass

import discord

from bot.platforms.discord.layout.parts import ALARM, GREEN, RED, button, moment, place, speaker, view
from bot.platforms.discord.texts import said

SHOWN = 3_000  # characters of the text
REASON = 400


@dataclass(frozen=True)
class Draft:
    """`id` is the post's; `due_at` in milliseconds, None for as soon as it is approved."""

    id: str
    persona: str
    text: str
    platform: str
    account: str
    due_at: int | None = None
    others: int = 0  # further candidates that need not be made
    allow_links: bool = False
    until: int | None = None  # when nobody waits for an approval any more, in milliseconds


@dataclass(frozen=True)
class Doubt:
    """A post of which nobody knows whether it arrived, and why."""

    id: str
    persona: str
    text: str
    platform: str
    account: str
    why: str


def draft(shown: Draft) -> discord.ui.LayoutView:
    when = "as soon as it is approved" if shown.due_at is None else moment(shown.due_at)
    until = "" if shown.until is None else f"; given up {moment(shown.until)}"
    another = f"Another ({shown.others})" if shown.others else "Another"
    return view(
        _head("A draft for", shown),
        None,
        _text(shown),
        f"-# {when}{until}",
        (
            button("Approve", "approve", shown.id, style=GREEN),
            button("Edit", "edit", shown.id),
            button(another, "another", shown.id),
            button("Drop", "drop", shown.id, style=RED),
        ),
    )


def doubt(shown: Doubt) -> discord.ui.LayoutView:
    return view(
        _head("Please look whether this arrived in", shown),
        None,
        _text(shown),
        None,
        said(shown.why, most=REASON),
        (
            button("It arrived", "arrived", shown.id, style=GREEN),
            button("Send again", "resend", shown.id),
            button("Drop", "drop", shown.id, style=RED),
        ),
        colour=ALARM,
    )


def _head(what: str, shown: Draft | Doubt) -> str:
    return f"{what} {place(shown.platform, shown.account)}\n{speaker(shown.persona)}"


def _text(shown: Draft | Doubt) -> str:
    return said(shown.text, isinstance(shown, Draft) and shown.allow_links, SHOWN)
