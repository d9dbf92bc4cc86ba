"""Answers: whatever is asked on Discord is written down first, then acknowledged, and answered exactly once.

An answer changes the message that was acknowledged, which may be done twice and looks the same; where that cannot be
changed any more, it goes through the outbox, which says nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

from bot.domain import Request
from bot.errors import MockingbirdError, RequestCancelled, RequestPutOff, Unexpected
from bot.flows.quiet import check_unmuted
from bot.flows.settle import MISTAKE
from bot.flows.waiting import UNWANTED
from bot.platforms.discord import sentences
from bot.platforms.discord.answers import shown
from bot.platforms.discord.answers.aloud import speak_aloud
from bot.platforms.discord.answers.original import EARLY_MS, TOKEN_MS, Gone, acknowledge, say, settle
from bot.platforms.discord.answers.progress import showing
from bot.platforms.discord.answers.webhook import speak_by_name
from bot.platforms.discord.front import Front, Interaction, asker
from bot.platforms.discord.layout.listing import sentence
from bot.store import interactions, personas
from bot.store.database import Db
from bot.web.operations.imitations import LONGEST_S

log = logging.getLogger(__name__)

LOOK_S = 60.0  # between looks for what nobody follows, and for what is to be forgotten
AGAIN_S = 10.0
CUT_OFF = "I was stopped while I read that file: please give it again with /train."


async def ask_imitation(front: Front, interaction: Interaction, asked: Mapping[str, Any]) -> None:
    """Imitates for whoever used a command or a button, which is not acknowledged yet. `asked["persona"]` is a name by
    which it is found from everywhere; the rest is as in App: prompt, n, reply_to, max_tokens; and for the answer
    `choose` ("longest", "shortest") and `of_message`."""
    await _ask(front, interaction, row_of(front, interaction, "imitate", asked), LONGEST_S)


async def ask_training(
    front: Front, interaction: Interaction, handles: Sequence[str], then: Mapping[str, Any] | None
) -> None:
    """Trains a persona of what is held of these handles in this place, as configured. One message shows how far it is;
    then it answers with `then`, an imitation (without its persona), if there is one. It is acknowledged here, unless
    it is already."""
    asked = {"handles": list(handles), "recipe": front.app.config.training.recipe, "weights": None, "seed": None}
    await train(front, interaction, asked, then)


async def train(
    front: Front,
    interaction: Interaction,
    asked: Mapping[str, Any],
    then: Mapping[str, Any] | None,
    job_id: int | None = None,
) -> None:
    """As `ask_training`, with all that `Desk.ask` takes for it; with a job it only joins in that."""
    await _ask(front, interaction, row_of(front, interaction, "train", asked, then), None, job_id)


async def _ask(
    front: Front,
    interaction: Interaction,
    row: interactions.Interaction,
    seconds: float | None,
    job_id: int | None = None,
) -> None:
    """Writes it down and acknowledges it, in this order, and has it followed; what is refused is said at once."""
    if front.following.follows(row.id):
        return

    def keep(db: Db, request: Request) -> None:
        if job_id not in (None, request.job_id):
            raise Ended()
        if row.kind == "imitate":  # it would be refused later too, but then everybody reads it
            check_unmuted(db, row.asked["persona"], shown.persona_of(row), row.place, row.created_at)
        interactions.drop_unasked(db, row.id)
        interactions.add(db, replace(row, request_id=request.id))

    with front.following.asking(row.id):
        try:
            await front.app.desk.ask(row.kind, row.person, row.place, row.asked, row.created_at, seconds, keep)
        except interactions.Known:
            return
        except Ended:
            await say(interaction, "The training has just ended: ask again.")
            return
        except MockingbirdError as error:
            await say(interaction, sentences.sentence(error))
            return
        try:
            await acknowledge(interaction)
        finally:  # also if the client is closed meanwhile
            _follow(front, row.id)


@asynccontextmanager
async def reading(front: Front, interaction: Interaction, handle: str, text: str) -> AsyncIterator[None]:
    """Acknowledges with this text what takes a while before it can be asked for. If the bot is stopped or killed
    meanwhile, the next one tells whoever waits."""
    row = replace(row_of(front, interaction, "train", {"handles": [handle]}), answer={"sentence": CUT_OFF})
    with front.following.asking(row.id):
        await front.app.database.run(lambda db: interactions.add(db, row))
        await say(interaction, text, ephemeral=False)
        try:
            yield
        except Exception:
            await front.app.database.run(lambda db: interactions.drop_unasked(db, row.id))
            raise
        await front.app.database.run(lambda db: interactions.drop_unasked(db, row.id))


class Ended(Exception):
    """The training that was to be joined in is none any more."""


async def keep_answering(front: Front, ready: Callable[[], Awaitable[object]]) -> NoReturn:
    """Takes up what is unanswered as soon as there is a client, and forgets what is to be forgotten; until it is
    cancelled, when what is under way is left for the next start."""
    try:
        await ready()
        while True:
            try:
                await resume(front)
                wait_s = LOOK_S
            except Exception:
                log.exception("what is unanswered could not be taken up; it is tried again")
                wait_s = AGAIN_S
            await asyncio.sleep(wait_s)
    finally:
        await front.following.stop()


async def resume(front: Front) -> None:
    """Takes up what is unanswered and nobody follows: what was asked before the bot stopped or was killed."""
    now = front.now()

    def transaction(db: Db) -> list[interactions.Interaction]:
        interactions.prune(db, now)
        return interactions.unanswered(db)

    for row in await front.app.database.run(transaction):
        if not front.following.knows(row.id):
            _follow(front, row.id)


def row_of(
    front: Front,
    interaction: Interaction,
    kind: str,
    asked: Mapping[str, Any],
    then: Mapping[str, Any] | None = None,
    state: interactions.State = "open",
) -> interactions.Interaction:
    """What is written down of an interaction."""
    by, now, id = asker(interaction), front.now(), str(interaction.id)
    return interactions.Interaction(
        id=id,
        kind=kind,
        place=by.place,
        channel=str(interaction.channel_id),
        person=by.person,
        asked=dict(asked),
        token=front.seal.close(interaction.token, id) if state == "open" else None,
        token_until=now + TOKEN_MS - EARLY_MS,
        created_at=now,
        then_asked=then,
        state=state,
    )


def _follow(front: Front, interaction_id: str) -> None:
    front.following.start(interaction_id, partial(follow, front, interaction_id))


# --- Following --------------------------------------------------------------------------------------------------------


async def follow(front: Front, interaction_id: str) -> None:
    """Waits for what was asked and answers it; after a training it goes on with the imitation that is wanted then."""
    while True:
        try:
            while (row := await _open(front, interaction_id)) is not None:
                if row.answer is None:
                    await _wait(front, row)
                else:
                    await _answer(front, row)
            return
        except RequestPutOff:
            log.info("interaction %s is answered when the bot runs again", interaction_id)
            return
        except MockingbirdError as error:  # of the store, such as a full disk: it may have room later
            log.error("interaction %s: %s", interaction_id, error)
            await asyncio.sleep(AGAIN_S)
        except Exception:
            reference = secrets.token_hex(4)
            log.exception("interaction %s failed, reference %s", interaction_id, reference)
            await _apologise(front, interaction_id, sentences.sentence(Unexpected(reference=reference)))
            return


async def _open(front: Front, interaction_id: str) -> interactions.Interaction | None:
    row = await front.app.database.run(lambda db: interactions.get(db, interaction_id))
    return row if row is not None and row.state == "open" else None


async def _wait(front: Front, row: interactions.Interaction) -> None:
    """Until there is something to show."""
    assert row.request_id is not None
    try:
        async with showing(front, row, shown.persona_of(row)) as hear:
            found = await front.app.desk.wait(row.request_id, hear)
    except RequestPutOff:
        raise
    except MockingbirdError as error:
        await _keep(front, row, {"sentence": _sentence(row, error)})
        return
    if row.kind == "imitate":
        await _keep(front, row, shown.answer_of(row.asked, found), str(found["persona"]))
    elif row.then_asked is None:
        text = f"{shown.trained(found)} Let it speak with /imitate {shown.persona_of(row)}."
        await _keep(front, row, {"sentence": text}, str(found["persona"]))
    else:
        await _imitate_then(front, row, found)


def _sentence(row: interactions.Interaction, error: MockingbirdError) -> str:
    """What is said of an error; of a mistake of ours only where the log describes it."""
    if isinstance(error, RequestCancelled):
        why = error.facts["reason"]
        what = "The training" if row.kind == "train" else "The imitation"
        return f"{what} was cancelled." if why == UNWANTED else f"{what} was cancelled: {why}."
    if not str(error).startswith(MISTAKE):
        return sentences.sentence(error)
    reference = secrets.token_hex(4)
    log.error("request %s of interaction %s, reference %s: %s", row.request_id, row.id, reference, error)
    return sentences.sentence(Unexpected(reference=reference))


async def _imitate_then(front: Front, row: interactions.Interaction, trained: Mapping[str, Any]) -> None:
    asked = {**(row.then_asked or {}), "persona": trained["persona"], "trained": shown.trained(trained)}

    def keep(db: Db, request: Request) -> None:
        personas.speaking(db, asked["persona"])
        interactions.go_on(db, row.id, request.id, asked)

    try:
        await front.app.desk.ask("imitate", row.person, row.place, asked, front.now(), LONGEST_S, keep)
    except MockingbirdError as error:
        await _keep(front, row, {"sentence": f"{asked['trained']} {sentences.sentence(error)}"}, asked["persona"])


async def _keep(
    front: Front, row: interactions.Interaction, answer: Mapping[str, Any], persona: str | None = None
) -> None:
    def transaction(db: Db) -> None:
        found = None if persona is None else personas.find(db, persona)
        interactions.keep_answer(db, row.id, answer, None if found is None else found.id)

    await front.app.database.run(transaction)


async def _answer(front: Front, row: interactions.Interaction) -> None:
    row = await speak_by_name(front, row)
    try:
        message_id = await settle(front, row, lambda: shown.view(front, row))
    except Gone as gone:
        log.info("interaction %s is answered by a message of its own: %s", row.id, gone)
        await speak_aloud(front, row)
        return
    await front.app.database.run(lambda db: interactions.close(db, row.id, "answered", message_id))


async def _apologise(front: Front, interaction_id: str, text: str) -> None:
    """Nobody waits for ever for what we have a mistake in."""
    try:
        row = await _open(front, interaction_id)
        if row is not None:
            try:
                await settle(front, row, lambda: sentence(text, failed=True))
            finally:
                await front.app.database.run(lambda db: interactions.close(db, interaction_id, "gone"))
    except Gone:
        pass
    except Exception:
        log.exception("interaction %s is left unanswered", interaction_id)
