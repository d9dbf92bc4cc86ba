"""Schedules: standing wishes, and when each is due next."""

from __future__ import annotations

from typing import Any

import sqlite_utils

from bot.domain import SHELL, Schedule
from bot.errors import UnknownSchedule


def add(
    db: sqlite_utils.Database,
    persona_id: int,
    platform: str,
    account: str,
    rule: str,
    zone: str,
    prompt: str,
    now: int,
    next_due: int,
    quiet: str = "",
    jitter_s: int = 0,
    max_late_s: int | None = None,
    chance: float = 1.0,
    approval: str = "off",
    seed: int = 0,
    place: str = SHELL,
) -> Schedule:
    """Adds a schedule; an interval counts from `now`."""
    values = {
        "persona_id": persona_id,
        "platform": platform,
        "account": account,
        "rule": rule,
        "zone": zone,
        "prompt": prompt,
        "anchor": now,
        "next_due": next_due,
        "created_at": now,
        "quiet": quiet,
        "jitter_s": jitter_s,
        "max_late_s": max_late_s,
        "chance": chance,
        "approval": approval,
        "seed": seed,
        "place": place,
    }
    rows = db.query(
        f"INSERT INTO schedules ({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)}) RETURNING *",
        values,
    )
    return _schedule(next(iter(rows)))


def every(db: sqlite_utils.Database, place: str | None = None) -> list[Schedule]:
    """All schedules, or those of a place, the oldest first."""
    rows = db.query("SELECT * FROM schedules WHERE coalesce(?, place) = place ORDER BY id", [place])
    return [_schedule(row) for row in rows]


def get(db: sqlite_utils.Database, schedule_id: int) -> Schedule | None:
    row = next(iter(db.query("SELECT * FROM schedules WHERE id = ?", [schedule_id])), None)
    return None if row is None else _schedule(row)


def pause(db: sqlite_utils.Database, schedule_id: int) -> None:
    _change(db, schedule_id, "paused = 1", [])


def resume(db: sqlite_utils.Database, schedule_id: int, next_due: int | None) -> None:
    """Goes on at `next_due`: what fell into the pause is neither made up for nor missed."""
    _change(db, schedule_id, "paused = 0, next_due = ?", [next_due])


def advance(db: sqlite_utils.Database, schedule_id: int, next_due: int | None) -> None:
    _change(db, schedule_id, "next_due = ?", [next_due])


def remove(db: sqlite_utils.Database, schedule_id: int) -> None:
    """Removes a schedule with its occurrences; what already stands in the outbox stays there."""
    if db.execute("DELETE FROM schedules WHERE id = ?", [schedule_id]).rowcount != 1:
        raise UnknownSchedule(schedule=schedule_id)


def due(db: sqlite_utils.Database, now: int, limit: int = 100) -> list[Schedule]:
    """The schedules that are due and not paused, the longest overdue first."""
    rows = db.query(
        "SELECT * FROM schedules WHERE next_due <= ? AND NOT paused ORDER BY next_due, id LIMIT ?", [now, limit]
    )
    return [_schedule(row) for row in rows]


def earliest(db: sqlite_utils.Database) -> int | None:
    """The instant at which the next schedule is due, if any is."""
    instant = db.execute("SELECT min(next_due) FROM schedules WHERE NOT paused").fetchone()[0]
    return None if instant is None else int(instant)


def approved(db: sqlite_utils.Database, schedule: Schedule) -> int:
    """How many of its posts somebody has approved."""
    first = f"schedule:{schedule.id}:"
    query = """SELECT count(*) FROM outbox WHERE platform = ? AND account = ? AND cause_key >= ? AND cause_key < ?
               AND approved_at IS NOT NULL"""
    after = first[:-1] + chr(ord(":") + 1)
    return int(db.execute(query, [schedule.platform, schedule.account, first, after]).fetchone()[0])


def _change(db: sqlite_utils.Database, schedule_id: int, assignments: str, values: list[object]) -> None:
    changed = db.execute(f"UPDATE schedules SET {assignments} WHERE id = ?", [*values, schedule_id])
    if changed.rowcount != 1:
        raise UnknownSchedule(schedule=schedule_id)


def _schedule(row: dict[str, Any]) -> Schedule:
    del row["created_at"]
    return Schedule(**{**row, "paused": bool(row["paused"])})
