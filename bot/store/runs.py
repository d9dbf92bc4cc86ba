"""Runs: one attempt each at training; what they hold on disk lies in a folder named by their id."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import sqlite_utils


def begin(db: sqlite_utils.Database, persona_id: int, recipe: str, seed: int, fingerprint: str, now: int) -> int:
    """Records that a run begins on the corpus with this fingerprint; returns its id, which is never given again."""
    begun = db.execute(
        "INSERT INTO runs (persona_id, recipe, seed, fingerprint, created_at) VALUES (?, ?, ?, ?, ?) RETURNING id",
        [persona_id, recipe, seed, fingerprint, now],
    ).fetchone()
    return int(begun[0])


def results(db: sqlite_utils.Database, run_id: int) -> dict[str, Any] | None:
    """What a run measured; None until it is finished."""
    found = db.execute("SELECT results FROM runs WHERE id = ?", [run_id]).fetchone()
    return None if found is None or found[0] is None else json.loads(found[0])


def every(db: sqlite_utils.Database) -> set[int]:
    """The ids of all runs."""
    return {int(run_id) for (run_id,) in db.execute("SELECT id FROM runs")}


def mean_seconds(db: sqlite_utils.Database, recipe: str) -> float | None:
    """How long finished trainings by this recipe took on average; None while there are none."""
    query = "SELECT avg(json_extract(results, '$.train_seconds')) FROM runs WHERE recipe = ?"
    found = db.execute(query, [recipe]).fetchone()[0]
    return None if found is None else float(found)


def finish(db: sqlite_utils.Database, run_id: int, results: Mapping[str, Any], now: int) -> None:
    changed = db.execute(
        "UPDATE runs SET results = ?, finished_at = ? WHERE id = ?", [json.dumps(dict(results)), now, run_id]
    )
    if changed.rowcount != 1:
        raise LookupError(f"there is no run {run_id}")
