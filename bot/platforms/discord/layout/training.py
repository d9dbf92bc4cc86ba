"""A training as those see it who wait for it: the offer, the queue, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass

import discord

from bot.platforms.discord.layout.parts import RED, Part, button, duration, view
from bot.platforms.discord.texts import name, said

BAR = 20  # signs
SAMPLE = 400


@dataclass(frozen=True)
class Training:
    """`id` names what Cancel cancels; losses are in nats per token."""

    id: str
    persona: str
    step: int
    steps: int
    loss: float | None = None
    held_out: float | None = None
    left_s: float | None = None
    sample: str = ""


@dataclass(frozen=True)
class Queued:
    """What waits for its turn; `what` is in our words, such as "The training of"."""

    id: str
    what: str
    persona: str
    ahead: int
    wait_s: float | None = None


@dataclass(frozen=True)
class Offer:
    """Nobody of that handle is here; `nearest` is what it may have been meant for."""

    handle: str
    may_train: bool
    nearest: str = ""


def training(shown: Training) -> discord.ui.LayoutView:
    steps = max(1, shown.steps)
    step = min(max(0, shown.step), steps)
    full = BAR * step // steps
    known = [
        *([] if shown.loss is None else [f"loss {shown.loss:.2f}"]),
        *([] if shown.held_out is None else [f"on unseen tweets {shown.held_out:.2f}"]),
        *([] if shown.left_s is None else [f"{duration(shown.left_s)} left"]),
    ]
    lines = [
        f"**Learning to write like {name(shown.persona)}**",
        f"{'▰' * full}{'▱' * (BAR - full)} {100 * step // steps}% · step {step:,} of {steps:,}",
        *([" · ".join(known)] if known else []),
    ]
    parts: list[Part] = ["\n".join(lines)]
    if shown.sample:
        parts += [None, f"-# How it sounds so far\n{said(shown.sample, most=SAMPLE)}"]
    return view(*parts, (button("Cancel", "cancel", shown.id, style=RED),))


def queued(shown: Queued) -> discord.ui.LayoutView:
    waits = "begins" if shown.ahead <= 0 else f"waits: {ahead_of_you(shown.ahead, shown.wait_s)}"
    text = f"{shown.what} **{name(shown.persona)}** {waits}."
    return view(text, (button("Cancel", "cancel", shown.id, style=RED),))


def ahead_of_you(ahead: int, wait_s: float | None = None) -> str:
    """For example "4 ahead of you, about 20 s"."""
    who = "you are next" if ahead <= 0 else f"{ahead:,} ahead of you"
    return who if wait_s is None else f"{who}, {duration(wait_s)}"


def foresight(before: float, after: float) -> str:
    """What was learned, as people who know no measures read it; losses of the base and of the persona."""
    better = "better" if after < before else "no better"
    return (
        f"It foresees tweets it never saw {better} than before: {after:.2f} instead of {before:.2f} (less is better)."
    )


def offer(shown: Offer) -> discord.ui.LayoutView:
    lines = [f"There is no persona **{name('@' + shown.handle)}** here."]
    if shown.nearest:
        lines.append(f"Did you mean **{name(shown.nearest)}**?")
    if shown.may_train:
        lines.append("To make one, use `/train` with this handle and the file `tweets.js` of their archive.")
    else:
        lines.append("Somebody who may manage this server can make one with `/train`.")
    return view("\n".join(lines))
