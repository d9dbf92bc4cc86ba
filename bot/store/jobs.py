"""Jobs: queued trainings, each to be done once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlite_utils

from bot.domain import Job, JobState


def enqueue(
    db: sqlite_utils.Database, persona_id: int, recipe: str, weights: Sequence[float], seed: int, now: int
) -> Job:
    """Queues a training; the same one, still unfinished, is not queued a second time but returned."""
    db.execute(
        """INSERT INTO jobs (persona_id, recipe, weights, seed, state, created_at) VALUES (?, ?, ?, ?, 'queued', ?)
           ON CONFLICT (persona_id, recipe, weights, seed) WHERE state IN ('queued', 'running') DO NOTHING""",
        [persona_id, recipe, _weights(weights), seed, now],
    )
    job = unfinished(db, persona_id, recipe, weights, seed)
    assert job is not None
    return job


def unfinished(
    db: sqlite_utils.Database, persona_id: int, recipe: str, weights: Sequence[float], seed: int | None
) -> Job | None:
    """The newest queued or running job that the same command made, with this seed or, if None, with any."""
    return _one(
        db,
        """persona_id = ? AND recipe = ? AND weights = ? AND seed = coalesce(?, seed)
           AND state IN ('queued', 'running') ORDER BY id DESC LIMIT 1""",
        [persona_id, recipe, _weights(weights), seed],
    )


def of_persona(db: sqlite_utils.Database, persona_id: int) -> Job | None:
    """The newest training of a persona that is queued or running."""
    return _one(db, "persona_id = ? AND state IN ('queued', 'running') ORDER BY id DESC LIMIT 1", [persona_id])


def start(db: sqlite_utils.Database, job_id: int, run_id: int) -> None:
    """The job runs, in the folder of this run; a job whose trainer died may be started again."""
    _change(db, job_id, "state = 'running', run_id = ?, error = NULL", [run_id])


def requeue(db: sqlite_utils.Database, job_id: int) -> None:
    """The job waits again; it keeps its run, so that it goes on where it stopped."""
    _change(db, job_id, "state = 'queued'", [])


def finish(db: sqlite_utils.Database, job_id: int, now: int) -> None:
    _change(db, job_id, "state = 'done', finished_at = ?", [now])


def fail(db: sqlite_utils.Database, job_id: int, error: str, now: int) -> None:
    _change(db, job_id, "state = 'failed', error = ?, finished_at = ?", [error, now])


def cancel(db: sqlite_utils.Database, job_id: int, now: int) -> None:
    _change(db, job_id, "state = 'cancelled', finished_at = ?", [now])


def cancel_others(db: sqlite_utils.Database, job: Job, now: int) -> list[Job]:
    """Cancels every other unfinished job of the persona: its latest training is the one that is to speak. Returns
    those."""
    cancelled = db.query(
        """UPDATE jobs SET state = 'cancelled', finished_at = ?
           WHERE persona_id = ? AND id != ? AND state IN ('queued', 'running') RETURNING *""",
        [now, job.persona_id, job.id],
    )
    return [_job(row) for row in cancelled]


def get(db: sqlite_utils.Database, job_id: int) -> Job | None:
    return _one(db, "id = ?", [job_id])


def waiting(db: sqlite_utils.Database) -> list[Job]:
    """The jobs that wait, the next one first."""
    return [_job(row) for row in db.query("SELECT * FROM jobs WHERE state = 'queued' ORDER BY id")]


def requeue_running(db: sqlite_utils.Database) -> int:
    """At start-up: no trainer of ours can be running, so what ran waits again. Returns how many did."""
    return int(db.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'").rowcount)


def _change(db: sqlite_utils.Database, job_id: int, assignments: str, values: list[object]) -> None:
    """Changes an unfinished job; LookupError if it has ended or never was."""
    changed = db.execute(
        f"UPDATE jobs SET {assignments} WHERE id = ? AND state IN ('queued', 'running')", [*values, job_id]
    )
    if changed.rowcount != 1:
        raise LookupError(f"there is no unfinished job {job_id}")


def _weights(weights: Sequence[float]) -> str:
    return json.dumps([float(weight) for weight in weights])


def _one(db: sqlite_utils.Database, where: str, values: list[object]) -> Job | None:
    row = next(iter(db.query(f"SELECT * FROM jobs WHERE {where}", values)), None)
    return None if row is None else _job(row)


def _job(row: dict[str, Any]) -> Job:
    return Job(
        id=row["id"],
        persona_id=row["persona_id"],
        recipe=row["recipe"],
        weights=tuple(json.loads(row["weights"])),
        seed=row["seed"],
        state=JobState(row["state"]),
        run_id=row["run_id"],
        error=row["error"],
    )
