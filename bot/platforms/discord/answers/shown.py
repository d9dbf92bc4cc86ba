"""Shown: what an answer holds, and how it is laid out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import discord

from bot.platforms.discord.front import Front
from bot.platforms.discord.layout.imitation import Imitation, imitation, texts_alone
from bot.platforms.discord.layout.listing import sentence
from bot.platforms.discord.layout.training import foresight
from bot.store import interactions
from bot.store.personas import slug, split

BY_NAME = "by_name"
"""In an answer: the id of the message in which a webhook says the texts, so that the original does not; "" if it may
have."""


def answer_of(asked: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of what a request came to: the texts that are shown, and what explains them."""
    texts = [candidate for candidate in found["candidates"] if candidate["verdict"] == "accepted"]
    if asked.get("choose"):
        pick = max if asked["choose"] == "longest" else min
        texts = [pick(texts, key=lambda candidate: len(candidate["text"]))]
    return {
        **{name: found.get(name) for name in ("persona", "checkpoint", "cut")},
        "candidates": [{name: candidate.get(name) for name in ("text", "seed", "rank")} for candidate in texts],
    }


def view(front: Front, row: interactions.Interaction, *more: str) -> discord.ui.LayoutView:
    """The answer with its buttons; `more` is what else is to be said of it, in our words or made safe."""
    assert row.answer is not None
    if "sentence" in row.answer:
        return sentence(row.answer["sentence"])
    laid_out = imitation(_imitation(front, row))
    if said := [*notes(row), *more]:  # in one, because a message has at most forty components
        laid_out.add_item(discord.ui.TextDisplay("\n".join(f"-# {note}" for note in said)))
    return laid_out


def alone(front: Front, row: interactions.Interaction, mark: int) -> discord.ui.LayoutView:
    """The texts without buttons, for where a webhook says them; `mark` is the number of the part that names the
    speaker."""
    return texts_alone(_imitation(front, row), mark)


def _imitation(front: Front, row: interactions.Interaction) -> Imitation:
    assert row.answer is not None
    message = "" if row.asked.get("of_message") else row.asked.get("reply_to") or ""
    texts = tuple(candidate["text"] for candidate in row.answer["candidates"])
    elsewhere = bool(row.answer.get(BY_NAME))
    links = front.app.config.moderation.allow_links
    return Imitation(row.id, persona_of(row), texts, message, links, elsewhere=elsewhere)


def notes(row: interactions.Interaction) -> list[str]:
    """What else is to be said of it, in our words."""
    assert row.answer is not None
    found = [row.asked["trained"]] if row.asked.get("trained") else []
    if row.asked.get("message"):  # a link: what somebody else wrote is not said again
        found.append(f"In answer to {row.asked['message']}")
    if row.answer.get("cut"):
        found.append("The prompt was too long: its beginning was left off.")
    return found


def persona_of(row: interactions.Interaction) -> str:
    """What people of the place call whom they asked for."""
    if row.kind == "train":
        return "+".join(row.asked["handles"])
    return slug(split(str(row.asked["persona"]).rpartition("/")[2])).replace("-", "+")


def trained(report: Mapping[str, Any]) -> str:
    """What a training came to, in a sentence."""
    loss, base = report.get("heldout_loss"), report.get("base_heldout_loss")
    measured = "" if loss is None or base is None else f" {foresight(base, loss)}"
    if not report.get("promoted"):
        return f"The training is done, but the new voice is no better than the base, so it is not used.{measured}"
    seconds = report.get("train_seconds")
    took = "" if seconds is None else f" in {seconds:,.0f} s"
    return f"The voice is ready: it was trained{took}.{measured}"
