"""Forget: everything of a handle goes, from the store, from the disk and from memory, and nothing speaks of it again.

In this order, so that a kill at any moment leaves nothing that could speak, and the same wish again completes it:

1. In one transaction nobody speaks, learns or is listened for any more, and what waited to be said is cancelled.
2. What is being done ends: trainings, imitations, and a post that is on its way.
3. In others' training texts, what they answered is taken out; it is known only as long as the store holds it.
4. In one transaction all rows go.
5. Files that no row tells of go; a kill before leaves them to the next start (sweep.py). The log is folded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace

from bot.domain import Asker
from bot.errors import NothingHeld, OperatorOnly, did_you_mean
from bot.flows.imitate import Imitator
from bot.flows.sweep import sweep_runs
from bot.flows.waiting import Desk
from bot.store import erase, timelines
from bot.store.database import Database, Db
from bot.store.erase import Held
from training import clean, run
from training.corpus import drop_messages

LONGEST_SEND_S = 35.0  # a post on its way has arrived or failed by then (deliver.py)
LOOK_S = 0.05


async def held(database: Database, handle: str, by: Asker, everywhere: bool = False) -> list[Held]:
    """What would go, place by place; raises NothingHeld and OperatorOnly."""
    if everywhere and not by.is_operator:
        raise OperatorOnly()

    def transaction(db: Db) -> list[Held]:
        places = erase.places_of(db, handle) if everywhere else [by.place]
        found = [held for place in places if (held := erase.held(db, place, handle)) is not None]
        if not found:
            name = timelines.bare(handle)
            raise NothingHeld(handle=name, nearest=did_you_mean(name, timelines.handles(db, by.place), "@{}"))
        return found

    return await database.run(transaction)


async def forget(
    database: Database,
    desk: Desk,
    imitator: Imitator,
    handle: str,
    by: Asker,
    now: Callable[[], int],
    everywhere: bool = False,
    delivering: bool = True,
) -> list[Held]:
    """Forgets a handle where it is asked, or in all places; returns what went. `delivering`: somebody sends posts
    meanwhile. Raises NothingHeld and OperatorOnly; asked again after a kill it completes what was begun."""
    try:
        found = await held(database, handle, by, everywhere)
    except NothingHeld:
        await leave_nothing(database)  # of an earlier time
        raise
    went = [await forget_in(database, desk, imitator, of, now, delivering) for of in found]
    await leave_nothing(database)
    return went


async def forget_in(
    database: Database, desk: Desk, imitator: Imitator, of: Held, now: Callable[[], int], delivering: bool
) -> Held:
    """Returns what went: more than there was at first, if somebody asked for more meanwhile."""
    texts = await database.run(lambda db: {clean.mended(text) for text in timelines.texts(db, of.handle, of.place)})

    def silence(db: Db) -> tuple[Held | None, erase.Silenced | None]:
        still = erase.held(db, of.place, of.handle)
        return still, None if still is None else erase.silence(db, still, now())

    def gone(db: Db) -> Held | None:
        still = erase.held(db, of.place, of.handle)
        if still is None or not erase.is_quiet(db, still):  # somebody asked for more of it meanwhile
            return None
        erase.erase(db, still, now())
        return still

    while True:
        still, silenced = await database.run(silence)
        if still is None or silenced is None:  # somebody else has forgotten it meanwhile
            return of
        for persona in still.personas:
            imitator.forget(persona, still.runs)
        await desk.end(silenced.requests, silenced.jobs)
        if delivering:
            await until_arrived(database, still)
        await unlearn(database, of.place, texts)
        if (went := await database.run(gone)) is not None:
            break
    # A training that was just beginning may have written down what it had read before.
    await unlearn(database, of.place, texts)
    return replace(went, schedules=of.schedules, waiting=of.waiting)


async def until_arrived(database: Database, of: Held) -> None:
    """What is on its way cannot be stopped: its remote id is waited for, so that it can be told."""
    for _ in range(round(LONGEST_SEND_S / LOOK_S)):
        if not await database.run(lambda db: erase.is_sending(db, of)):
            return
        await asyncio.sleep(LOOK_S)


async def unlearn(database: Database, place: str, texts: Collection[str]) -> None:
    """Takes these texts out of what the place's personas have answered in their training texts."""
    for run_id in await database.run(lambda db: erase.runs_of(db, place)):
        corpus = run.folder_of(database.folder, run_id) / "corpus"
        if (corpus / "held_out.jsonl").is_file():
            await asyncio.to_thread(drop_messages, corpus, texts)


async def leave_nothing(database: Database) -> None:
    await sweep_runs(database)
    await database.fold()
