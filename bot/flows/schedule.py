"""Schedule: what people wish to be said regularly, and by whom."""

from __future__ import annotations

from bot import clock
from bot.domain import Persona, Schedule
from bot.errors import BadSchedule, PromptRefused, UnknownSchedule
from bot.moderation import Moderator
from bot.store import outbox, personas, schedules
from bot.store.database import Database, Db

LONGEST_WAIT_MS = 2 * 366 * 86_400_000


async def add(
    database: Database,
    moderator: Moderator,
    persona_slug: str,
    rule: str,
    zone: str,
    prompt: str,
    now: int,
    platform: str = "local",
    account: str = "feed",
) -> tuple[Schedule, list[int]]:
    """Makes a schedule out of a rule as `clock.rule_from` writes it; returns it with the next five due instants.

    Raises UnknownPersona, NoCheckpoint, BadSchedule and PromptRefused.
    """
    if not (verdict := moderator.judge_prompt(prompt)).accepted:
        raise PromptRefused(reasons=", ".join(verdict.reasons))
    clock.zone_of(zone)
    times = clock.upcoming(rule, zone, anchor=now, after=now)
    if not times or times[0] > now + LONGEST_WAIT_MS:
        raise BadSchedule(reason="This would not be due once in two years.")

    def transaction(db: Db) -> Schedule:
        persona = personas.speaking(db, persona_slug)
        return schedules.add(db, persona.id, platform, account, rule, zone, prompt, now, times[0])

    return await database.run(transaction), times


def cause_of(schedule_id: int) -> str:
    """What the causes of a schedule's posts begin with; the wall key follows."""
    return f"schedule:{schedule_id}:"


async def listing(database: Database) -> list[tuple[Schedule, Persona]]:
    """All schedules with whose they are, the oldest first."""

    def transaction(db: Db) -> list[tuple[Schedule, Persona]]:
        by_id = {persona.id: persona for persona in personas.every(db)}
        return [(schedule, by_id[schedule.persona_id]) for schedule in schedules.every(db)]

    return await database.run(transaction)


async def remove(database: Database, schedule_id: int, now: int) -> None:
    """Removes a schedule, and what it has queued but not yet said."""

    def transaction(db: Db) -> None:
        schedules.remove(db, schedule_id)
        outbox.cancel_cause(db, cause_of(schedule_id), "its schedule was removed", now)

    await database.run(transaction)


async def pause(database: Database, schedule_id: int, now: int) -> None:
    """Silences a schedule from now on: what it has queued but not yet said is taken back too, and not made up for."""

    def transaction(db: Db) -> None:
        schedules.pause(db, schedule_id)
        outbox.cancel_cause(db, cause_of(schedule_id), "its schedule was paused", now)

    await database.run(transaction)


async def resume(database: Database, schedule_id: int, now: int) -> list[int]:
    """Goes on with a paused schedule from now on; returns the next five due instants."""

    def transaction(db: Db) -> list[int]:
        schedule = schedules.get(db, schedule_id)
        if schedule is None:
            raise UnknownSchedule(schedule=schedule_id)
        times = clock.upcoming(schedule.rule, schedule.zone, schedule.anchor, after=now)
        if schedule.paused:
            schedules.resume(db, schedule_id, times[0] if times else None)
        return times

    return await database.run(transaction)
