"""Review: drafts, and posts of which nobody knows whether they arrived, as messages with buttons that settle them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import discord

from bot.domain import Post, PostState
from bot.errors import PostRefuses, UnknownPost
from bot.platforms.discord.access.permissions import require
from bot.platforms.discord.answers.original import PASSING
from bot.platforms.discord.front import PLATFORM, Front, Interaction
from bot.platforms.discord.given import written
from bot.platforms.discord.kinds import Press
from bot.platforms.discord.layout import approval
from bot.platforms.discord.layout.listing import sentence
from bot.platforms.discord.layout.parts import custom_id, place, speaker, view
from bot.platforms.discord.sentences import tell, without_shell
from bot.platforms.discord.texts import label, said
from bot.store import decisions, outbox
from bot.store.database import Db
from bot.store.decisions import Decision
from bot.web.operation import Operation
from bot.web.operations import outbox as asking

log = logging.getLogger(__name__)

COMMAND = "outbox"  # whoever may use it may decide
OPEN = (PostState.DRAFT, PostState.REVIEW)
MOST = 50  # posts whose notices are changed at a time
LONGEST = 1_000  # characters that may be written into a form
OUTCOMES = {
    decisions.APPROVED: "Approved by {}.",
    decisions.DROPPED: "Dropped by {}.",
    decisions.NOT_THERE: "{} says that it is not there: it is sent again.",
    decisions.THERE: "{} says that it is there.",
}


async def dressed(front: Front, post: Post) -> discord.ui.LayoutView | None:
    """How a notice is laid out: with buttons, if it is about what waits for a decision. None for what is no notice."""
    if post.kind != "notice":
        return None
    about = post.cause.get("about")
    with contextlib.suppress(UnknownPost):
        if about is not None and (shown := await _card(front, str(about), post)) is not None:
            return shown
    return sentence(without_shell(post.text))


async def card(front: Front, post_id: str) -> discord.ui.LayoutView:
    """A post with the buttons that are of use in its state, or who decided about it."""
    shown = await _card(front, post_id)
    assert shown is not None
    return shown


async def _card(front: Front, post_id: str, notice: Post | None = None) -> discord.ui.LayoutView | None:
    """None for a notice that asks for no decision."""

    def read(db: Db) -> tuple[Post, Decision | None]:
        post = outbox.find(db, post_id)
        return post, decisions.decided(db, post.id)

    post, decision = await front.app.database.run(read)
    slug = str(post.cause.get("persona", "mockingbird")).rpartition("/")[2]
    where = (post.id, slug, post.text, post.platform, post.account)
    asks = notice is None or notice.cause.get("draft") or notice.cause_key.startswith(f"{PostState.REVIEW}:")
    if not asks:
        return None
    if post.state is PostState.DRAFT:
        due_at = post.due_at if post.due_at > front.now() else None
        return approval.draft(
            approval.Draft(*where, due_at, len(post.alternatives), _allows_links(front), post.expires_at)
        )
    if post.state is PostState.REVIEW:
        return approval.doubt(approval.Doubt(*where, why=post.error or "nobody knows"))
    head = f"{place(post.platform, post.account)}\n{speaker(slug)}"
    return view(head, None, said(post.text, _allows_links(front), approval.SHOWN), f"-# {_outcome(post, decision)}")


def _outcome(post: Post, decision: Decision | None) -> str:
    if decision is None:
        return f"It {decisions.STATES[post.state]}."
    return OUTCOMES[decision.what].format(_person(decision.person))


def _person(person: str) -> str:
    platform, _, id = person.partition(":")
    return f"<@{id}>" if platform == PLATFORM and id.isdecimal() else "whoever runs the bot"


def _allows_links(front: Front) -> bool:
    return front.app.config.moderation.allow_links


# --- Buttons ----------------------------------------------------------------------------------------------------------


async def _approve(front: Front, interaction: Interaction, id: str, index: int) -> None:
    await _decide(front, interaction, asking.approve, asking.One(id=id))


async def _another(front: Front, interaction: Interaction, id: str, index: int) -> None:
    await _decide(front, interaction, asking.replace, asking.One(id=id))


async def _drop(front: Front, interaction: Interaction, id: str, index: int) -> None:
    await _decide(front, interaction, asking.drop, asking.One(id=id))


async def _arrived(front: Front, interaction: Interaction, id: str, index: int) -> None:
    await _decide(front, interaction, asking.confirm, asking.Confirm(id=id))


async def _resend(front: Front, interaction: Interaction, id: str, index: int) -> None:
    await _decide(front, interaction, asking.retry, asking.One(id=id))


async def _edit(front: Front, interaction: Interaction, id: str, index: int) -> None:
    """Shows a form with the text; what is written there comes back as `edited`."""
    await require(front, interaction, COMMAND)
    answer = await front.ask(interaction, asking.show, asking.One(id=id))
    if answer["state"] not in OPEN:
        await interaction.response.defer()
        await _say_decided(front, interaction, id)
        return
    field: discord.ui.TextInput[Any] = discord.ui.TextInput(
        custom_id="text", style=discord.TextStyle.paragraph, default=answer["text"][:LONGEST], max_length=LONGEST
    )
    form = discord.ui.Modal(title=label("Another text", 45), custom_id=custom_id("edited", id))
    form.add_item(discord.ui.Label(text="The text", component=field))
    form.stop()  # it is found by its custom_id, also after a restart
    await interaction.response.send_modal(form)


async def _edited(front: Front, interaction: Interaction, id: str, index: int) -> None:
    await _decide(front, interaction, asking.edit, asking.Edit(id=id, text=written(interaction, "text")))


async def _decide(front: Front, interaction: Interaction, operation: Operation[Any], asked: asking.One) -> None:
    """Does what was decided, once; whoever comes second is told who decided."""
    await interaction.response.defer()
    await require(front, interaction, COMMAND)
    try:
        await front.ask(interaction, operation, asked)
    except PostRefuses:
        if (await front.ask(interaction, asking.show, asking.One(id=asked.id)))["state"] in OPEN:
            raise
        await _say_decided(front, interaction, asked.id)
        return
    await _redress(front, interaction, asked.id)


async def _say_decided(front: Front, interaction: Interaction, post_id: str) -> None:
    def read(db: Db) -> tuple[Post, Decision | None]:
        post = outbox.find(db, post_id)
        return post, decisions.decided(db, post.id)

    post, decision = await front.app.database.run(read)
    await _redress(front, interaction, post_id)
    await tell(interaction, f"That is settled already. {_outcome(post, decision)}")


async def _redress(front: Front, interaction: Interaction, post_id: str) -> None:
    """Shows how it stands now, where a button was pressed and in the notices that were sent about it."""
    none = discord.AllowedMentions.none()
    with contextlib.suppress(discord.NotFound):
        await interaction.edit_original_response(view=await card(front, post_id), allowed_mentions=none)
    await redress(front, [post_id], None if interaction.message is None else str(interaction.message.id))


async def redress(front: Front, post_ids: Sequence[str], besides: str | None = None) -> None:
    """Shows how these posts stand now in the notices that were sent about them, but in the message `besides`."""

    def read(db: Db) -> list[tuple[str, Post]]:
        return [(post_id, notice) for post_id in post_ids[:MOST] for notice in outbox.notices_about(db, post_id)]

    for post_id, notice in await front.app.database.run(read):
        client = front.client()
        if client is not None and notice.platform == PLATFORM and notice.remote_id not in (None, besides):
            message = client.get_partial_messageable(int(notice.account)).get_partial_message(
                int(notice.remote_id or 0)
            )
            try:
                await message.edit(view=await card(front, post_id), allowed_mentions=discord.AllowedMentions.none())
            except (*PASSING, discord.HTTPException) as error:  # somebody removed it, for instance
                log.info("the notice %s could not be changed: %s", notice.id, type(error).__name__)


BUTTONS: Mapping[str, Press] = {
    "approve": _approve,
    "edit": _edit,
    "edited": _edited,
    "another": _another,
    "drop": _drop,
    "arrived": _arrived,
    "resend": _resend,
}
