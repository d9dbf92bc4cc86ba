"""The outbox: the durable queue of everything that is to be said unasked, from the wish to the remote id.

A post is claimed, and the claim committed, before a socket is touched (claims.py). Whoever cannot tell whether a post
went out says `unknown`, and then the account says nothing else until that is known. Here is what becomes of a row;
what people decide about it is in decisions.py.
"""

from __future__ import annotations

import hashlib
import json
import logging
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlite_utils

from bot.domain import SHELL, Post, PostState, SaidAlready
from bot.errors import PostNotUnique, UnknownPost, did_you_mean
from bot.store import accounts, ledger, places

log = logging.getLogger(__name__)

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
DAY_MS = 86_400_000
FRESH_MS = 30 * DAY_MS  # the same text is not said again for so long
NOTICE_MS = 7 * DAY_MS  # a notice that could not be delivered for so long is given up
FIRST_LOOK_MS = 5_000
OWNER = ("local", "owner")  # platform and account of the notices to the owner

UNSAID = (PostState.REJECTED, PostState.MISSED, PostState.CANCELLED)
TOLD = {  # what the owner is told of
    PostState.REJECTED: "was rejected",
    PostState.MISSED: "was missed",
    PostState.REVIEW: "needs your decision",
}
REFUSED_AS_DUPLICATE = "the platform says that it holds the same text already"


# --- Adding -----------------------------------------------------------------------------------------------------------


def new_id(now: int, platform: str, account: str, cause_key: str) -> str:
    """A ULID (github.com/ulid/spec): 48 bits of time, then 80 bits which the cause decides instead of chance."""
    cause = hashlib.sha256(json.dumps([platform, account, cause_key]).encode()).digest()[:10]
    number = int.from_bytes(now.to_bytes(6, "big") + cause, "big")
    return in_crockford(number, 26)


def beginning_at(instant: int) -> str:
    """What the ids of posts begin with that were added at this instant."""
    return in_crockford(max(instant, 0), 10)


def in_crockford(number: int, letters: int) -> str:
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(5 * letters - 5, -1, -5))


def time_of(post_id: str) -> int:
    """When a post was added, in ms, as its id says."""
    number = 0
    for letter in post_id[:10]:
        number = number << 5 | CROCKFORD.index(letter)
    return number


def add(
    db: sqlite_utils.Database,
    platform: str,
    account: str,
    cause_key: str,
    cause: Mapping[str, Any],
    text: str,
    due_at: int,
    expires_at: int,
    now: int,
    kind: str = "post",
    draft: bool = False,
    parent_id: str | None = None,
    persona_id: int | None = None,
    alternatives: Sequence[Mapping[str, Any]] = (),
    place: str = SHELL,
) -> Post:
    """Queues a post, or keeps it as a draft until somebody approves it; one with the same cause is not added a second
    time but returned as it is. Raises SaidAlready if the account says or said the same within 30 days."""
    same = "SELECT * FROM outbox WHERE platform = ? AND account = ? AND cause_key = ?"
    if (row := next(iter(db.query(same, [platform, account, cause_key])), None)) is not None:
        return post_of(row)
    text_hash = None if kind == "notice" else fresh_hash(db, platform, account, text, now)
    values = {
        # after what it follows, whose id says when
        "id": new_id(now if parent_id is None else max(now, time_of(parent_id) + 1), platform, account, cause_key),
        "platform": platform,
        "account": account,
        "cause_key": cause_key,
        "cause": json.dumps(dict(cause)),
        "text": text,
        "text_hash": text_hash,
        "state": PostState.DRAFT if draft else PostState.QUEUED,
        "due_at": due_at,
        "expires_at": expires_at,
        "not_before": due_at,
        "created_at": now,
        "kind": kind,
        "parent_id": parent_id,
        "persona_id": persona_id,
        "alternatives": json.dumps([dict(other) for other in alternatives]),
        "place": place,
    }
    rows = db.query(
        f"INSERT INTO outbox ({', '.join(values)}) VALUES ({', '.join(f':{name}' for name in values)}) RETURNING *",
        values,
    )
    return logged(db, next(iter(rows)), now, None)


