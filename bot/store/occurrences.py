"""Occurrences: the due moments of schedules, each at most once."""

from __future__ import annotations

from typing import Any

import sqlite_utils

from bot.domain import Occurrence, OccurrenceState


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


def due(db: sqlite_utils.Database, limit: int = 100) -> list[Occurrence]:
    """What is due and not yet written, the longest overdue first; a paused schedule's wait."""
    rows = db.query(
        """SELECT occurrences.* FROM occurrences JOIN schedules ON schedules.id = schedule_id
           WHERE state = 'due' AND NOT paused ORDER BY due_at, occurrences.id LIMIT ?""",
        [limit],
    )
    return [_occurrence(row) for row in rows]


def miss_late(db: sqlite_utils.Database, reason: str, due_before: int) -> list[Occurrence]:
    """Gives up what was due before an instant and is still not written; a paused schedule's wait."""
    rows = db.query(
        """UPDATE occurrences SET state = 'missed', reason = ? WHERE state = 'due' AND due_at < ?
           AND schedule_id IN (SELECT id FROM schedules WHERE NOT paused) RETURNING *""",
        [reason, due_before],
    )
    return [_occurrence(row) for row in rows]


def overtake(db: sqlite_utils.Database, occurrence: Occurrence, reason: str) -> list[Occurrence]:
    """Gives up what else is due of the same schedule: it speaks once, however much it has to make up for."""
    rows = db.query(
        """UPDATE occurrences SET state = 'missed', reason = ?
           WHERE state = 'due' AND schedule_id = ? AND id <> ? RETURNING *""",
        [reason, occurrence.schedule_id, occurrence.id],
    )
    return [_occurrence(row) for row in rows]


def settle(db: sqlite_utils.Database, occurrence_id: int, state: OccurrenceState, reason: str | None = None) -> bool:
    """Ends a due occurrence; False if it is due no longer (ended meanwhile, or removed with its schedule)."""
    changed = db.execute(
        "UPDATE occurrences SET state = ?, reason = ? WHERE id = ? AND state = 'due'", [state, reason, occurrence_id]
    )
    return bool(changed.rowcount)


def _occurrence(row: dict[str, Any]) -> Occurrence:
    return Occurrence(
        id=row["id"],
        schedule_id=row["schedule_id"],
        wall_key=row["wall_key"],
        due_at=row["due_at"],
        state=OccurrenceState(row["state"]),
        reason=row["reason"],
    )
