"""Timelines: every tweet that is held of one handle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import sqlite_utils

from bot.domain import SHELL
from training import clean
from training.timeline import Counts, Tweet

BATCH = 500

Row = tuple[str, str, int | None, str, str | None, str | None]  # id, text, created_at, kind, reply_to, lang

_HOLD_TIMELINE = """
INSERT INTO timelines (place, handle, display_name, created_at) VALUES (?, ?, ?, ?)
ON CONFLICT (place, handle) DO UPDATE SET display_name = coalesce(excluded.display_name, display_name)
"""

# A longer text for a known tweet is a long post in full, which another file had cut off. Knowing that something is a
# retweet wins over not knowing it, and what one file leaves empty another may fill in.
_HOLD_TWEETS = """
INSERT INTO tweets (timeline_id, tweet_id, text, created_at, kind, reply_to, lang) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (timeline_id, tweet_id) DO UPDATE SET
    text = iif(length(excluded.text) > length(tweets.text), excluded.text, tweets.text),
    kind = CASE
        WHEN 'retweet' IN (tweets.kind, excluded.kind) THEN 'retweet'
        WHEN length(excluded.text) > length(tweets.text) THEN excluded.kind
        ELSE tweets.kind END,
    created_at = coalesce(tweets.created_at, excluded.created_at),
    reply_to = coalesce(tweets.reply_to, excluded.reply_to),
    lang = coalesce(tweets.lang, excluded.lang)
"""


def hold(
    db: sqlite_utils.Database,
    handle: str,
    display_name: str | None,
    tweets: Iterable[Tweet],
    now: int,
    place: str = SHELL,
) -> int:
    """Holds tweets of one handle for a place and returns how many were new; holding the same ones again changes
    nothing.

    Without a `display_name` the tweets' own one is taken."""
    named = display_name

    def rows() -> Iterator[Row]:
        nonlocal named
        for tweet in tweets:
            named = named or tweet.display_name
            yield row_of(tweet)

    new = hold_rows(db, handle, display_name, rows(), now, place)
    db.execute(_HOLD_TIMELINE, [place, bare(handle), named, now])
    return new


def hold_rows(
    db: sqlite_utils.Database, handle: str, display_name: str | None, rows: Iterable[Row], now: int, place: str = SHELL
) -> int:
    """As `hold`, of tweets that were made into rows before: most of the work, which need not keep the store busy."""
    db.execute(_HOLD_TIMELINE, [place, bare(handle), display_name, now])
    timeline_id = _id(db, handle, place)
    assert timeline_id is not None
    before = _size(db, timeline_id)
    for batch in _batches(rows):
        db.conn.executemany(_HOLD_TWEETS, [(timeline_id, *row) for row in batch])
    return _size(db, timeline_id) - before


def counts(db: sqlite_utils.Database, handle: str, place: str = SHELL) -> Counts | None:
    """The four numbers of huggingtweets, or None if nothing is held of this handle."""
    timeline_id = _id(db, handle, place)
    if timeline_id is None:
        return None
    found = db.execute("SELECT kind, count(*) FROM tweets WHERE timeline_id = ? GROUP BY kind", [timeline_id])
    of: dict[str, int] = dict(found.fetchall())
    return Counts(sum(of.values()), of.get("retweet", 0), of.get("short", 0), of.get("kept", 0))


def display_name(db: sqlite_utils.Database, handle: str, place: str = SHELL) -> str | None:
    """What the person calls themselves, if their tweets say so."""
    query = "SELECT display_name FROM timelines WHERE place = ? AND handle = ?"
    row = db.execute(query, [place, bare(handle)]).fetchone()
    return None if row is None else row[0]


def written(db: sqlite_utils.Database, handle: str, place: str = SHELL) -> tuple[int, int]:
    """How many tweets that are no retweets are held, and how many characters they have, before they are cleaned."""
    found = texts(db, handle, place)
    return len(found), sum(map(len, found))


