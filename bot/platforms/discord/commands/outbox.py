"""Outbox: what waits for a decision here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands

from bot.domain import PostState
from bot.errors import UnknownPost
from bot.platforms.discord import review
from bot.platforms.discord.access.permissions import require
from bot.platforms.discord.front import Front, Interaction
from bot.platforms.discord.given import chosen
from bot.platforms.discord.kinds import Command, Press, for_moderators
from bot.platforms.discord.layout.listing import Line, Listing, listing
from bot.platforms.discord.layout.parts import custom_id
from bot.platforms.discord.sentences import show
from bot.platforms.discord.texts import CHOICE, label
from bot.web.operation import Answer
from bot.web.operations import outbox

MOST = 25  # what fits into a list to choose from
WAITING = {PostState.DRAFT: "a draft", PostState.REVIEW: "did it arrive?"}


def drafts(front: Front) -> Command:
    @app_commands.command(name="outbox", description="Drafts to approve, and posts that may or may not have arrived")
    async def command(interaction: Interaction) -> None:
        found = [
            post
            for state in WAITING
            for post in (await front.ask(interaction, outbox.every, outbox.Every(state=state, limit=MOST)))["posts"]
            if post["kind"] != "notice"
        ]
        lines = tuple(Line(_who(post), f"{WAITING[post['state']]}: {post['text']}") for post in found)
        shown = listing(Listing("What waits for a decision", lines, "Nothing waits for a decision."))
        if found:
            shown.add_item(discord.ui.ActionRow(_list(found[:MOST])))
        await show(interaction, shown)

    return for_moderators(command)


async def _open(front: Front, interaction: Interaction, id: str, index: int) -> None:
    await require(front, interaction, "outbox")
    if len(values := chosen(interaction)) != 1:
        raise UnknownPost(post="", nearest="")
    answer = await front.ask(interaction, outbox.show, outbox.One(id=values[0]))
    await show(interaction, await review.card(front, answer["post"]))


def _list(posts: list[Answer]) -> discord.ui.Select[Any]:
    options = [
        discord.SelectOption(label=label(f"{_who(post)}: {post['text']}", CHOICE), value=post["post"]) for post in posts
    ]
    return discord.ui.Select(custom_id=custom_id("open", "outbox"), placeholder="Open …", options=options)


def _who(post: Mapping[str, Any]) -> str:
    return str(post["persona"] or "mockingbird").rpartition("/")[2]


BUTTONS: Mapping[str, Press] = {"open": _open}
