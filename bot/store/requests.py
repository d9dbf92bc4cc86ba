"""Requests: the imitations and trainings that people wait for, in an order that is fair to all of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import sqlite_utils

from bot.config import QuotaSettings
from bot.domain import OPERATOR, SHELL, Request, RequestState
from bot.errors import PoolFull, QuotaSpent, TooManyWaiting, UnknownRequest

DAY_MS = 24 * 3_600_000
TOO_LATE = "It was too late: its time was over before its turn came."
KINDS = {"imitate": "imitations", "train": "trainings"}
COLUMNS = ("id", "kind", "person", "place", "job_id", "error", "created_at", "started_at", "deadline_at")
LATELY = 20  # imitations, of which the mean duration is taken

# What was cancelled before its turn came cost nobody anything.
_COUNTS = "(started_at IS NOT NULL OR state = 'waiting')"


def add(
    db: sqlite_utils.Database,
    quota: QuotaSettings | None,
    kind: str,
    person: str,
    place: str,
    asked: Mapping[str, Any],
    now: int,
    deadline_at: int | None = None,
    job_id: int | None = None,
) -> Request:
    """A request at its fair place; raises PoolFull, TooManyWaiting or QuotaSpent, unless the quota is None.

    The order is that of start-time fair queueing (bot/pool/queue.py): a request's turn is that of the last one started
    or, if that is later, the one after its person's last turn. It follows from the rows alone, so it outlives the bot.
    """
    if quota is not None:
        _check(db, quota, kind, person, place, now)
    added = db.execute(
        f"""INSERT INTO requests (kind, person, place, asked, turn, state, job_id, created_at, deadline_at)
            VALUES (:kind, :person, :place, :asked,
                max(coalesce((SELECT max(turn) FROM requests WHERE kind = :kind AND started_at IS NOT NULL),
                             (SELECT min(turn) FROM requests WHERE kind = :kind AND state = 'waiting'), 0),
                    coalesce((SELECT max(turn) + 1 FROM requests
                              WHERE kind = :kind AND person = :person AND {_COUNTS}), 0)),
                'waiting', :job, :now, :deadline)
            RETURNING id""",
        {
            **{"kind": kind, "person": person, "place": place, "asked": json.dumps(dict(asked))},
            **{"job": job_id, "now": now, "deadline": deadline_at},
        },
    ).fetchone()
    return get(db, int(added[0]))


def get(db: sqlite_utils.Database, request_id: int) -> Request:
    """Raises UnknownRequest."""
    row = next(iter(db.query("SELECT * FROM requests WHERE id = ?", [request_id])), None)
    if row is None:
        raise UnknownRequest(request=request_id)
    return _request(row)


def waiting(db: sqlite_utils.Database, kind: str) -> Request | None:
    """The one whose turn it is."""
    return next(iter(_every(db, "kind = ? AND state = 'waiting' ORDER BY turn, id LIMIT 1", kind)), None)


def unfinished(db: sqlite_utils.Database) -> list[Request]:
    """All that run or wait: first those that run, each kind in its order."""
    return _every(db, "state IN ('waiting', 'running') ORDER BY kind, state, turn, id")


def of_job(db: sqlite_utils.Database, job_id: int) -> list[Request]:
    """The unfinished requests for this training."""
    return _every(db, "job_id = ? AND state IN ('waiting', 'running') ORDER BY turn, id", job_id)


def start(db: sqlite_utils.Database, request_id: int, now: int) -> None:
    _change(db, request_id, "state = 'running', started_at = ?", [now])


def requeue(db: sqlite_utils.Database, request_id: int) -> None:
    """It waits again, before all that came after it, unless it has ended."""
    db.execute("UPDATE requests SET state = 'waiting' WHERE id = ? AND state = 'running'", [request_id])


def answer(db: sqlite_utils.Database, request_id: int, found: Mapping[str, Any], now: int) -> None:
    _change(db, request_id, "state = 'answered', answer = ?, finished_at = ?", [json.dumps(dict(found)), now])


def fail(db: sqlite_utils.Database, request_id: int, error: str, now: int) -> None:
    _change(db, request_id, "state = 'failed', error = ?, finished_at = ?", [error, now])


def cancel(db: sqlite_utils.Database, request_id: int, reason: str, now: int) -> None:
    _change(db, request_id, "state = 'cancelled', error = ?, finished_at = ?", [reason, now])


def expire(db: sqlite_utils.Database, now: int) -> list[Request]:
    """Fails what waits and whose time is over; returns it."""
    late = _every(db, "state = 'waiting' AND deadline_at < ?", now)
    for request in late:
        fail(db, request.id, TOO_LATE, now)
    return late


def recover(db: sqlite_utils.Database, doing: Collection[int] = (), training: Collection[int] = ()) -> int:
    """What runs, but is none of the requests and jobs that are being done, waits again, in its old place: it was left
    by a bot that was killed, or its end could not be written. Returns how many there were."""
    left = db.execute(
        """UPDATE requests SET state = 'waiting' WHERE state = 'running'
           AND id NOT IN (SELECT value FROM json_each(?))
           AND coalesce(job_id, -1) NOT IN (SELECT value FROM json_each(?))""",
        [json.dumps(list(doing)), json.dumps(list(training))],
    )
    return int(left.rowcount)


def prune(db: sqlite_utils.Database, now: int) -> int:
    """Forgets what ended more than a day ago: nobody asks for it any more, and no quota counts it."""
    return int(db.execute("DELETE FROM requests WHERE finished_at < ?", [now - DAY_MS]).rowcount)


def mean_seconds(db: sqlite_utils.Database) -> float | None:
    """How long the last imitations took on average; None while there are none."""
    # The plus signs keep it from sorting all of a day by an index, where it need only look at the last rows.
    found = db.execute(
        """SELECT avg(finished_at - started_at) / 1000 FROM (SELECT finished_at, started_at FROM requests
           WHERE +kind = 'imitate' AND +state = 'answered' ORDER BY id DESC LIMIT ?)""",
        [LATELY],
    ).fetchone()[0]
    return None if found is None else float(found)


def _check(db: sqlite_utils.Database, quota: QuotaSettings, kind: str, person: str, place: str, now: int) -> None:
    held = db.execute(
        "SELECT count(*), coalesce(sum(person = ?), 0) FROM requests WHERE state = 'waiting'", [person]
    ).fetchone()
    if held[0] >= quota.max_waiting:
        raise PoolFull(waiting=held[0])
    if (person, place) == (OPERATOR, SHELL):
        return
    if quota.waiting_per_person and held[1] >= quota.waiting_per_person:
        raise TooManyWaiting(waiting=held[1])
    imitate = kind == "imitate"
    of_person = quota.imitations_per_person_per_day if imitate else quota.trainings_per_person_per_day
    of_place = quota.imitations_per_place_per_day if imitate else quota.trainings_per_place_per_day
    for who, column, name, limit in (("You", "person", person, of_person), ("This place", "place", place, of_place)):
        if not limit:
            continue
        # The one that must be a day old before there is room again: the limit's last, counted from the newest.
        full = db.execute(
            f"""SELECT created_at FROM requests WHERE {column} = ? AND kind = ? AND created_at > ? AND {_COUNTS}
                ORDER BY created_at DESC LIMIT 1 OFFSET ?""",
            [name, kind, now - DAY_MS, limit - 1],
        ).fetchone()
        if full is not None:
            raise QuotaSpent(who=who, limit=limit, what=KINDS[kind], wait=in_words(full[0] + DAY_MS - now))


def in_words(ms: int) -> str:
    """A duration for people, rounded up to whole minutes."""
    minutes = max(1, -(-ms // 60_000))
    parts = [(minutes // 60, "hour"), (minutes % 60, "minute")]
    return " ".join(f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in parts if count)


def _change(db: sqlite_utils.Database, request_id: int, assignments: str, values: list[object]) -> None:
    """Changes an unfinished request; LookupError if it has ended or never was."""
    changed = db.execute(
        f"UPDATE requests SET {assignments} WHERE id = ? AND state IN ('waiting', 'running')", [*values, request_id]
    )
    if changed.rowcount != 1:
        raise LookupError(f"there is no unfinished request {request_id}")


def _every(db: sqlite_utils.Database, where: str, *values: object) -> list[Request]:
    return [_request(row) for row in db.query(f"SELECT * FROM requests WHERE {where}", list(values))]


def _request(row: dict[str, Any]) -> Request:
    return Request(
        **{name: row[name] for name in COLUMNS},
        asked=json.loads(row["asked"]),
        state=RequestState(row["state"]),
        answer=None if row["answer"] is None else json.loads(row["answer"]),
    )
