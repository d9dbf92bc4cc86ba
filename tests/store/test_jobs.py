"""A job is done once, and goes on where it stopped; a run remembers what came of it."""

import sqlite3

import pytest
import sqlite_utils

from bot.domain import Job, JobState
from bot.store import jobs, personas, runs, timelines
from bot.store.migrations import migrations


@pytest.fixture
def db() -> sqlite_utils.Database:
    opened = sqlite_utils.Database(sqlite3.connect(":memory:"))
    opened.execute("PRAGMA foreign_keys = ON")
    migrations.apply(opened)
    timelines.hold(opened, "jo", None, [], now=1)
    personas.create(opened, ["jo"], now=1)
    return opened


def enqueue(db: sqlite_utils.Database, seed: int = 7, recipe: str = "quick", weights: tuple[float, ...] = (1,)) -> Job:
    return jobs.enqueue(db, 1, recipe, weights, seed, now=5)


def begin(db: sqlite_utils.Database) -> int:
    return runs.begin(db, 1, "quick", 7, "abc", now=6)


def test_the_same_unfinished_training_is_one_job(db: sqlite_utils.Database) -> None:
    first = enqueue(db)
    assert first == Job(1, 1, "quick", (1.0,), 7, JobState.QUEUED, None, None)
    assert enqueue(db) == first
    assert enqueue(db, seed=8).id != first.id
    jobs.start(db, first.id, begin(db))
    assert enqueue(db).state is JobState.RUNNING
    jobs.finish(db, first.id, now=9)
    assert enqueue(db).id not in (first.id, 2)


def test_the_same_command_finds_its_newest_unfinished_job(db: sqlite_utils.Database) -> None:
    old, new = enqueue(db, seed=7), enqueue(db, seed=8)
    assert jobs.unfinished(db, 1, "quick", [1.0], None) == new
    assert jobs.unfinished(db, 1, "quick", [1.0], 7) == old
    assert jobs.unfinished(db, 1, "thorough", [1.0], None) is None
    assert jobs.unfinished(db, 1, "quick", [2.0], None) is None
    jobs.cancel(db, new.id, now=6)
    assert jobs.unfinished(db, 1, "quick", [1], None) == old


def test_jobs_wait_in_order(db: sqlite_utils.Database) -> None:
    first, second = enqueue(db, 1), enqueue(db, 2)
    assert jobs.waiting(db) == [first, second]
    jobs.start(db, first.id, begin(db))
    assert jobs.waiting(db) == [second]
    jobs.requeue(db, first.id)
    assert [job.id for job in jobs.waiting(db)] == [first.id, second.id]


def test_after_a_crash_what_ran_waits_again_with_its_run(db: sqlite_utils.Database) -> None:
    job, run = enqueue(db), begin(db)
    jobs.start(db, job.id, run)
    assert jobs.requeue_running(db) == 1
    assert jobs.waiting(db) == [Job(job.id, 1, "quick", (1.0,), 7, JobState.QUEUED, run, None)]
    assert jobs.requeue_running(db) == 0


def test_a_job_that_has_ended_does_not_change_any_more(db: sqlite_utils.Database) -> None:
    job = enqueue(db)
    jobs.fail(db, job.id, "out of memory", now=8)
    failed = jobs.get(db, job.id)
    assert failed is not None
    assert (failed.state, failed.error) == (JobState.FAILED, "out of memory")
    for change in (jobs.finish, jobs.cancel):
        with pytest.raises(LookupError):
            change(db, job.id, now=9)
    assert jobs.get(db, job.id) == failed


def test_a_run_keeps_its_results(db: sqlite_utils.Database) -> None:
    run = begin(db)
    kept = "SELECT fingerprint, results, finished_at FROM runs"
    assert db.execute(kept).fetchall() == [("abc", None, None)]
    runs.finish(db, run, {"loss": 3.5, "notes": ["a"]}, now=9)
    assert db.execute(kept).fetchall() == [("abc", '{"loss": 3.5, "notes": ["a"]}', 9)]
    with pytest.raises(LookupError):
        runs.finish(db, 99, {}, now=9)
