"""What the buttons of an answer do: once more, otherwise, on from it, said in the channel, liked or not, cancelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import discord

from bot.domain import Post, SaidAlready
from bot.errors import AnswerForgotten, MessageForgotten
from bot.platforms.discord.access.channels import account_of
from bot.platforms.discord.access.permissions import require
from bot.platforms.discord.answers.ask import ask_imitation
from bot.platforms.discord.answers.original import say
from bot.platforms.discord.answers.shown import persona_of
from bot.platforms.discord.commands.personas import show_card
from bot.platforms.discord.front import PLATFORM, Front, Interaction, asker
from bot.platforms.discord.given import written
from bot.platforms.discord.kinds import Press
from bot.platforms.discord.layout.listing import sentence
from bot.platforms.discord.layout.parts import BLUE, button, custom_id, view
from bot.platforms.discord.texts import label, said
from bot.store import interactions, opt_outs, outbox, personas
from bot.store.database import Db

FIVE = 5
LONGEST_REPLY = 1_000
SHOWN = 1_500  # characters of a text that is to be posted
MOST_TOKENS = 1_024


async def answer_to(front: Front, interaction: Interaction, id: str) -> interactions.Interaction:
    """The answer that a button belongs to; raises AnswerForgotten, also for one of another place."""
    row = await front.app.database.run(lambda db: interactions.get(db, id))
    too_old = row is not None and front.now() - row.created_at > interactions.KEPT_MS
    if row is None or too_old or row.place != asker(interaction).place:
        raise AnswerForgotten()
    return row


# --- Once more --------------------------------------------------------------------------------------------------------


async def again(front: Front, interaction: Interaction, id: str, index: int) -> None:
    """The same, drawn anew."""
    await _anew(front, interaction, id)


async def more(front: Front, interaction: Interaction, id: str, index: int) -> None:
    await _anew(front, interaction, id, n=FIVE, choose=None, max_tokens=None)


async def longer(front: Front, interaction: Interaction, id: str, index: int) -> None:
    """The longest of five, each of which may be longer than usual."""
    tokens = min(2 * front.app.sampling.max_tokens, MOST_TOKENS)
    await _anew(front, interaction, id, n=FIVE, choose="longest", max_tokens=tokens)


async def shorter(front: Front, interaction: Interaction, id: str, index: int) -> None:
    """The shortest of five: fewer tokens would cut it off."""
    await _anew(front, interaction, id, n=FIVE, choose="shortest", max_tokens=None)


async def _anew(front: Front, interaction: Interaction, id: str, **otherwise: object) -> None:
    row = await answer_to(front, interaction, id)
    await require(front, interaction, "imitate")
    if row.asked.get("of_message") and "reply_to" not in row.asked:
        raise MessageForgotten()
    asked = {name: value for name, value in {**row.asked, **otherwise}.items() if value is not None}
    asked.pop("trained", None)
    await ask_imitation(front, interaction, asked)


# --- On from it -------------------------------------------------------------------------------------------------------


async def reply(front: Front, interaction: Interaction, id: str, index: int) -> None:
    """Asks what is to be said to the persona."""
    row = await answer_to(front, interaction, id)
    await require(front, interaction, "imitate")
    title = label(f"What do you say to {persona_of(row)}?", most=45)
    form = discord.ui.Modal(title=title, custom_id=custom_id("said", id, index))
    field: discord.ui.TextInput[Any] = discord.ui.TextInput(
        custom_id="text", style=discord.TextStyle.paragraph, max_length=LONGEST_REPLY
    )
    form.add_item(discord.ui.Label(text="Your words", component=field))
    form.stop()  # what is filled in is found by its custom_id
    await interaction.response.send_modal(form)


async def replied(front: Front, interaction: Interaction, id: str, index: int) -> None:
    row = await answer_to(front, interaction, id)
    await require(front, interaction, "imitate")
    asked = {"persona": row.asked["persona"], "reply_to": written(interaction, "text"), "n": 1}
    await ask_imitation(front, interaction, asked)


# --- Said in the channel ----------------------------------------------------------------------------------------------


async def post(front: Front, interaction: Interaction, id: str, index: int) -> None:
    """Asks whether the text is to be said by the bot itself."""
    text = await _postable(front, interaction, id, index)
    confirm = view(
        f"Post this in <#{account_of(interaction, None)}>?",
        None,
        said(text, most=SHOWN),
        (button("Post it", "postit", id, index, BLUE),),
    )
    await interaction.response.send_message(view=confirm, ephemeral=True)


async def post_it(front: Front, interaction: Interaction, id: str, index: int) -> None:
    text = await _postable(front, interaction, id, index)
    row = await answer_to(front, interaction, id)
    assert row.answer is not None
    by, now, account = asker(interaction), front.now(), account_of(interaction, None)
    cause = {
        **{name: row.answer.get(name) for name in ("persona", "checkpoint")},
        **{"prompt": row.asked.get("prompt", ""), "seed": row.answer["candidates"][index]["seed"]},
        **{"interaction": id, "asked_by": by.person},
    }

    def transaction(db: Db) -> Post:
        persona = None if row.persona_id is None else personas.get(db, row.persona_id)
        if persona is None:  # it was forgotten since
            raise AnswerForgotten()
        opt_outs.check(db, persona.handles)
        personas.check_place(persona, row.place)
        return outbox.add(
            db,
            PLATFORM,
            account,
            f"answer:{id}:{index}",
            cause,
            text,
            due_at=now,
            expires_at=now + front.app.lateness.max_late_ms,
            now=now,
            persona_id=row.persona_id,
            place=row.place,
        )

    if (reason := front.app.moderators.of(row.place).forbids(text)) is not None:
        outcome = f"It cannot be posted: {reason}."
    else:
        try:
            added = await front.app.database.run(transaction)
            outcome = "It is in the outbox, and is said in a moment."
            if outbox.time_of(added.id) < now:
                outcome = "It was put into the outbox before: it is not said a second time."
        except SaidAlready:
            outcome = "The same was said in this channel within 30 days: it is not said again."
    front.app.wake()
    await interaction.response.edit_message(view=sentence(outcome))


async def _postable(front: Front, interaction: Interaction, id: str, index: int) -> str:
    row = await answer_to(front, interaction, id)
    await require(front, interaction, "outbox")
    return _text(row, index)


def _text(row: interactions.Interaction, index: int) -> str:
    """One of the texts that were shown; AnswerForgotten if there is none."""
    texts = (row.answer or {}).get("candidates") or []
    if index >= len(texts):
        raise AnswerForgotten()
    return str(texts[index]["text"])


# --- Who it is --------------------------------------------------------------------------------------------------------


async def card(front: Front, interaction: Interaction, id: str, index: int) -> None:
    row = await answer_to(front, interaction, id)
    await show_card(front, interaction, persona_of(row))


# --- Liked or not -----------------------------------------------------------------------------------------------------


async def up(front: Front, interaction: Interaction, id: str, index: int) -> None:
    await _vote(front, interaction, id, index, True)


async def down(front: Front, interaction: Interaction, id: str, index: int) -> None:
    await _vote(front, interaction, id, index, False)


async def _vote(front: Front, interaction: Interaction, id: str, index: int, likes: bool) -> None:
    row = await answer_to(front, interaction, id)
    _text(row, index)
    person, now = asker(interaction).person, front.now()

    def transaction(db: Db) -> tuple[int, tuple[int, int]]:
        vote = interactions.vote(db, id, index, person, likes, now)
        return vote, interactions.votes(db, id, index)

    vote, (liked, disliked) = await front.app.database.run(transaction)
    thanks = "Thanks" if vote else "Taken back"
    await say(interaction, f"{thanks}: {liked} up, {disliked} down.")


# --- Cancelled --------------------------------------------------------------------------------------------------------


async def cancel(front: Front, interaction: Interaction, id: str, index: int) -> None:
    """Takes back what is waited for; the message that shows its progress then says so."""
    row = await answer_to(front, interaction, id)
    if row.state != "open" or row.request_id is None:
        await say(interaction, "It has ended already.")
    else:
        if row.person != asker(interaction).person:
            await require(front, interaction, "train")
        await interaction.response.defer()
        await front.app.desk.cancel(row.request_id)


BUTTONS: Mapping[str, Press] = {
    "again": again,
    "more": more,
    "longer": longer,
    "shorter": shorter,
    "reply": reply,
    "said": replied,
    "post": post,
    "postit": post_it,
    "card": card,
    "up": up,
    "down": down,
    "cancel": cancel,
}
