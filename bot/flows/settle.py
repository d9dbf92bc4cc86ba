"""Settle: requests begin and end with the job that they share; every function is part of a transaction."""

from __future__ import annotations

from bot.domain import OPERATOR, SHELL, Job, JobState, Request
from bot.errors import DiskFull, MockingbirdError, TrainingInterrupted
from bot.flows import train
from bot.store import jobs, personas, requests
from bot.store.database import Db

SUPERSEDED = "another training of the same persona took its place"
MISTAKE = "A mistake of ours ended it"


def begin(db: Db, request: Request, now: int) -> None:
    """It is being done from now on, with all that wait for the same training, unless it has ended."""
    together = [requests.get(db, request.id)] if request.job_id is None else requests.of_job(db, request.job_id)
    for one in together:
        if not one.ended:
            requests.start(db, one.id, now)


def adopt(db: Db, now: int) -> None:
    """At start-up: no trainer of ours can be running, so jobs that ran wait again; one that nobody waits for, because
    those were told that it stopped, goes on as the operator's."""
    jobs.requeue_running(db)
    for job in jobs.waiting(db):
        if not requests.of_job(db, job.id):
            persona = personas.get(db, job.persona_id)
            assert persona is not None
            asked = {"handles": persona.handles, "recipe": job.recipe, "weights": job.weights, "seed": job.seed}
            requests.add(db, None, "train", OPERATOR, SHELL, asked, now, job_id=job.id)


def unfinished(db: Db, job_id: int) -> Job | None:
    job = jobs.get(db, job_id)
    return None if job is None or job.ended else job


def release(db: Db, job_id: int, now: int) -> Job | None:
    """Cancels a job for which nobody waits any more, and returns it."""
    job = unfinished(db, job_id)
    if job is None or requests.of_job(db, job_id):
        return None
    jobs.cancel(db, job_id, now)
    return job


def settle(db: Db, job_id: int, failure: Exception | None, now: int) -> tuple[Job, list[int]]:
    """Tells all who wait for a job how it ended, or that it waits again; returns whom."""
    job = jobs.get(db, job_id)
    assert job is not None
    if failure is not None and not job.ended and not isinstance(failure, TrainingInterrupted | DiskFull):
        jobs.fail(db, job_id, sentence_of(failure), now)
    job = jobs.get(db, job_id)
    assert job is not None
    waiting = requests.of_job(db, job_id)
    for request in waiting:
        if job.state is JobState.DONE:
            requests.answer(db, request.id, train.report(db, job), now)
        elif job.state is JobState.CANCELLED:
            requests.cancel(db, request.id, SUPERSEDED, now)
        elif job.state is JobState.FAILED:
            requests.fail(db, request.id, sentence_of(failure) if failure else job.error or "", now)
        elif failure is not None:
            requests.fail(db, request.id, sentence_of(failure), now)
        else:
            requests.requeue(db, request.id)
    return job, [request.id for request in waiting]


def sentence_of(error: Exception) -> str:
    """What people are told of an error."""
    if isinstance(error, MockingbirdError):
        return str(error)
    return f"{MISTAKE} ({type(error).__name__}: {error}): the log tells more."
