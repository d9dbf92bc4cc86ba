"""Erase: what a place holds of a handle, and how it is removed from every table, in transactions.

Of what was said, ids, states and remote ids stay, without any text: nothing is said twice, and nothing tells what it
was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlite_utils

from bot.domain import Job, Persona, Post, PostState, Request
from bot.store import consents, jobs, mutes, outbox, personas, requests, timelines

FORGOTTEN = "it was forgotten"
IN = "IN (SELECT value FROM json_each(?))"
REDUCED = json.dumps({"forgotten": True})
WITHDRAWN = json.dumps({"forgotten": True, "withdrawn": True})
ANSWER = json.dumps({"sentence": "Whom you asked for was forgotten meanwhile."})
OPEN = (PostState.DRAFT, PostState.QUEUED)
NAMED = ("persona", "handles", "handle")  # under which what was asked names whose texts are wanted
LISTS = ("unsaid:", "choose:")  # what begins the causes of notices that list personas
IN_DOUBT = (PostState.SENDING, PostState.UNKNOWN, PostState.REVIEW)


@dataclass(frozen=True)
class Said:
    """Something that stands on a platform, or may stand there: then its remote id is not known."""

    platform: str
    account: str
    remote_id: str | None


@dataclass(frozen=True)
class Held:
    """All that a place holds of a handle. `tweets` also counts retweets; `waiting` are posts and drafts that were not
    said, `said` those that were."""

    place: str
    handle: str
    tweets: int
    personas: tuple[Persona, ...]
    runs: tuple[int, ...]
    schedules: int
    waiting: int
    posts: tuple[Post, ...]
    answers: tuple[Said, ...]  # to commands

    @property
    def said(self) -> tuple[Said, ...]:
        posts = [
            Said(post.platform, post.account, post.remote_id)
            for post in self.posts
            if post.state in (PostState.POSTED, *IN_DOUBT) and post.platform != "local"  # whose feed is removed
        ]
        return (*posts, *self.answers)


def places_of(db: sqlite_utils.Database, handle: str) -> list[str]:
    """Every place that holds something of a handle."""
    rows = db.execute("SELECT place FROM timelines WHERE handle = ? ORDER BY place", [timelines.bare(handle)])
    return [str(place) for (place,) in rows]


def held(db: sqlite_utils.Database, place: str, handle: str) -> Held | None:
    """None if a place holds nothing of this handle."""
    spelled = timelines.spelled(db, handle, place)
    if spelled is None:
        return None
    found = [persona for persona in personas.every(db) if persona.place == place and spelled in persona.handles]
    ids = json.dumps([persona.id for persona in found])
    counted = timelines.counts(db, spelled, place)
    posts = posts_of(db, found)
    of_runs = db.execute(f"SELECT id FROM runs WHERE persona_id {IN} ORDER BY id", [ids])
    return Held(
        place,
        spelled,
        0 if counted is None else counted.downloaded,
        tuple(found),
        tuple(int(run_id) for (run_id,) in of_runs.fetchall()),
        int(db.execute(f"SELECT count(*) FROM schedules WHERE persona_id {IN}", [ids]).fetchone()[0]),
        sum(post.state in OPEN for post in posts),
        tuple(posts),
        tuple(answers_of(db, found)),
    )


def runs_of(db: sqlite_utils.Database, place: str) -> list[int]:
    """The runs of all personas of a place."""
    rows = db.execute("SELECT runs.id FROM runs JOIN personas ON personas.id = persona_id WHERE place = ?", [place])
    return [int(run_id) for (run_id,) in rows.fetchall()]


def posts_of(db: sqlite_utils.Database, found: Sequence[Persona]) -> list[Post]:
    """All that these personas said or are to say, what follows another one before that."""
    ids, names = json.dumps([persona.id for persona in found]), json.dumps([persona.name for persona in found])
    rows = db.query(
        f"""SELECT * FROM outbox WHERE kind <> 'notice' AND (persona_id {IN} OR json_extract(cause, '$.persona') {IN})
            ORDER BY id DESC""",
        [ids, names],
    )
    return [outbox.post_of(row) for row in rows]


def answers_of(db: sqlite_utils.Database, found: Sequence[Persona]) -> list[Said]:
    rows = db.execute(
        f"""SELECT channel, message_id FROM interactions WHERE persona_id {IN} AND message_id IS NOT NULL
            ORDER BY created_at, id""",
        [json.dumps([persona.id for persona in found])],
    )
    return [Said("discord", str(channel), str(message_id)) for channel, message_id in rows.fetchall()]


# --- First: nothing speaks any more -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Silenced:
    """What nobody does any more, though somebody may still be about to."""

    requests: tuple[Request, ...]
    jobs: tuple[Job, ...]


def silence(db: sqlite_utils.Database, of: Held, now: int) -> Silenced:
    """None of the personas can speak, learn or be listened for from here on; what waited to be said is cancelled."""
    ids = json.dumps([persona.id for persona in of.personas])
    db.execute(f"UPDATE personas SET run_id = NULL, shared = 0 WHERE id {IN}", [ids])
    db.execute(f"DELETE FROM schedules WHERE persona_id {IN}", [ids])
    db.execute(f"DELETE FROM listening WHERE persona_id {IN}", [ids])
    db.execute(  # whoever is about to answer one finds it settled
        f"""UPDATE mentions SET text = NULL, reason = ?, state = iif(state = 'open', 'ignored', state)
            WHERE persona_id {IN}""",
        [FORGOTTEN, ids],
    )
    waiting = [request for request in requests.unfinished(db) if _is_about(db, request, of)]
    for request in waiting:
        requests.cancel(db, request.id, FORGOTTEN, now)
    rows = db.execute(f"SELECT id FROM jobs WHERE persona_id {IN} AND state IN ('queued', 'running')", [ids])
    ended = [job for (job_id,) in rows.fetchall() if (job := jobs.get(db, int(job_id))) is not None]
    for job in ended:
        jobs.cancel(db, job.id, now)
    for post in of.posts:
        if post.state in OPEN:
            _reduce(db, post, now)
    return Silenced(tuple(waiting), tuple(ended))


def _is_about(db: sqlite_utils.Database, request: Request, of: Held) -> bool:
    ids = {persona.id for persona in of.personas}
    if request.job_id is not None:
        job = jobs.get(db, request.job_id)
        return job is not None and job.persona_id in ids
    name = str(request.asked.get("persona", ""))
    wanted = personas.find(db, name) if "/" in name else personas.seen(db, name, request.place)
    return wanted is not None and wanted.id in ids


# --- Then: nothing is left --------------------------------------------------------------------------------------------


def is_quiet(db: sqlite_utils.Database, of: Held) -> bool:
    """Whether nothing that somebody does could still write of it."""
    ids = json.dumps([persona.id for persona in of.personas])
    busy = db.execute(f"SELECT 1 FROM jobs WHERE persona_id {IN} AND state IN ('queued', 'running')", [ids]).fetchone()
    doing = any(_is_about(db, request, of) for request in requests.unfinished(db))
    return busy is None and not doing and not any(post.state in OPEN for post in of.posts)


def is_sending(db: sqlite_utils.Database, of: Held) -> bool:
    return any(post.state is PostState.SENDING for post in (*posts_of(db, of.personas), *_notices(db, of)))


def erase(db: sqlite_utils.Database, of: Held, now: int) -> None:
    """Removes all of it. Nothing may speak of it any more (`silence`)."""
    ids = [persona.id for persona in of.personas]
    names = [persona.name for persona in of.personas]
    for post in of.posts:
        _reduce(db, post, now)
    _erase_notices(db, of)
    db.execute(f"DELETE FROM feed WHERE outbox_id {IN}", [json.dumps([post.id for post in of.posts])])
    _erase_requests(db, of)
    _erase_interactions(db, of)
    db.execute(f"DELETE FROM mutes WHERE scope {IN}", [json.dumps([mutes.of_persona(name) for name in names])])
    db.execute(f"DELETE FROM personas WHERE id {IN}", [json.dumps(ids)])  # with jobs, runs and interactions
    db.execute("DELETE FROM timelines WHERE place = ? AND handle = ?", [of.place, of.handle])  # with tweets
    consents.forget(db, of.place, of.handle)


def _reduce(db: sqlite_utils.Database, post: Post, now: int) -> None:
    """A post without all that tells what it was; what may not have been said is not said."""
    db.execute(
        """UPDATE outbox SET text = '', text_hash = NULL, alternatives = '[]', cause = ?,
               error = iif(error IS NULL, NULL, ?) WHERE id = ?""",
        [REDUCED, FORGOTTEN, post.id],
    )
    if outbox.state_of(db, post.id) in (*OPEN, *IN_DOUBT):
        outbox.change(db, post.id, (*OPEN, *IN_DOUBT), "state = 'cancelled', error = ?", [FORGOTTEN], now)
    db.execute("UPDATE outbox_log SET detail = NULL WHERE outbox_id = ?", [post.id])


def _notices(db: sqlite_utils.Database, of: Held) -> list[Post]:
    """Notices that quote what is forgotten, or name it."""
    ids = {post.id for post in of.posts}
    slugs = "|".join({of.handle.lower(), *(persona.slug for persona in of.personas)})
    names = re.compile(rf"(?<![\w-])({slugs})(?![\w-])", re.IGNORECASE)
    places = json.dumps(sorted({of.place, *(post.place for post in of.posts)}))
    found = []
    for row in list(db.query(f"SELECT * FROM outbox WHERE kind = 'notice' AND text <> '' AND place {IN}", [places])):
        notice = outbox.post_of(row)
        quotes = notice.cause.get("about") in ids or str(notice.cause.get("handle", "")).lower() == of.handle.lower()
        # A handle may be a common word: then a notice that only seems to name it is not taken back.
        lists = notice.cause_key.startswith(LISTS) or notice.state not in (*OPEN, *IN_DOUBT)
        if quotes or (lists and names.search(notice.text)):
            found.append(notice)
    return found


def _erase_notices(db: sqlite_utils.Database, of: Held) -> None:
    for notice in _notices(db, of):
        db.execute("DELETE FROM feed WHERE outbox_id = ?", [notice.id])
        _reduce(db, notice, notice.due_at)


def standing(db: sqlite_utils.Database, platform: str, limit: int) -> list[Post]:
    """Notices of what is forgotten that people can still read on a platform, the oldest first."""
    rows = db.query(
        """SELECT * FROM outbox WHERE kind = 'notice' AND text = '' AND platform = ? AND state = 'posted'
           AND remote_id IS NOT NULL AND cause = ? ORDER BY id LIMIT ?""",
        [platform, REDUCED, limit],
    )
    return [outbox.post_of(row) for row in rows]


def withdrawn(db: sqlite_utils.Database, post_id: str) -> None:
    """Its message was deleted, or never can be."""
    db.execute("UPDATE outbox SET cause = ? WHERE id = ? AND cause = ?", [WITHDRAWN, post_id, REDUCED])


def _erase_requests(db: sqlite_utils.Database, of: Held) -> None:
    """What people were answered; that they asked stays, for their quotas."""
    ids, names = {persona.id for persona in of.personas}, {persona.name for persona in of.personas}
    for row in list(db.query("SELECT * FROM requests")):
        answer = json.loads(row["answer"] or "{}")
        job = None if row["job_id"] is None else jobs.get(db, row["job_id"])
        asked = json.loads(row["asked"])
        theirs = (job is not None and job.persona_id in ids) or answer.get("persona") in names
        if theirs or (row["place"] == of.place and _names(asked, of)):
            db.execute(
                "UPDATE requests SET asked = '{}', answer = NULL, error = ? WHERE id = ?", [FORGOTTEN, row["id"]]
            )


def _erase_interactions(db: sqlite_utils.Database, of: Held) -> None:
    """Those that are not removed with a persona: who asked for one before it could speak. Who still waits is told."""
    ids = {persona.id for persona in of.personas}
    query = f"SELECT * FROM interactions WHERE place = ? OR (state = 'open' AND persona_id {IN})"
    for row in list(db.query(query, [of.place, json.dumps(sorted(ids))])):
        waits = row["state"] == "open"
        named = any(_names(json.loads(row[column] or "{}"), of) for column in ("asked", "then_asked", "answer"))
        if (named and row["place"] == of.place) or (waits and row["persona_id"] in ids):
            db.execute(
                "UPDATE interactions SET asked = '{}', then_asked = NULL, answer = ? WHERE id = ?",
                [ANSWER if waits else None, row["id"]],
            )
            more = "persona_id = NULL" if waits else "token = NULL"
            db.execute(f"UPDATE interactions SET {more} WHERE id = ?", [row["id"]])


def _names(asked: Any, of: Held) -> bool:
    """Whether it is a persona of these that was asked for."""
    if isinstance(asked, dict):
        return any(_means(asked[key], of) if key in NAMED else _names(asked[key], of) for key in asked)
    return isinstance(asked, list) and any(_names(part, of) for part in asked)


def _means(name: Any, of: Held) -> bool:
    if isinstance(name, list):
        return any(_means(part, of) for part in name)
    return of.handle.lower() in (timelines.bare(part) for part in re.split(r"[-+,/\s]+", str(name).lower()))
