"""Where everybody stands who waits: how many come before them, and how long it will take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.domain import Request, RequestState
from bot.store import jobs, requests, runs
from bot.store.database import Db


@dataclass(frozen=True)
class Standing:
    """An unfinished request; `ahead` are those of its kind that are being done or come before it, 0 if it is being done
    itself, where requests for one training count as one; `eta_seconds` until its answer, None where nothing like it was
    done before."""

    request: Request
    ahead: int
    eta_seconds: float | None


def standings(db: Db, eta: Mapping[int, float], at_once: int, now: int) -> list[Standing]:
    """All that is unfinished, in its order; `eta` are the seconds left of jobs as their trainers say."""
    unfinished = requests.unfinished(db)
    imitations = [request for request in unfinished if request.job_id is None]
    trainings = [request for request in unfinished if request.job_id is not None]
    return [*_imitations(db, imitations, at_once, now), *_trainings(db, trainings, eta, now)]


def _imitations(db: Db, unfinished: list[Request], at_once: int, now: int) -> list[Standing]:
    mean = requests.mean_seconds(db) if unfinished else None
    found = []
    for place, request in enumerate(unfinished):
        ahead = 0 if request.state is RequestState.RUNNING else place
        found.append(Standing(request, ahead, _left(request, mean, now, ahead // at_once)))
    return found


def _trainings(db: Db, unfinished: list[Request], eta: Mapping[int, float], now: int) -> list[Standing]:
    found: dict[int, tuple[int, float | None]] = {}  # of each job
    until: float | None = 0.0  # the last of those before is done
    for request in unfinished:
        if request.job_id is None or request.job_id in found:
            continue
        job = jobs.get(db, request.job_id)
        left = eta.get(request.job_id)
        if left is None:
            left = _left(request, runs.mean_seconds(db, job.recipe) if job else None, now)
        until = None if until is None or left is None else until + left
        found[request.job_id] = (len(found), until)
    return [Standing(request, *found[request.job_id]) for request in unfinished if request.job_id is not None]


def _left(request: Request, mean: float | None, now: int, rounds: int = 0) -> float | None:
    """Seconds until it is done that takes `mean` seconds, after so many rounds of others."""
    if mean is None:
        return None
    if request.state is RequestState.RUNNING and request.started_at is not None:
        return max(0.0, mean - (now - request.started_at) / 1000)
    return mean * (rounds + 1)