def tweets(db: sqlite_utils.Database, handle: str, place: str = SHELL) -> list[Tweet]:
    """What the person wrote, oldest first: short tweets too, retweets not."""
    rows = db.execute(
        """SELECT tweet_id, text, tweets.created_at, handle, display_name, reply_to, lang
           FROM tweets JOIN timelines ON timelines.id = timeline_id
           WHERE place = ? AND handle = ? AND kind <> 'retweet'
           ORDER BY tweets.created_at, CAST(tweet_id AS INTEGER), tweet_id""",
        [place, bare(handle)],
    )
    return [
        Tweet(id, text, created_at, handle, display_name, reply_to=reply_to, lang=lang)
        for id, text, created_at, handle, display_name, reply_to, lang in rows
    ]


def texts(db: sqlite_utils.Database, handle: str, place: str = SHELL) -> list[str]:
    """What the person wrote, in no order."""
    rows = db.execute(
        """SELECT text FROM tweets JOIN timelines ON timelines.id = timeline_id
           WHERE place = ? AND handle = ? AND kind <> 'retweet'""",
        [place, bare(handle)],
    )
    return [str(text) for (text,) in rows]


def answered(db: sqlite_utils.Database, handle: str, place: str = SHELL) -> dict[str, str]:
    """By id, the texts that this handle's replies answer, as far as any timeline of the place holds them; their own
    win, for ids that are not X's may stand in several."""
    rows = db.execute(
        """SELECT said.tweet_id, said.text
           FROM timelines AS own JOIN tweets AS reply ON reply.timeline_id = own.id
           CROSS JOIN timelines AS other ON other.place = own.place
           -- in this order: a text is then found by its primary key
           CROSS JOIN tweets AS said ON said.timeline_id = other.id AND said.tweet_id = reply.reply_to
           WHERE own.place = ? AND own.handle = ?
           AND reply.kind <> 'retweet' AND reply.reply_to IS NOT NULL AND said.kind <> 'retweet'
           ORDER BY said.timeline_id = own.id""",
        [place, bare(handle)],
    )
    return dict(rows.fetchall())


def handles(db: sqlite_utils.Database, place: str = SHELL) -> list[str]:
    """Every handle of which a place holds something, spelled as it was first held, in alphabetical order."""
    return [handle for (handle,) in db.execute("SELECT handle FROM timelines WHERE place = ? ORDER BY handle", [place])]


def spelled(db: sqlite_utils.Database, handle: str, place: str = SHELL) -> str | None:
    """The handle as it is held, or None if it is not; case and a leading @ are forgiven."""
    query = "SELECT handle FROM timelines WHERE place = ? AND handle = ?"
    row = db.execute(query, [place, bare(handle)]).fetchone()
    return None if row is None else str(row[0])


def bare(handle: str) -> str:
    return handle.strip().removeprefix("@")


def _id(db: sqlite_utils.Database, handle: str, place: str) -> int | None:
    row = db.execute("SELECT id FROM timelines WHERE place = ? AND handle = ?", [place, bare(handle)]).fetchone()
    return None if row is None else int(row[0])


def _size(db: sqlite_utils.Database, timeline_id: int) -> int:
    row = db.execute("SELECT count(*) FROM tweets WHERE timeline_id = ?", [timeline_id]).fetchone()
    return int(row[0])


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH)):
        yield batch


def row_of(tweet: Tweet) -> Row:
    """As it is stored."""
    text = _storable(tweet.text)
    return tweet.id, text, tweet.created_at, _kind(tweet, text), tweet.reply_to, tweet.lang


def _kind(tweet: Tweet, text: str) -> str:
    if tweet.is_retweet:
        return "retweet"
    return "short" if clean.is_short(clean.huggingtweets(text)) else "kept"


def _storable(text: str) -> str:
    """SQLite takes UTF-8 only: a lone surrogate, which JSON can spell, becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