def notify(
    db: sqlite_utils.Database,
    key: str,
    text: str,
    now: int,
    about: Mapping[str, Any] | None = None,
    place: str = SHELL,
) -> Post:
    """Tells the people of a place, or the owner, once per key, in the transaction of what is told."""
    platform, account = places.notices_of(db, place) or OWNER
    return add(db, platform, account, key, about or {}, text, now, now + NOTICE_MS, now, kind="notice", place=place)


def hash_of(text: str) -> str:
    """The same for texts that readers take for the same: case, blanks and ways of writing a letter do not count."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def fresh_hash(
    db: sqlite_utils.Database, platform: str, account: str, text: str, now: int, own_id: str | None = None
) -> str:
    """The hash of a text that the account may say (in the row `own_id`); raises SaidAlready if it may not."""
    text_hash = hash_of(text)
    where = "platform = ? AND account = ? AND text_hash = ?"
    # What was posted long ago stands in nobody's way any more.
    db.execute(
        f"UPDATE outbox SET text_hash = NULL WHERE {where} AND state = 'posted' AND posted_at <= ?",
        [platform, account, text_hash, now - FRESH_MS],
    )
    taken = db.execute(f"SELECT id FROM outbox WHERE {where}", [platform, account, text_hash]).fetchone()
    if taken is not None and taken[0] != own_id:
        raise SaidAlready(text)
    return text_hash


# --- What becomes of an attempt ---------------------------------------------------------------------------------------


def posted(db: sqlite_utils.Database, post_id: str, remote_id: str, now: int) -> Post:
    """The post is out, under this remote id; if that is another post's already, people must see what happened."""
    if is_bound(db, post_id, remote_id):
        return review(db, post_id, f"the platform gave it the id of another post, {remote_id}", now)
    assignments = "state = 'posted', remote_id = ?, posted_at = ?, doubt_at = NULL, duplicate = 0, error = NULL"
    return change(db, post_id, ("sending", "unknown", "review"), assignments, [remote_id, now], now, remote_id)


def is_bound(db: sqlite_utils.Database, post_id: str, remote_id: str) -> bool:
    """Whether this remote id is another post's."""
    taken = (
        "SELECT 1 FROM outbox WHERE remote_id = ? AND id <> ? AND platform = (SELECT platform FROM outbox WHERE id = ?)"
    )
    return db.execute(taken, [remote_id, post_id, post_id]).fetchone() is not None


def not_sent(
    db: sqlite_utils.Database, post_id: str, reason: str, not_before: int, now: int, refused_until: int | None = None
) -> Post:
    """This attempt surely did not go out and may be made again from `not_before` on; an earlier one that is in doubt
    (then this one repeated its key) stays so. What was reserved for it is given back. Nothing else goes out on the
    account before `refused_until` either."""
    ledger.give_back(db, post_id)
    assignments = "state = iif(doubt_at IS NULL, 'queued', 'unknown'), not_before = ?, error = ?"
    post = change(db, post_id, ("sending",), assignments, [not_before, reason], now, reason)
    if refused_until is not None:
        accounts.hold_back(db, post.platform, post.account, refused_until)
    return post


def unauthorized(db: sqlite_utils.Database, post_id: str, reason: str, now: int) -> Post:
    """The platform refused the account's credentials: the account is paused, the post waits."""
    post = not_sent(db, post_id, reason, now + FIRST_LOOK_MS, now)
    pause_account(db, post.platform, post.account, reason, now)
    return post


def pause_account(db: sqlite_utils.Database, platform: str, account: str, reason: str, now: int) -> None:
    """The account says nothing until it is resumed, and the owner is told, once."""
    if accounts.pause(db, platform, account, reason, now):
        text = f"The account {platform}/{account} is paused: {reason}. What is queued for it waits."
        notify(db, f"paused:{platform}/{account}:{now}", text, now)


