"""Occur: the due moments of schedules become occurrences; of those that were missed the owner is told."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from bot import clock
from bot.domain import Occurrence, OccurrenceState, Schedule
from bot.store import occurrences, outbox, personas, schedules
from bot.store.database import Database, Db

TOLD_FROM_MS = 60_000  # what was missed by less is told to the log only: a voice may be slower than its schedule
MOST_TOGETHER = 25  # schedules of one transaction, each of which may have missed much: others want the store too
MOST_MISSED = 100  # how many missed occurrences of one long silence are recorded one by one

LATE = "the bot was off or busy when it was due, and now it is too late"
OVERTAKEN = "the bot was off or busy when it was due, and only the last of several is made up for"
BY_CHANCE = "chance said no, as it does to {share:.0%} of them"


@dataclass(frozen=True)
class Unsaid:
    """An occurrence of which nothing will be said, and why."""

    schedule_id: int
    wall_key: str
    due_at: int
    reason: str


@dataclass(frozen=True)
class Unheard:
    """What will not be said of several occurrences: missed, or skipped as their schedules wish."""

    missed: tuple[Unsaid, ...] = ()
    skipped: tuple[Unsaid, ...] = ()

    def __add__(self, other: Unheard) -> Unheard:
        return Unheard(self.missed + other.missed, self.skipped + other.skipped)


async def occur_due(
    database: Database, now: int, max_late_ms: int, speaking: Collection[int] = (), longest_s: float = math.inf
) -> Unheard:
    """Records what is due in short transactions, until all is or that time is over. What is being spoken, by its
    occurrence's id, is left to come to its end, or a voice slower than its schedule would never say a word."""
    unheard = Unheard()
    loop = asyncio.get_running_loop()
    began = loop.time()
    while batch := await database.run(partial(occur, now=now, max_late_ms=max_late_ms, speaking=frozenset(speaking))):
        unheard = sum(batch, unheard)
        if loop.time() - began > longest_s:
            break
    return unheard + await database.run(lambda db: miss_late(db, now, max_late_ms))


def miss_late(db: Db, now: int, max_late_ms: int) -> Unheard:
    """Gives up what an earlier firing left due and what is too late by now."""
    late = occurrences.miss_late(db, LATE, now, max_late_ms)
    of_schedule: dict[int, list[Unsaid]] = {}
    for occurrence in late:
        of_schedule.setdefault(occurrence.schedule_id, []).append(unsaid(occurrence, LATE))
    for schedule_id, missed in of_schedule.items():
        schedule = schedules.get(db, schedule_id)
        assert schedule is not None
        tell(db, schedule, worth_telling(missed, now), now)
    return Unheard(missed=tuple(itertools.chain.from_iterable(of_schedule.values())))


def occur(db: Db, now: int, max_late_ms: int, speaking: Collection[int] = ()) -> list[Unheard]:
    """Records the due moments of some schedules and moves these on; what each of them will not say."""
    due = schedules.due(db, now, MOST_TOGETHER)
    return [_occur(db, schedule, now, max_late_ms, speaking) for schedule in due]


def _occur(db: Db, schedule: Schedule, now: int, max_late_ms: int, speaking: Collection[int]) -> Unheard:
    """However long nothing happened, only the last due moment is made up for; the others are missed."""
    limit = latest_ms(schedule, max_late_ms)
    times = clock.times_of(schedule)
    missed = [unsaid(late, LATE) for late in occurrences.miss_late(db, LATE, now, max_late_ms, schedule.id)]
    skipped: list[Unsaid] = []
    last = clock.latest_due(times, now if schedule.next_due is None else schedule.next_due, now)
    if last is not None:
        due_at, wall_key = last
        missed += _miss_earlier(db, schedule, due_at, now, limit)
        if not clock.speaks(schedule.seed, schedule.chance, wall_key):
            skipped += _end(db, schedule, last, OccurrenceState.SKIPPED, BY_CHANCE.format(share=1 - schedule.chance))
        elif now - due_at > limit:
            missed += _end(db, schedule, last, OccurrenceState.MISSED, LATE)
        elif (added := occurrences.add(db, schedule.id, wall_key, due_at, OccurrenceState.DUE)) is not None:
            overtaken = occurrences.overtake(db, added, OVERTAKEN, speaking)
            missed += [unsaid(other, OVERTAKEN) for other in overtaken]
    following = clock.next_due(times, now)
    schedules.advance(db, schedule.id, None if following is None else following[0])
    tell(db, schedule, worth_telling(missed, now), now)
    return Unheard(tuple(missed), tuple(skipped))


