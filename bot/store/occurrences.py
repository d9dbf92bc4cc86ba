"""Occurrences: the due moments of schedules, each at most once."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import sqlite_utils

from bot.domain import Occurrence, OccurrenceState, PostState


def add(
    db: sqlite_utils.Database,
    schedule_id: int,
    wall_key: str,
    due_at: int,
    state: OccurrenceState,
    reason: str | None = None,
) -> Occurrence | None:
    """Records a due moment; None if this schedule had it already."""
    rows = db.query(
        """INSERT INTO occurrences (schedule_id, wall_key, due_at, state, reason) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (schedule_id, wall_key) DO NOTHING RETURNING *""",
        [schedule_id, wall_key, due_at, state, reason],
    )
    row = next(iter(rows), None)
    return None if row is None else _occurrence(row)


def due(db: sqlite_utils.Database, limit: int = 100, without: Collection[int] = ()) -> list[Occurrence]:
    """What is due and not yet written, except for some; a paused schedule's wait. Every persona has its turn, each
    with what is longest overdue first, so that nobody waits for all that another has to say."""
    rows = db.query(
        """SELECT occurrences.* FROM occurrences JOIN schedules ON schedules.id = schedule_id
           WHERE state = 'due' AND NOT paused AND occurrences.id NOT IN (SELECT value FROM json_each(?))
           ORDER BY row_number() OVER (PARTITION BY persona_id ORDER BY due_at, occurrences.id),
           due_at, occurrences.id LIMIT ?""",
        [json.dumps(sorted(without)), limit],
    )
    return [_occurrence(row) for row in rows]


def miss_late(
    db: sqlite_utils.Database, reason: str, now: int, max_late_ms: int, schedule_id: int | None = None
) -> list[Occurrence]:
    """Gives up what is not yet written, of all schedules or one, and later than its schedule allows, or else
    `max_late_ms`, in the order in which it was due; a paused schedule's wait."""
    one = "" if schedule_id is None else "AND schedule_id = :only"
    rows = db.query(
        f"""UPDATE occurrences SET state = 'missed', reason = :reason WHERE state = 'due' AND due_at <
           (SELECT :now - coalesce(max_late_s * 1000, :max_late) FROM schedules WHERE id = schedule_id AND NOT paused)
           {one} RETURNING *""",
        {"reason": reason, "now": now, "max_late": max_late_ms, "only": schedule_id},
    )
    return sorted((_occurrence(row) for row in rows), key=_in_time)


def overtake(
    db: sqlite_utils.Database, occurrence: Occurrence, reason: str, speaking: Collection[int] = ()
) -> list[Occurrence]:
    """Gives up what else is due of the same schedule, but for what is being spoken: it makes up for one at most."""
    rows = db.query(
        """UPDATE occurrences SET state = 'missed', reason = ? WHERE state = 'due' AND schedule_id = ? AND id <> ?
           AND id NOT IN (SELECT value FROM json_each(?)) RETURNING *""",
        [reason, occurrence.schedule_id, occurrence.id, json.dumps(sorted(speaking))],
    )
    return sorted((_occurrence(row) for row in rows), key=_in_time)


def latest(
    db: sqlite_utils.Database, schedule_id: int, limit: int
) -> list[tuple[Occurrence, tuple[str, PostState] | None]]:
    """The last occurrences of a schedule, the newest first, each with its post's id and state if it has one."""
    rows = db.query(
        """SELECT occurrences.*, outbox.id AS post_id, outbox.state AS post_state
           FROM occurrences JOIN schedules ON schedules.id = schedule_id
           LEFT JOIN outbox ON outbox.platform = schedules.platform AND outbox.account = schedules.account
           AND outbox.cause_key = 'schedule:' || schedule_id || ':' || wall_key
           WHERE schedule_id = ? ORDER BY occurrences.due_at DESC, occurrences.id DESC LIMIT ?""",
        [schedule_id, limit],
    )
    return [
        (_occurrence(row), (row["post_id"], PostState(row["post_state"])) if row["post_id"] is not None else None)
        for row in rows
    ]


def skip(db: sqlite_utils.Database, schedule_id: int, reason: str) -> None:
    """Gives up what is due of a schedule, as its owner wishes."""
    db.execute(
        "UPDATE occurrences SET state = 'skipped', reason = ? WHERE state = 'due' AND schedule_id = ?",
        [reason, schedule_id],
    )


def prune(db: sqlite_utils.Database, before: int) -> None:
    """Forgets what was due before an instant and has ended."""
    db.execute("DELETE FROM occurrences WHERE due_at < ? AND state <> 'due'", [before])


def settle(db: sqlite_utils.Database, occurrence_id: int, state: OccurrenceState, reason: str | None = None) -> bool:
    """Ends a due occurrence; False if it is due no longer (ended meanwhile, or removed with its schedule)."""
    changed = db.execute(
        "UPDATE occurrences SET state = ?, reason = ? WHERE id = ? AND state = 'due'", [state, reason, occurrence_id]
    )
    return bool(changed.rowcount)


def _in_time(occurrence: Occurrence) -> tuple[int, int]:
    return occurrence.due_at, occurrence.id


def _occurrence(row: dict[str, Any]) -> Occurrence:
    return Occurrence(
        id=row["id"],
        schedule_id=row["schedule_id"],
        wall_key=row["wall_key"],
        due_at=row["due_at"],
        state=OccurrenceState(row["state"]),
        reason=row["reason"],
    )