def reject(db: sqlite_utils.Database, post_id: str, reason: str, now: int) -> Post:
    """The platform refused the post for good; people decide if an earlier attempt of it may have arrived."""
    assignments = "state = iif(ambiguous, 'review', 'rejected'), error = ?"
    return change(db, post_id, ("queued", "sending", "unknown"), assignments, [reason], now, reason)


def unknown(db: sqlite_utils.Database, post_id: str, reason: str, now: int, duplicate: bool = False) -> Post:
    """Nobody can tell whether the post went out; the first look is due soon. `duplicate`: this attempt did not, because
    the platform says that it holds the same text already."""
    assignments = """state = 'unknown', ambiguous = max(ambiguous, ?), duplicate = ?, doubt_at = ?, looks = 0,
                     absent = 0, not_before = ?, error = ?"""
    values = [int(not duplicate), int(duplicate), now, now + FIRST_LOOK_MS, reason]
    return change(db, post_id, ("sending",), assignments, values, now, reason)


def absent(db: sqlite_utils.Database, post_id: str, reason: str, not_before: int, now: int) -> Post:
    """It surely is not there and nothing can arrive any more: it may be said again."""
    assignments = "state = 'queued', doubt_at = NULL, not_before = ?, error = ?"
    return change(db, post_id, ("unknown",), assignments, [not_before, reason], now, reason)


def review(db: sqlite_utils.Database, post_id: str, reason: str, now: int) -> Post:
    """People must decide."""
    return change(db, post_id, ("sending", "unknown"), "state = 'review', error = ?", [reason], now, reason)


def cancel(db: sqlite_utils.Database, post_id: str, reason: str, now: int) -> Post:
    """What waits is not to be said; if an attempt of it may have arrived, people decide."""
    assignments = "state = iif(ambiguous, 'review', 'cancelled'), error = ?"
    return change(db, post_id, ("draft", "queued"), assignments, [reason], now, reason)


def cancel_cause(db: sqlite_utils.Database, prefix: str, reason: str, now: int, drafts: bool = True) -> list[Post]:
    """Cancels what waits for causes that begin with `prefix`, with or without what still waits for approval."""
    waiting = """SELECT id FROM outbox WHERE (state = 'queued' OR (state = 'draft' AND :drafts))
                 AND substr(cause_key, 1, length(:prefix)) = :prefix ORDER BY id"""
    ids = [found for (found,) in db.execute(waiting, {"prefix": prefix, "drafts": drafts}).fetchall()]
    return [
        cancel(db, found, reason, now) for found in ids if state_of(db, found) in (PostState.DRAFT, PostState.QUEUED)
    ]


def expire(db: sqlite_utils.Database, now: int) -> list[Post]:
    """Gives up what is too late to be said or to be approved; if an attempt of it may have arrived, people decide. What
    follows another post is not too late before that one has ended."""
    rows = db.query(
        f"""UPDATE outbox AS candidate SET state = iif(ambiguous, 'review', 'missed'),
                error = CASE WHEN state = 'draft' THEN 'nobody approved it in time' WHEN error IS NOT NULL THEN error
                    WHEN NOT {accounts.UNPAUSED} THEN 'its account was paused'
                    WHEN {accounts.SILENT_UNTIL} > expires_at THEN 'a mute or a limit lasted until it was too late'
                    ELSE 'it was too late to say it' END
            WHERE state IN ('draft', 'queued') AND expires_at <= ? AND {FOLLOWS_NOTHING_OPEN} RETURNING *""",
        [now],
    )
    return [logged(db, row, now, row["error"]) for row in list(rows)]


def recover(db: sqlite_utils.Database, now: int) -> list[Post]:
    """At start-up: what was being sent when we stopped may have gone out or not. All that is unknown is looked up at
    once."""
    accounts.forget_caps(db)  # the limits may be others now
    reason = "the bot stopped while it was being sent"
    rows = db.query(
        """UPDATE outbox SET state = 'unknown', ambiguous = 1, doubt_at = ?, looks = 0, absent = 0, not_before = ?,
                             error = ?
           WHERE state = 'sending' RETURNING *""",
        [now, now, reason],
    )
    recovered = [logged(db, row, now, reason) for row in list(rows)]
    db.execute("UPDATE outbox SET not_before = min(not_before, ?) WHERE state = 'unknown'", [now])
    return recovered


