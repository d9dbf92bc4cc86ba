"""Fire: what schedules are due becomes occurrences (occur.py), then texts, then posts or drafts in the outbox."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bot import clock
from bot.domain import Occurrence, OccurrenceState, Persona, SaidAlready, Schedule
from bot.errors import MockingbirdError, Muted
from bot.flows.occur import Unsaid, latest_ms, moment, occur_due, tell, unsaid
from bot.flows.schedule import cause_of
from bot.flows.together import together
from bot.store import mutes, occurrences, outbox, personas, schedules
from bot.store.database import Database, Db

log = logging.getLogger(__name__)

MOST_AT_ONCE = 16  # a worker answers many together, but its queue is for others too
MOST_TAKEN = 64  # at a time, before it is looked whose turn it is next
LOOK_AGAIN_S = 1.0  # between two looks for what became due while others speak
AGAIN_AFTER_S = 30.0  # until what could not be spoken is tried again
MOST_TEXTS = 5  # that are made for one occurrence because the account has said the one before
APPROVAL_MS = 24 * 3_600_000

UNEXPECTED = "an unexpected error ({kind}), described in the log at schedule:{schedule}:{wall_key}"
SAID_ALREADY = f"the account has said each of {MOST_TEXTS} texts already within 30 days"
MUTED = "muted until {until}"


@dataclass(frozen=True)
class Spoken:
    """An acceptable text, and what made it: checkpoint, seed, sampling, verdicts on others and the like. Alternatives
    are other acceptable texts, each with its seed and rank, for whoever may choose."""

    text: str
    cause: Mapping[str, Any]
    alternatives: Sequence[Mapping[str, Any]] = ()


Imitate = Callable[[Persona, Schedule, int], Awaitable[Spoken]]
"""(persona, schedule, seed) -> Spoken; MockingbirdError when nothing acceptable was made."""

Now = Callable[[], int]


@dataclass(frozen=True)
class FireReport:
    """What came of one firing: the ids of posts that now stand in the outbox, and what will not be said."""

    queued: tuple[str, ...] = ()
    missed: tuple[Unsaid, ...] = ()
    failed: tuple[Unsaid, ...] = ()
    skipped: tuple[Unsaid, ...] = ()


@dataclass(frozen=True)
class Turn:
    """An occurrence that is to be spoken now, and by whom."""

    occurrence: Occurrence
    schedule: Schedule
    persona: Persona

    @property
    def key(self) -> str:
        return cause_of(self.schedule.id) + self.occurrence.wall_key


@dataclass(frozen=True)
class Lateness:
    """How late something may be spoken unless its schedule says otherwise, and how late a draft may be approved."""

    max_late_ms: int
    approval_ms: int = APPROVAL_MS


async def fire_due(
    database: Database, imitate: Imitate, now: int, max_late_ms: int, approval_ms: int = APPROVAL_MS
) -> FireReport:
    """Makes and queues what is due. Whatever stops it half-way, the next call goes on where it stopped."""
    unheard = await occur_due(database, now, max_late_ms)
    spoken = await speak_due(database, imitate, lambda: now, Lateness(max_late_ms, approval_ms), set())
    return FireReport(spoken.queued, unheard.missed, spoken.failed, unheard.skipped + spoken.skipped)


async def speak_due(
    database: Database,
    imitate: Imitate,
    now: Now,
    lateness: Lateness,
    speaking: set[int],
    on_queued: Callable[[], None] = lambda: None,
) -> FireReport:
    """Speaks what is recorded as due, several at once, until no more can be spoken now; calls `on_queued` after each
    that was queued. The ids of occurrences stand in `speaking` while somebody is about to speak them."""
    ready: deque[Turn] = deque()
    waiting: set[int] = set()  # what was tried or must wait
    busy = 0
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    tried_from = loop.time()
    queued: list[str] = []
    failed: list[Unsaid] = []
    skipped: list[Unsaid] = []
    only_one = asyncio.Lock()

    async def next_turn() -> Turn | None:
        nonlocal tried_from
        async with only_one:
            while not ready:
                if loop.time() - tried_from > AGAIN_AFTER_S:
                    tried_from = loop.time()
                    waiting.clear()
                due = await database.run(partial(occurrences.due, limit=MOST_TAKEN, without=speaking | waiting))
                if not due and not busy:
                    return None
                if not due:  # one slow voice must not keep the others from what becomes due meanwhile
                    ended.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(ended.wait(), LOOK_AGAIN_S)
                    continue
                turns, silent = await database.run(partial(_turns, due=due, now=now()))
                skipped.extend(silent)
                ready.extend(turns)
                speaking.update(turn.occurrence.id for turn in turns)
                waiting.update(occurrence.id for occurrence in due)
            return ready.popleft()

    async def speaker(_: int) -> None:
        nonlocal busy
        while (turn := await next_turn()) is not None:
            busy += 1
            try:
                result = await speak(database, imitate, turn, now, lateness)
            finally:
                busy -= 1
                speaking.discard(turn.occurrence.id)
                ended.set()
            if isinstance(result, Unsaid):
                failed.append(result)
            elif result is not None:
                queued.append(result)
                on_queued()

    try:
        await together(speaker, range(MOST_AT_ONCE), MOST_AT_ONCE)
    finally:
        speaking.difference_update(turn.occurrence.id for turn in ready)
    return FireReport(tuple(queued), (), tuple(failed), tuple(skipped))


def _turns(db: Db, due: Sequence[Occurrence], now: int) -> tuple[list[Turn], list[Unsaid]]:
    """Who may speak now, and who is muted; for the end of its quiet hours an occurrence waits."""
    turns, silent = [], []
    for occurrence in due:
        schedule = schedules.get(db, occurrence.schedule_id)
        persona = None if schedule is None else personas.get(db, schedule.persona_id)
        if schedule is None or persona is None or clock.quiet_at(clock.times_of(schedule), now):
            continue
        until = mutes.until(db, schedule.platform, schedule.account, persona.name, now, schedule.place)
        if until is None:
            turns.append(Turn(occurrence, schedule, persona))
            continue
        reason = MUTED.format(until=moment(until, schedule.zone))
        if occurrences.settle(db, occurrence.id, OccurrenceState.SKIPPED, reason):
            silent.append(unsaid(occurrence, reason))
    return turns, silent


def seed_of(schedule_id: int, wall_key: str, text: int = 0) -> int:
    """31 bits that are the same whenever this occurrence is generated; others for each further text."""
    key = f"{schedule_id}:{wall_key}" + (f":{text}" if text else "")
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") >> 1


async def speak(database: Database, imitate: Imitate, turn: Turn, now: Now, lateness: Lateness) -> str | Unsaid | None:
    """Generates and queues one occurrence: the id of its post, or why there is none; None if it was removed or waits.

    Stopped before the text is queued, it stays due: nothing was said yet, so it may be generated again.
    """
    wall_key = turn.occurrence.wall_key
    try:
        for text in range(MOST_TEXTS):
            seed = seed_of(turn.schedule.id, wall_key, text)
            spoken = await imitate(turn.persona, turn.schedule, seed)
            cause = {**spoken.cause, "seed": seed, "repeats": text}
            try:
                queue = partial(_queue, turn=turn, spoken=spoken, cause=cause, now=now(), lateness=lateness)
                return await database.run(queue)
            except SaidAlready:
                continue
        reason = SAID_ALREADY
    except Muted:  # since it was its turn: the next look says so
        return None
    except MockingbirdError as error:
        if error.passing:  # it stays due: the next firing tries again, until it is too late
            log.warning("%s waits: %s", turn.key, error)
            return None
        reason = str(error)
    except Exception as error:
        facts = {"kind": type(error).__name__, "schedule": turn.schedule.id, "wall_key": wall_key}
        reason = UNEXPECTED.format(**facts)
        log.exception("schedule:%(schedule)s:%(wall_key)s could not be generated: %(kind)s", facts)
    return await database.run(lambda db: _fail(db, turn, reason, now()))


def _fail(db: Db, turn: Turn, reason: str, now: int) -> Unsaid | None:
    if not occurrences.settle(db, turn.occurrence.id, OccurrenceState.FAILED, reason):
        return None
    failed = unsaid(turn.occurrence, reason)
    tell(db, turn.schedule, [failed], now)
    return failed


def _queue(db: Db, turn: Turn, spoken: Spoken, cause: Mapping[str, Any], now: int, lateness: Lateness) -> str | None:
    """The text and the end of its occurrence are written together or not at all; if the schedule was paused while the
    text was made, or its quiet hours began, it stays due and waits. Raises SaidAlready."""
    schedule, occurrence = schedules.get(db, turn.schedule.id), turn.occurrence
    if schedule is None or schedule.paused or clock.quiet_at(clock.times_of(schedule), now):
        return None
    if not occurrences.settle(db, occurrence.id, OccurrenceState.QUEUED):
        return None
    draft = needs_approval(db, schedule)
    post = outbox.add(
        db,
        schedule.platform,
        schedule.account,
        turn.key,
        {
            **cause,
            "schedule": schedule.id,
            "rule": schedule.rule,
            "wall_key": occurrence.wall_key,
            "due_at": occurrence.due_at,
            "persona": turn.persona.name,
            "prompt": schedule.prompt,
        },
        spoken.text,
        due_at=occurrence.due_at,
        expires_at=occurrence.due_at + lateness.approval_ms if draft else _expires(schedule, occurrence, now, lateness),
        now=now,
        draft=draft,
        persona_id=turn.persona.id,
        alternatives=spoken.alternatives if draft else (),
        place=schedule.place,
    )
    if draft:
        wanted = f"A draft of {turn.persona.slug} waits for you: `mockingbird outbox approve {post.id}`."
        about = {"about": post.id, "draft": True}
        outbox.notify(db, f"draft:{post.id}", f"{wanted} It is: {post.text}", now, about, schedule.place)
    return post.id


def needs_approval(db: Db, schedule: Schedule) -> bool:
    """Whether somebody must look at its next post first."""
    if schedule.approval.startswith("first-"):
        return schedules.approved(db, schedule) < int(schedule.approval.removeprefix("first-"))
    return schedule.approval == "always"


def _expires(schedule: Schedule, occurrence: Occurrence, now: int, lateness: Lateness) -> int:
    """When it is too late to say it: what waits in the outbox knows nothing of quiet hours, so when they begin."""
    latest = occurrence.due_at + latest_ms(schedule, lateness.max_late_ms)
    begin = clock.quiet_turns(clock.times_of(schedule), now)
    return latest if begin is None else min(begin, latest)
