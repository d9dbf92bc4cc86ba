"""/imitate, and "Answer as ..." in the menu of a message."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import discord
from discord import app_commands

from bot.domain import Job, Persona
from bot.errors import NoCheckpoint, UnknownPersona, did_you_mean
from bot.platforms.discord import given
from bot.platforms.discord.access.permissions import may, require
from bot.platforms.discord.answers.ask import ask_imitation, ask_training, row_of, train
from bot.platforms.discord.answers.original import say
from bot.platforms.discord.commands.answer import answer_to
from bot.platforms.discord.front import Front, Interaction, asker, person_of
from bot.platforms.discord.kinds import Command, Press, for_all
from bot.platforms.discord.layout.parts import MARK, Part, button, custom_id, view
from bot.platforms.discord.layout.training import Offer, offer
from bot.platforms.discord.texts import label, name
from bot.store import interactions, jobs, opt_outs, personas, timelines
from bot.store.database import Db

log = logging.getLogger(__name__)

CHOICES = 25
COMPLETE_S = 2.0  # Discord takes no choices after three
LONGEST_NAME, LONGEST_PROMPT = 100, 500
SPEAKER = re.compile(rf"(-# )?\*\*.+\*\* · {MARK}")
BACKSLASH = re.compile(r"\\(?=[^0-9A-Za-z\s])")  # before what would be markdown


def imitate(front: Front) -> Command:
    @app_commands.command(name="imitate", description="Writes as somebody would")
    @app_commands.describe(
        handle="Who: a handle, or several mixed, as in jo+kim",
        prompt="What it begins with",
        count="How many texts, 1 to 5",
    )
    async def command(
        interaction: Interaction,
        handle: app_commands.Range[str, 1, LONGEST_NAME],
        prompt: app_commands.Range[str, 1, LONGEST_PROMPT] | None = None,
        count: app_commands.Range[int, 1, 5] = 1,
    ) -> None:
        await begin(front, interaction, handle, {"prompt": prompt or "", "n": count})

    @command.autocomplete("handle")
    async def complete(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        return await completed(front, interaction, typed)

    return for_all(command)


def answer_as(front: Front) -> Command:
    @app_commands.context_menu(name="Answer as ...")
    async def menu(interaction: Interaction, message: discord.Message) -> None:
        await answer(front, interaction, message)

    return for_all(menu)


async def begin(front: Front, interaction: Interaction, typed: str, wish: Mapping[str, Any]) -> None:
    """Imitates who is meant by what was typed; if nobody is, what can be done about it."""
    place = asker(interaction).place
    found = await front.app.database.run(lambda db: look(db, typed, place))
    if found.name is not None:
        await ask_imitation(front, interaction, {**wish, "persona": found.name})
    elif found.job is not None:
        job = found.job
        asked = {"handles": found.handles, "recipe": job.recipe, "weights": list(job.weights), "seed": job.seed}
        await train(front, interaction, asked, wish, job.id)
    else:
        await _offer(front, interaction, found, wish)


@dataclass(frozen=True)
class Looked:
    """Who is meant by what was typed: the `name` of a persona that can speak, or the `job` that trains it, or handles
    of which nothing or everything is `held`."""

    handles: tuple[str, ...]
    name: str | None = None
    job: Job | None = None
    held: bool = False
    nearest: str = ""


def look(db: Db, typed: str, place: str) -> Looked:
    handles = tuple(dict.fromkeys(handle.strip("@").lower() for handle in personas.split(typed)))
    handles = tuple(filter(None, handles))
    try:
        return Looked(handles, personas.speaking(db, "+".join(handles), place).name)
    except UnknownPersona:
        known = [_written(found) for found in personas.seen_from(db, place) if found.run_id is not None]
        nearest = did_you_mean("+".join(handles), known).removeprefix(' (did you mean "').removesuffix('"?)')
        held = bool(handles) and all(timelines.spelled(db, handle, place) for handle in handles)
        return Looked(handles, held=held, nearest=nearest)
    except NoCheckpoint:
        persona = personas.seen(db, "+".join(handles), place)
        assert persona is not None
        job = jobs.of_persona(db, persona.id) if persona.place == place else None
        return Looked(persona.handles, job=job, held=persona.place == place)


async def _offer(front: Front, interaction: Interaction, found: Looked, wish: Mapping[str, Any]) -> None:
    may_train = await may(front, interaction, "train")
    written = "+".join(found.handles)
    if not (found.held and may_train):
        await interaction.response.send_message(
            view=offer(Offer(written or "…", may_train, found.nearest)), ephemeral=True
        )
        return
    row = row_of(front, interaction, "imitate", {**wish, "handles": found.handles}, state="answered")
    await front.app.database.run(lambda db: interactions.add(db, row))
    parts: list[Part] = [
        f"There is no voice of **{name(written)}** yet, but tweets of theirs are held here: it can be trained now, and "
        "then it says what you asked for.",
        (button("Train it now", "learn", row.id),),
    ]
    await interaction.response.send_message(view=view(*parts), ephemeral=True)


async def learn(front: Front, interaction: Interaction, id: str, index: int) -> None:
    row = await answer_to(front, interaction, id)
    await require(front, interaction, "train")
    then = {name: value for name, value in row.asked.items() if name != "handles"}
    await ask_training(front, interaction, row.asked["handles"], then)


# --- Completing what is typed -----------------------------------------------------------------------------------------


async def completed(front: Front, interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    """Who can be imitated here and begins so; nothing if it takes too long or anything goes wrong."""
    place = asker(interaction).place
    try:
        async with asyncio.timeout(COMPLETE_S):
            found = await front.app.database.run(lambda db: personas.complete(db, place, typed, CHOICES))
    except Exception as error:
        log.info("nothing is completed: %s", error)
        return []
    fitting = [name for name in found if len(name) <= LONGEST_NAME]
    return [app_commands.Choice(name=name, value=name) for name in fitting]


# --- Answering a message ----------------------------------------------------------------------------------------------


async def answer(front: Front, interaction: Interaction, message: discord.Message) -> None:
    """As the one who can speak here or, if there are several, as who is chosen from a list that the asker sees."""
    text, place = text_of(message), asker(interaction).place
    if not text:
        await say(interaction, "There is no text in this message that could be answered.")
        return

    def transaction(db: Db) -> list[Persona] | None:
        if opt_outs.holds(db, opt_outs.person(person_of(message.author))):
            return None
        return [found for found in personas.seen_from(db, place) if found.run_id is not None]

    speaking = await front.app.database.run(transaction)
    asked = {"reply_to": text, "of_message": True, "message": message.jump_url, "n": 1}
    if speaking is None:
        await say(interaction, "Whoever wrote that does not want to be answered.")
    elif not speaking:
        await say(interaction, "There is no persona here yet: one is made with /train.")
    elif len(speaking) == 1:
        await ask_imitation(front, interaction, {**asked, "persona": speaking[0].name})
    else:
        row = row_of(front, interaction, "imitate", asked, state="answered")
        await front.app.database.run(lambda db: interactions.add(db, row))
        await interaction.response.send_message(view=_list(row.id, speaking), ephemeral=True)


def text_of(message: discord.Message) -> str:
    """What was said in it, without what we write around it: who speaks, and notes in small letters."""
    if message.content.strip():
        return message.content.strip()
    displays = [part for part in walked(message.components) if isinstance(part, discord.TextDisplay)]
    texts = [display.content for display in displays if not SPEAKER.match(display.content)]
    lines = [line for text in texts for line in text.split("\n") if not line.startswith("-# ")]
    return BACKSLASH.sub("", "\n".join(lines)).strip()


def walked(parts: Sequence[Any]) -> Iterator[Any]:
    """All components, however deep, in their order."""
    for part in parts:
        yield part
        yield from walked(getattr(part, "children", ()))


def _list(id: str, speaking: list[Persona]) -> discord.ui.LayoutView:
    options = [discord.SelectOption(label=label(_written(found)), value=str(found.id)) for found in speaking[:CHOICES]]
    choice: discord.ui.Select[Any] = discord.ui.Select(custom_id=custom_id("answeras", id), options=options)
    made = view("Who is to answer?")
    made.add_item(discord.ui.ActionRow(choice))
    return made


async def chosen(front: Front, interaction: Interaction, id: str, index: int) -> None:
    row = await answer_to(front, interaction, id)
    if "reply_to" not in row.asked:
        await say(interaction, "The message is not kept any more: choose it again.")
        return
    wanted, place = given.chosen(interaction), asker(interaction).place
    seen = await front.app.database.run(lambda db: personas.seen_from(db, place))
    persona = next((found for found in seen if [str(found.id)] == wanted and found.run_id is not None), None)
    if persona is None:
        await say(interaction, "This persona is not here any more.")
        return
    await ask_imitation(front, interaction, {**row.asked, "persona": persona.name})


def _written(persona: Persona) -> str:
    return "+".join(persona.handles)


BUTTONS: Mapping[str, Press] = {"learn": learn, "answeras": chosen}