# --- Changing a row ---------------------------------------------------------------------------------------------------


def change(
    db: sqlite_utils.Database,
    post_id: str,
    states: Collection[str],
    assignments: str,
    values: Sequence[object],
    now: int,
    detail: str | None = None,
) -> Post:
    """Changes a row that is in one of these states, writes that down, and does what follows from its new state; raises
    LookupError if it is in none of them: nothing that has ended ever changes."""
    allowed = ", ".join("?" for _ in states)
    rows = db.query(
        f"UPDATE outbox SET {assignments} WHERE id = ? AND state IN ({allowed}) RETURNING *",
        [*values, post_id, *states],
    )
    row = next(iter(rows), None)
    if row is None:
        raise LookupError(f"there is no post {post_id} that is {' or '.join(states)}")
    return logged(db, row, now, detail)


def logged(db: sqlite_utils.Database, row: dict[str, Any], now: int, detail: str | None) -> Post:
    """Writes a change down, and what follows from it: the next part of a thread, notices."""
    step = db.execute(
        "INSERT INTO outbox_log (outbox_id, at, state, detail) VALUES (?, ?, ?, ?) RETURNING id",
        [row["id"], now, row["state"], detail],
    ).fetchone()[0]
    state = PostState(row["state"])
    if state is PostState.POSTED:  # what follows may be as late after this as it might have been after its own time
        db.execute(
            """UPDATE outbox SET expires_at = max(expires_at, ? + expires_at - due_at)
               WHERE parent_id = ? AND state IN ('draft', 'queued')""",
            [now, row["id"]],
        )
    if state in UNSAID:
        db.execute("UPDATE outbox SET text_hash = NULL WHERE id = ?", [row["id"]])
        followers = "SELECT id FROM outbox WHERE parent_id = ? AND state IN ('draft', 'queued')"
        for (follower,) in db.execute(followers, [row["id"]]).fetchall():
            cancel(db, follower, f"what it follows is not said but {state}", now)
    too_late = row["kind"] == "reply" and state is PostState.MISSED  # as a reply soon is: nobody wants to hear of that
    if state in TOLD and row["kind"] != "notice" and not too_late:
        place = f"{row['platform']}/{row['account']}"
        who = json.loads(row["cause"]).get("persona", "a persona")
        text = f"The post {row['id']} of {who} for {place} {TOLD[state]}: {row['error']}. It was: {row['text']}"
        notify(db, f"{state}:{row['id']}:{step}", text, now, {"about": row["id"]}, row["place"])
    if state is PostState.REJECTED and row["kind"] == "notice" and (row["platform"], row["account"]) != OWNER:
        _tell_owner(db, row, now)
    return post_of(row)


def _tell_owner(db: sqlite_utils.Database, row: dict[str, Any], now: int) -> None:
    """What the people of a place could not be told, the owner is."""
    place = f"{row['platform']}/{row['account']}"
    log.warning("the notice %s could not be said in %s: %s", row["id"], place, row["error"])
    text = f"This could not be said in {place} ({row['error']}): {row['text']}"
    cause, until = json.loads(row["cause"]), now + NOTICE_MS
    add(db, *OWNER, f"untold:{row['id']}", cause, text, now, until, now, kind="notice", place=row["place"])


# --- Reading ----------------------------------------------------------------------------------------------------------

# Conditions on the row `candidate`. Free: nothing else of the account is in the air, so whatever is found on its
# timeline can only be that one post.
FREE = """NOT EXISTS (
    SELECT 1 FROM outbox AS other
    WHERE other.platform = candidate.platform AND other.account = candidate.account
    AND other.state IN ('sending', 'unknown'))"""
