"""Schedule: what people wish to be said regularly, by whom, and on which conditions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot import clock
from bot.domain import SHELL, Occurrence, Persona, Post, PostState, Schedule
from bot.errors import BadSchedule, PromptRefused, UnknownSchedule
from bot.moderation import Moderator
from bot.store import occurrences, outbox, personas, schedules
from bot.store.database import Database, Db

LONGEST_LATE_S = 366 * 86_400


@dataclass(frozen=True)
class Plan:
    """What a schedule is made of; `rule` as `clock.rule_from` and `quiet` as `clock.window_from` write them."""

    persona: str
    rule: str
    zone: str = "UTC"
    prompt: str = ""
    platform: str = "local"
    account: str = "feed"
    quiet: str = ""
    jitter_s: int = 0
    max_late_s: int | None = None
    chance: float = 1.0
    approval: str = "off"
    place: str = SHELL  # whose it is; `persona` is a name that is found from everywhere


@dataclass(frozen=True)
class Moment:
    """A due moment to come, and whether chance will let it speak."""

    due_at: int
    wall_key: str
    speaks: bool


@dataclass(frozen=True)
class Shown:
    """A schedule with what is to come and what became of what was, the newest first, each with its post if it has
    one: the id and the state."""

    schedule: Schedule
    persona: Persona
    coming: list[Moment]
    past: list[tuple[Occurrence, tuple[str, PostState] | None]]


async def add(
    database: Database, moderator: Moderator, plan: Plan, seed: int, now: int
) -> tuple[Schedule, list[Moment]]:
    """Makes a schedule; returns it with its next five due moments. Jitter, chance and random times follow from `seed`.

    Raises UnknownPersona, NoCheckpoint, BadSchedule and PromptRefused, and has stored nothing then.
    """
    coming = _coming(moderator, plan, seed, now, 5)

    def transaction(db: Db) -> Schedule:
        persona = personas.speaking(db, plan.persona)
        return schedules.add(
            db,
            persona.id,
            plan.platform,
            plan.account,
            plan.rule,
            plan.zone,
            plan.prompt,
            now,
            coming[0].due_at,
            quiet=plan.quiet,
            jitter_s=plan.jitter_s,
            max_late_s=plan.max_late_s,
            chance=plan.chance,
            approval=plan.approval,
            seed=seed,
            place=plan.place,
        )

    return await database.run(transaction), coming


async def preview(
    database: Database, moderator: Moderator, plan: Plan, seed: int, now: int, n: int = 5
) -> list[Moment]:
    """The next due moments of the schedule that `add` would make, and the same errors; stores nothing."""
    coming = _coming(moderator, plan, seed, now, n)
    await database.run(lambda db: personas.speaking(db, plan.persona))
    return coming


def _coming(moderator: Moderator, plan: Plan, seed: int, now: int, n: int) -> list[Moment]:
    """The next due moments of a plan in which nothing is wrong."""
    if not (verdict := moderator.judge_prompt(plan.prompt)).accepted:
        raise PromptRefused(reasons=", ".join(verdict.reasons))
    if not moderator.leaves_room(plan.prompt):
        raise BadSchedule(reason="The prompt is too long: a quarter of a text's length is kept for what is to be said.")
    if not 0 < plan.chance <= 1:
        raise BadSchedule(reason=f"{plan.chance:g} is not a chance: write a number above 0, at most 1.")
    if not re.fullmatch(r"always|off|first-[1-9][0-9]{0,5}", plan.approval):
        raise BadSchedule(reason=f'"{plan.approval}" is not a kind of approval: write always, first-20 or off.')
    if plan.max_late_s is not None and not 1 <= plan.max_late_s <= LONGEST_LATE_S:
        raise BadSchedule(reason=f"{plan.max_late_s} s late is not between a second and a year.")
    times = clock.Times(plan.rule, plan.zone, now, seed, plan.quiet, plan.jitter_s)
    clock.check(times, now)
    return _moments(times, plan.chance, now, n)


def _moments(times: clock.Times, chance: float, now: int, n: int) -> list[Moment]:
    return [Moment(at, key, clock.speaks(times.seed, chance, key)) for at, key in clock.upcoming(times, now, n)]


def coming(schedule: Schedule, now: int, n: int = 5) -> list[Moment]:
    """The next due moments of a schedule as if it were not paused."""
    return _moments(clock.times_of(schedule), schedule.chance, now, n)


def cause_of(schedule_id: int) -> str:
    """What the causes of a schedule's posts begin with; the wall key follows."""
    return f"schedule:{schedule_id}:"


async def listing(database: Database, place: str | None = None) -> list[tuple[Schedule, Persona]]:
    """All schedules, or those of a place, with whose they are, the oldest first."""

    def transaction(db: Db) -> list[tuple[Schedule, Persona]]:
        by_id = {persona.id: persona for persona in personas.every(db)}
        return [(schedule, by_id[schedule.persona_id]) for schedule in schedules.every(db, place)]

    return await database.run(transaction)


async def show(
    database: Database, schedule_id: int, now: int, n: int = 5, last: int = 10, place: str | None = None
) -> Shown:
    """A schedule (of this place, if it is given), its next `n` due moments and its `last` occurrences; raises
    UnknownSchedule."""

    def transaction(db: Db) -> Shown:
        schedule = _get(db, schedule_id, place)
        persona = personas.get(db, schedule.persona_id)
        assert persona is not None
        return Shown(schedule, persona, coming(schedule, now, n), occurrences.latest(db, schedule_id, last))

    return await database.run(transaction)


async def remove(database: Database, schedule_id: int, now: int, place: str | None = None) -> list[Post]:
    """Removes a schedule, and what it has queued or drafted but not yet said; returns that."""

    def transaction(db: Db) -> list[Post]:
        schedules.remove(db, _get(db, schedule_id, place).id)
        return outbox.cancel_cause(db, cause_of(schedule_id), "its schedule was removed", now)

    return await database.run(transaction)


async def pause(database: Database, schedule_id: int, now: int, place: str | None = None) -> list[Post]:
    """Silences a schedule from now on: what it has queued but not yet said is taken back too, returned, and not made up
    for. Its drafts stay: nobody hears of them unless somebody approves them."""

    def transaction(db: Db) -> list[Post]:
        schedules.pause(db, _get(db, schedule_id, place).id)
        occurrences.skip(db, schedule_id, "its schedule was paused")
        return outbox.cancel_cause(db, cause_of(schedule_id), "its schedule was paused", now, drafts=False)

    return await database.run(transaction)


async def resume(database: Database, schedule_id: int, now: int, place: str | None = None) -> list[Moment]:
    """Goes on with a paused schedule from now on; returns the next five due moments."""

    def transaction(db: Db) -> list[Moment]:
        schedule = _get(db, schedule_id, place)
        moments = coming(schedule, now)
        if schedule.paused:
            schedules.resume(db, schedule_id, moments[0].due_at if moments else None)
        return moments

    return await database.run(transaction)


def _get(db: Db, schedule_id: int, place: str | None) -> Schedule:
    schedule = schedules.get(db, schedule_id)
    if schedule is None or place not in (None, schedule.place):
        raise UnknownSchedule(schedule=schedule_id)
    return schedule
