"""Fire: what schedules are due becomes occurrences, then texts, then posts in the outbox."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot import clock
from bot.domain import Occurrence, OccurrenceState, Persona, Schedule
from bot.errors import MockingbirdError
from bot.flows.together import together
from bot.store import occurrences, outbox, personas, schedules
from bot.store.database import Database, Db

log = logging.getLogger(__name__)

MOST_AT_ONCE = 16  # a worker answers many together, but its queue is for others too
MOST_MISSED = 100  # how many missed occurrences of one long silence are recorded one by one

LATE = "the bot was off or busy when it was due, and now it is too late"
OVERTAKEN = "the bot was off or busy when it was due, and only the last of several is made up for"
UNEXPECTED = "an unexpected error ({kind}), described in the log at schedule:{schedule}:{wall_key}"


@dataclass(frozen=True)
class Spoken:
    """An acceptable text, and what made it: checkpoint, seed, sampling and the like."""

    text: str
    cause: Mapping[str, Any]


Imitate = Callable[[Persona, str, int], Awaitable[Spoken]]
"""(persona, prompt, seed) -> Spoken; MockingbirdError when nothing acceptable was made."""


@dataclass(frozen=True)
class Unsaid:
    """An occurrence of which nothing will be said, and why."""

    schedule_id: int
    wall_key: str
    due_at: int
    reason: str


@dataclass(frozen=True)
class FireReport:
    """What came of one firing: the ids of posts that now stand in the outbox, and what will not be said."""

    queued: tuple[str, ...] = ()
    missed: tuple[Unsaid, ...] = ()
    failed: tuple[Unsaid, ...] = ()


async def fire_due(database: Database, imitate: Imitate, now: int, max_late_ms: int) -> FireReport:
    """Makes and queues what is due. Whatever stops it half-way, the next call goes on where it stopped."""
    missed = await database.run(lambda db: miss_late(db, now, max_late_ms))
    while batch := await database.run(lambda db: occur(db, now, max_late_ms)):
        missed += itertools.chain.from_iterable(batch)
    queued: list[str] = []
    failed: list[Unsaid] = []
    tried: set[int] = set()
    while due := [found for found in await database.run(occurrences.due) if found.id not in tried]:
        tried.update(occurrence.id for occurrence in due)
        for result in await speak_all(database, imitate, due, now, max_late_ms):
            if isinstance(result, Unsaid):
                failed.append(result)
            elif result is not None:
                queued.append(result)
    return FireReport(tuple(queued), tuple(missed), tuple(failed))


# --- What is due becomes occurrences ----------------------------------------------------------------------------------


def miss_late(db: Db, now: int, max_late_ms: int) -> list[Unsaid]:
    """Gives up what an earlier firing left due and what is too late by now."""
    late = occurrences.miss_late(db, LATE, due_before=now - max_late_ms)
    return [_unsaid(occurrence, LATE) for occurrence in late]


def occur(db: Db, now: int, max_late_ms: int) -> list[list[Unsaid]]:
    """Records the due moments of up to 100 schedules and moves these on; what each of them has missed."""
    return [_occur(db, schedule, now, max_late_ms) for schedule in schedules.due(db, now)]


def _occur(db: Db, schedule: Schedule, now: int, max_late_ms: int) -> list[Unsaid]:
    """However long nothing happened, only the last due moment is made up for; the others are missed."""
    missed: list[Unsaid] = []
    last = clock.latest_due(schedule.rule, schedule.zone, schedule.anchor, schedule.next_due or now, now)
    if last is not None:
        due_at, wall_key = last
        missed += _miss_earlier(db, schedule, due_at, now, max_late_ms)
        if now - due_at > max_late_ms:
            missed += _miss(db, schedule, due_at, wall_key, LATE)
        elif (added := occurrences.add(db, schedule.id, wall_key, due_at, OccurrenceState.DUE)) is not None:
            missed += [_unsaid(other, OVERTAKEN) for other in occurrences.overtake(db, added, OVERTAKEN)]
    following = clock.next_due(schedule.rule, schedule.zone, schedule.anchor, now)
    schedules.advance(db, schedule.id, None if following is None else following[0])
    return missed


def _miss_earlier(db: Db, schedule: Schedule, last_at: int, now: int, max_late_ms: int) -> list[Unsaid]:
    """Records what was due before the last due moment; of very many the first hundred, the last of which says so."""
    moments = clock.dues(schedule.rule, schedule.zone, schedule.anchor, (schedule.next_due or now) - 1)
    earlier = list(itertools.islice(itertools.takewhile(lambda due: due[0] < last_at, moments), MOST_MISSED + 1))
    missed: list[Unsaid] = []
    for number, (due_at, wall_key) in enumerate(earlier[:MOST_MISSED], start=1):
        reason = LATE if now - due_at > max_late_ms else OVERTAKEN
        if number == MOST_MISSED < len(earlier):
            reason += f"; so it was with every later one until {clock.utc(last_at):%Y-%m-%d %H:%M:%S} UTC"
        missed += _miss(db, schedule, due_at, wall_key, reason)
    return missed


def _miss(db: Db, schedule: Schedule, due_at: int, wall_key: str, reason: str) -> list[Unsaid]:
    added = occurrences.add(db, schedule.id, wall_key, due_at, OccurrenceState.MISSED, reason)
    return [] if added is None else [_unsaid(added, reason)]


def _unsaid(occurrence: Occurrence, reason: str) -> Unsaid:
    return Unsaid(occurrence.schedule_id, occurrence.wall_key, occurrence.due_at, reason)


# --- Occurrences become texts, and these posts ------------------------------------------------------------------------


def seed_of(schedule_id: int, wall_key: str) -> int:
    """31 bits that are the same whenever this occurrence is generated."""
    return int.from_bytes(hashlib.sha256(f"{schedule_id}:{wall_key}".encode()).digest()[:4], "big") >> 1


async def speak_all(
    database: Database, imitate: Imitate, due: Sequence[Occurrence], now: int, max_late_ms: int
) -> list[str | Unsaid | None]:
    """What `speak` says of each, in the same order, several at once; if the store fails, the others are given up."""

    async def one(occurrence: Occurrence) -> str | Unsaid | None:
        return await speak(database, imitate, occurrence, now, max_late_ms)

    return await together(one, due, MOST_AT_ONCE)


async def speak(
    database: Database, imitate: Imitate, occurrence: Occurrence, now: int, max_late_ms: int
) -> str | Unsaid | None:
    """Generates and queues one occurrence: the id of its post, or why there is none; None if it was removed or waits.

    Stopped before the text is queued, it stays due: nothing was said yet, so it may be generated again.
    """
    found = await database.run(lambda db: _wish(db, occurrence))
    if found is None:
        return None
    schedule, persona = found
    try:
        spoken = await imitate(persona, schedule.prompt, seed_of(schedule.id, occurrence.wall_key))
    except MockingbirdError as error:
        if error.passing:  # it stays due: the next firing tries again, until it is too late
            log.warning("schedule:%s:%s waits: %s", schedule.id, occurrence.wall_key, error)
            return None
        reason = str(error)
    except Exception as error:
        facts = {"kind": type(error).__name__, "schedule": schedule.id, "wall_key": occurrence.wall_key}
        reason = UNEXPECTED.format(**facts)
        log.exception("schedule:%(schedule)s:%(wall_key)s could not be generated: %(kind)s", facts)
    else:
        return await database.run(lambda db: _queue(db, occurrence, schedule, persona, spoken, now, max_late_ms))
    settled = await database.run(lambda db: occurrences.settle(db, occurrence.id, OccurrenceState.FAILED, reason))
    return _unsaid(occurrence, reason) if settled else None


def _wish(db: Db, occurrence: Occurrence) -> tuple[Schedule, Persona] | None:
    schedule = schedules.get(db, occurrence.schedule_id)
    persona = None if schedule is None else personas.get(db, schedule.persona_id)
    return None if schedule is None or persona is None else (schedule, persona)


def _queue(
    db: Db,
    occurrence: Occurrence,
    schedule: Schedule,
    persona: Persona,
    spoken: Spoken,
    now: int,
    max_late_ms: int,
) -> str | None:
    """The text and the end of its occurrence are written together or not at all; if the schedule was paused while the
    text was made, it stays due and waits."""
    current = schedules.get(db, schedule.id)
    if current is None or current.paused:
        return None
    if not occurrences.settle(db, occurrence.id, OccurrenceState.QUEUED):
        return None
    wall_key = occurrence.wall_key
    cause = {
        **spoken.cause,
        "schedule": schedule.id,
        "wall_key": wall_key,
        "persona": persona.slug,
        "prompt": schedule.prompt,
        "seed": seed_of(schedule.id, wall_key),
    }
    post = outbox.add(
        db,
        schedule.platform,
        schedule.account,
        f"schedule:{schedule.id}:{wall_key}",
        cause,
        spoken.text,
        due_at=occurrence.due_at,
        expires_at=occurrence.due_at + max_late_ms,
        now=now,
    )
    return post.id