FOLLOWS_NOTHING_OPEN = """(candidate.parent_id IS NULL OR EXISTS (
    SELECT 1 FROM outbox AS parent WHERE parent.id = candidate.parent_id AND parent.state = 'posted'))"""


def earliest(db: sqlite_utils.Database, platforms: Collection[str] | None = None) -> int | None:
    """When something can be sent or looked up next on these platforms (or any), or is too late, so that somebody must
    wake up then; what waits for another post, a mute or a limit counts from when that ends, what waits for people only
    once it is too late."""
    only = "" if platforms is None else f"+platform IN ({in_(platforms)}) AND"
    instants = db.execute(
        f"""SELECT min(max(due_at, not_before, {accounts.SILENT_UNTIL})) FROM outbox AS candidate
                WHERE {only} state = 'queued' AND {FREE} AND {FOLLOWS_NOTHING_OPEN} AND {accounts.UNPAUSED}
            UNION ALL
            SELECT min(not_before) FROM outbox WHERE {only} state = 'unknown' AND state IN ('sending', 'unknown')
            UNION ALL
            SELECT min(expires_at) FROM outbox AS candidate
                WHERE state IN ('draft', 'queued') AND {FOLLOWS_NOTHING_OPEN}""",
        named(platforms or ()),
    )
    return min((int(instant) for (instant,) in instants.fetchall() if instant is not None), default=None)


def every(
    db: sqlite_utils.Database, limit: int = 100, states: Collection[PostState] = (), place: str | None = None
) -> list[Post]:
    """The newest posts, of all states or of these, of all places or of one, the newest first."""
    wanted = [f"state IN ({', '.join('?' for _ in states)})"] if states else []
    wanted += [] if place is None else ["place = ?"]
    where = f"WHERE {' AND '.join(wanted)}" if wanted else ""
    values = [*states, *([] if place is None else [place]), limit]
    return [post_of(row) for row in db.query(f"SELECT * FROM outbox {where} ORDER BY id DESC LIMIT ?", values)]


def waits_for(db: sqlite_utils.Database, post: Post, now: int) -> str | None:
    """Why a queued post is not said at once, in words; None if it is its turn."""
    row = next(
        iter(
            db.query(
                f"""SELECT {accounts.UNPAUSED} AS unpaused, {accounts.SILENT_UNTIL} AS silent_until, {FREE} AS free,
                    {FOLLOWS_NOTHING_OPEN} AS leads, max(due_at, not_before) AS ready_at
                    FROM outbox AS candidate WHERE id = ? AND state = 'queued'""",
                [post.id],
            )
        ),
        None,
    )
    if row is None:
        return None
    if not row["leads"]:
        return f"{post.parent_id} comes first"
    if not row["unpaused"]:
        return "its account is paused"
    if row["silent_until"] > now:
        return f"a mute or a limit lasts until {in_words(row['silent_until'])}"
    if not row["free"]:
        return "it must be known first what became of another post"
    return f"it is due at {in_words(row['ready_at'])}" if row["ready_at"] > now else None


def in_words(instant: int) -> str:
    return f"{datetime.fromtimestamp(instant // 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def find(db: sqlite_utils.Database, name: str, place: str | None = None) -> Post:
    """The post of this id, or of the only id that begins or ends so, among all or those of a place; else UnknownPost or
    PostNotUnique."""
    written = name.strip().upper()
    rows = list(
        db.query(
            """SELECT * FROM outbox WHERE :name <> '' AND (substr(id, 1, length(:name)) = :name
               OR substr(id, -length(:name)) = :name) AND coalesce(:place, place) = place
               ORDER BY id DESC LIMIT 6""",
            {"name": written, "place": place},
        )
    )
    if len(rows) == 1:
        return post_of(rows[0])
    if not rows:
        known = [post.id for post in every(db, 1_000, place=place)]
        raise UnknownPost(post=name, nearest=did_you_mean(written, known))
    raise PostNotUnique(post=name, posts=", ".join(row["id"] for row in rows[:5]) + (", ..." if len(rows) > 5 else ""))


