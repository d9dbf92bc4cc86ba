"""Interactions: what people asked on Discord and wait for, what they were shown, and what they think of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlite_utils

DAY_MS = 86_400_000
KEPT_MS = 30 * DAY_MS  # so long the buttons of an answer work

State = Literal["open", "answered", "gone"]


class Known(Exception):
    """The same interaction was heard of before."""


@dataclass(frozen=True)
class Interaction:
    """`id` is Discord's; `token` is sealed, None once it is of no use; `asked["of_message"]` says that
    `asked["reply_to"]` is what somebody else wrote, which is forgotten with the answer; `asked` is empty once who was
    asked for is forgotten; `answer` is what is shown."""

    id: str
    kind: str  # "imitate" or "train"
    place: str
    channel: str
    person: str
    asked: Mapping[str, Any]
    token: bytes | None = field(repr=False)
    token_until: int
    created_at: int
    request_id: int | None = None
    then_asked: Mapping[str, Any] | None = None  # the imitation that is wanted once a training is done
    message_id: str | None = None
    state: State = "open"
    persona_id: int | None = None
    answer: Mapping[str, Any] | None = None


def add(db: sqlite_utils.Database, new: Interaction) -> None:
    """Raises Known if it is not new."""
    added = db.execute(
        """INSERT INTO interactions (id, request_id, kind, place, channel, person, asked, then_asked, token,
               token_until, state, created_at, answer)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING""",
        [
            *(new.id, new.request_id, new.kind, new.place, new.channel, new.person, _json(new.asked)),
            *(_json(new.then_asked), new.token, new.token_until, new.state, new.created_at, _json(new.answer)),
        ],
    )
    if added.rowcount != 1:
        raise Known(new.id)


def drop_unasked(db: sqlite_utils.Database, interaction_id: str) -> None:
    """What stood for an interaction until it became a request is not needed any more."""
    db.execute("DELETE FROM interactions WHERE id = ? AND state = 'open' AND request_id IS NULL", [interaction_id])


def get(db: sqlite_utils.Database, interaction_id: str) -> Interaction | None:
    return next(iter(_every(db, "id = ?", interaction_id)), None)


def unanswered(db: sqlite_utils.Database) -> list[Interaction]:
    """The open ones, the oldest first."""
    return _every(db, "state = 'open' ORDER BY created_at")


def go_on(db: sqlite_utils.Database, interaction_id: str, request_id: int, asked: Mapping[str, Any]) -> None:
    """The training is done: now it waits for the imitation."""
    db.execute(
        """UPDATE interactions SET kind = 'imitate', request_id = ?, asked = ?, then_asked = NULL
           WHERE id = ? AND state = 'open'""",
        [request_id, _json(asked), interaction_id],
    )


def keep_answer(
    db: sqlite_utils.Database, interaction_id: str, answer: Mapping[str, Any], persona_id: int | None
) -> None:
    """What is to be shown, written down before it is, so that its buttons work from the first moment on; nothing of
    what was forgotten meanwhile."""
    db.execute(
        "UPDATE interactions SET answer = ?, persona_id = ? WHERE id = ? AND state = 'open' AND asked <> '{}'",
        [_json(answer), persona_id, interaction_id],
    )


def close(db: sqlite_utils.Database, interaction_id: str, state: State, message_id: str | None = None) -> bool:
    """It was answered, or cannot be: its token is forgotten, and what somebody else had written. False if it was closed
    before."""
    row = next(iter(db.query("SELECT request_id, asked FROM interactions WHERE id = ?", [interaction_id])), None)
    if row is not None and json.loads(row["asked"]).get("of_message"):
        db.execute(
            """UPDATE requests SET asked = json_remove(asked, '$.reply_to'), answer = json_remove(answer, '$.message')
               WHERE id = ?""",
            [row["request_id"]],
        )
    changed = db.execute(
        f"""UPDATE interactions SET state = ?, message_id = ?, token = NULL, asked = {_WITHOUT_MESSAGE}
            WHERE id = ? AND state = 'open'""",
        [state, message_id, interaction_id],
    )
    return bool(changed.rowcount == 1)


def prune(db: sqlite_utils.Database, now: int) -> None:
    """Forgets tokens that have expired with what somebody else had written, unless that still waits for its answer, and
    all that is so old that nobody uses it any more. Of what people have voted on only who asked and what is forgotten:
    texts and votes are there to choose better by."""
    db.execute("UPDATE interactions SET token = NULL WHERE token IS NOT NULL AND token_until <= ?", [now])
    db.execute(
        f"""UPDATE interactions SET asked = {_WITHOUT_MESSAGE}
            WHERE state != 'open' AND token_until <= ? AND json_extract(asked, '$.of_message')""",
        [now],
    )
    db.execute(
        """DELETE FROM interactions WHERE state != 'open' AND created_at < ?
           AND id NOT IN (SELECT interaction_id FROM votes)""",
        [now - KEPT_MS],
    )
    db.execute(  # what is left
        "UPDATE interactions SET person = '', asked = '{}' WHERE state != 'open' AND created_at < ? AND person != ''",
        [now - KEPT_MS],
    )


# --- What people think of it ------------------------------------------------------------------------------------------


def vote(db: sqlite_utils.Database, interaction_id: str, candidate: int, person: str, up: bool, now: int) -> int:
    """What the person thinks of a text from now on: 1, -1, or 0 if they take back what they thought."""
    wish = 1 if up else -1
    which = [interaction_id, candidate, person]
    taken_back = db.execute(
        "DELETE FROM votes WHERE interaction_id = ? AND candidate = ? AND person = ? AND vote = ?", [*which, wish]
    )
    if taken_back.rowcount == 1:
        return 0
    db.execute(
        """INSERT INTO votes (interaction_id, candidate, person, vote, at) VALUES (?, ?, ?, ?, ?)
           ON CONFLICT (interaction_id, candidate, person) DO UPDATE SET vote = excluded.vote, at = excluded.at""",
        [*which, wish, now],
    )
    return wish


def votes(db: sqlite_utils.Database, interaction_id: str, candidate: int) -> tuple[int, int]:
    """How many like a text, and how many do not."""
    found = db.execute(
        """SELECT coalesce(sum(vote = 1), 0), coalesce(sum(vote = -1), 0) FROM votes
           WHERE interaction_id = ? AND candidate = ?""",
        [interaction_id, candidate],
    ).fetchone()
    return int(found[0]), int(found[1])


_WITHOUT_MESSAGE = "iif(json_extract(asked, '$.of_message'), json_remove(asked, '$.reply_to'), asked)"


def _json(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else json.dumps(dict(value))


def _every(db: sqlite_utils.Database, where: str, *values: object) -> list[Interaction]:
    return [_interaction(row) for row in db.query(f"SELECT * FROM interactions WHERE {where}", list(values))]


def _interaction(row: dict[str, Any]) -> Interaction:
    held = {name: None if row[name] is None else json.loads(row[name]) for name in ("asked", "then_asked", "answer")}
    return Interaction(**{**row, **held})