def latest_ms(schedule: Schedule, max_late_ms: int) -> int:
    """How late an occurrence of it may be spoken."""
    return max_late_ms if schedule.max_late_s is None else schedule.max_late_s * 1000


def _miss_earlier(db: Db, schedule: Schedule, last_at: int, now: int, limit: int) -> list[Unsaid]:
    """Records what was due before the last due moment, but for what chance would not have let speak; of very many the
    first hundred, the last of which says so."""
    moments = clock.dues(clock.times_of(schedule), (schedule.next_due or now) - 1)
    before = itertools.takewhile(lambda due: due[0] < last_at, moments)
    earlier = list(itertools.islice(before, MOST_MISSED + 1))
    missed: list[Unsaid] = []
    for number, due in enumerate(earlier[:MOST_MISSED], start=1):
        if not clock.speaks(schedule.seed, schedule.chance, due[1]):
            continue
        reason = LATE if now - due[0] > limit else OVERTAKEN
        if number == MOST_MISSED < len(earlier):
            reason += f"; so it was with every later one until {clock.utc(last_at):%Y-%m-%d %H:%M:%S} UTC"
        missed += _end(db, schedule, due, OccurrenceState.MISSED, reason)
    return missed


def _end(db: Db, schedule: Schedule, due: tuple[int, str], state: OccurrenceState, reason: str) -> list[Unsaid]:
    """Records an occurrence of which nothing will be said."""
    due_at, wall_key = due
    added = occurrences.add(db, schedule.id, wall_key, due_at, state, reason)
    return [] if added is None else [unsaid(added, reason)]


def unsaid(occurrence: Occurrence, reason: str) -> Unsaid:
    return Unsaid(occurrence.schedule_id, occurrence.wall_key, occurrence.due_at, reason)


# --- What the owner is told -------------------------------------------------------------------------------------------


def worth_telling(missed: Sequence[Unsaid], now: int) -> list[Unsaid]:
    return [found for found in missed if now - found.due_at >= TOLD_FROM_MS]


def tell(db: Db, schedule: Schedule, missed: Sequence[Unsaid], now: int) -> None:
    """One notice for all that a schedule has not said this time."""
    if missed:
        # Not a cause of the schedule's own posts: these are taken back when it is paused.
        key = f"unsaid:{schedule.id}:{missed[-1].wall_key}"
        outbox.notify(db, key, notice_of(db, schedule, missed), now, place=schedule.place)


def notice_of(db: Db, schedule: Schedule, missed: Sequence[Unsaid]) -> str:
    persona = personas.get(db, schedule.persona_id)
    title = f"Schedule {schedule.id} ({'?' if persona is None else persona.slug}, {schedule.rule}) said nothing"
    first, last = (moment(found.due_at, schedule.zone) for found in (missed[0], missed[-1]))
    when = f"at {first}" if len(missed) == 1 else f"{len(missed)} times from {first} to {last}"
    reasons = "; ".join(dict.fromkeys(found.reason for found in missed))
    return f"{title} {when}: {reasons}{'' if reasons.endswith('.') else '.'}"


def moment(instant: int, zone: str) -> str:
    there: datetime = clock.utc(instant).astimezone(ZoneInfo(zone))
    return there.strftime("%a %Y-%m-%d %H:%M %Z")