def notices_about(db: sqlite_utils.Database, post_id: str) -> list[Post]:
    """What was told of a post, the oldest first."""
    rows = db.query(
        """SELECT * FROM outbox WHERE place = (SELECT place FROM outbox WHERE id = ?) AND id >= ? AND kind = 'notice'
           AND json_extract(cause, '$.about') = ? ORDER BY id""",
        [post_id, post_id[:10], post_id],  # its first ten letters say when
    )
    return [post_of(row) for row in rows]


def said_by(db: sqlite_utils.Database, persona_id: int, place: str, limit: int) -> list[str]:
    """What a persona said last for a place, the newest first."""
    rows = db.execute(
        """SELECT text FROM outbox WHERE place = ? AND persona_id = ? AND kind <> 'notice' AND state = 'posted'
           ORDER BY id DESC LIMIT ?""",
        [place, persona_id, limit],
    )
    return [str(text) for (text,) in rows]


def state_of(db: sqlite_utils.Database, post_id: str) -> PostState:
    return PostState(db.execute("SELECT state FROM outbox WHERE id = ?", [post_id]).fetchone()[0])


def explain(db: sqlite_utils.Database, name: str) -> dict[str, Any]:
    """All that is known of a post: the row, what it follows and what follows it, every change with its moment (each
    attempt and its answer among them), and what it used up; instants in ms."""
    post_id = find(db, name).id
    row = next(iter(db.query("SELECT * FROM outbox WHERE id = ?", [post_id])))
    family = "SELECT id, state, text, remote_id FROM outbox WHERE {} ORDER BY id"
    log = db.query("SELECT at, state, detail FROM outbox_log WHERE outbox_id = ? ORDER BY id", [post_id])
    return {
        **row,
        "cause": json.loads(row["cause"]),
        "alternatives": json.loads(row["alternatives"]),
        "parent": next(iter(db.query(family.format("id = ?"), [row["parent_id"]])), None),
        "children": list(db.query(family.format("parent_id = ?"), [post_id])),
        "log": list(log),
        "ledger": ledger.of_post(db, post_id),
    }


def in_(platforms: Collection[str]) -> str:
    return ", ".join(f":{name}" for name in named(platforms))


def named(platforms: Collection[str]) -> dict[str, str]:
    return {f"platform{number}": platform for number, platform in enumerate(sorted(platforms))}


def post_of(row: dict[str, Any]) -> Post:
    return Post(
        id=row["id"],
        platform=row["platform"],
        account=row["account"],
        cause_key=row["cause_key"],
        text=row["text"],
        state=PostState(row["state"]),
        due_at=row["due_at"],
        expires_at=row["expires_at"],
        attempts=row["attempts"],
        remote_id=row["remote_id"],
        error=row["error"],
        cause=json.loads(row["cause"]),
        kind=row["kind"],
        parent_id=row["parent_id"],
        persona_id=row["persona_id"],
        alternatives=tuple(json.loads(row["alternatives"])),
        claimed_at=row["claimed_at"],
        approved_at=row["approved_at"],
        place=row["place"],
    )


def unsaid(db: sqlite_utils.Database) -> list[Post]:
    """What waits to be approved or sent and surely never went out, the oldest first."""
    return [
        post_of(row)
        for row in db.query("SELECT * FROM outbox WHERE state IN ('draft', 'queued') AND NOT ambiguous ORDER BY id")
    ]


def of_causes(db: sqlite_utils.Database, platform: str, account: str, cause_keys: Sequence[str]) -> list[Post]:
    """What stands in the outbox for these causes, in their order."""
    places = ", ".join("?" for _ in cause_keys)
    query = f"SELECT * FROM outbox WHERE platform = ? AND account = ? AND cause_key IN ({places})"
    found = {row["cause_key"]: post_of(row) for row in db.query(query, [platform, account, *cause_keys])}
    return [found[cause_key] for cause_key in cause_keys if cause_key in found]
