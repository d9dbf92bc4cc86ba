"""Ingest: a file of tweets becomes a timeline in the store."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from bot.domain import Asker
from bot.errors import AuthorUnknown, ImportRefused, NeedsPermission
from bot.store import consents, opt_outs, timelines
from bot.store.consents import Consent
from bot.store.database import Database, Db
from training.timeline import BadHandle, Counts, NeedsHandle, Tweet, UnreadableFile, check_handle, read_tweets

OPERATOR_ASKS = Asker()


@dataclass(frozen=True)
class Ingested:
    """The counts of the whole timeline now held, and how many tweets this file added."""

    handle: str
    counts: Counts
    new: int


class Dry(Exception):
    """Rolls a dry run's transaction back, with what it would have done."""

    def __init__(self, ingested: Ingested) -> None:
        self.ingested = ingested


class Stopped(Exception):
    """Rolls the transaction back, because nobody wants it any more."""


async def ingest(
    database: Database,
    path: Path,
    handle: str | None,
    now: int,
    dry_run: bool = False,
    by: Asker = OPERATOR_ASKS,
    permission: bool = False,
    name: str | None = None,
) -> Ingested:
    """Holds every tweet of the file for the place where it is given, with the grounds on which that is allowed, or none
    of them if it turns out to be bad. `permission`: the giver says that they have that of the author; `name` is what
    the file is called, if not as its path says. Raises ImportRefused (AuthorUnknown if it only lacks a handle),
    NeedsPermission and OptedOut.

    Cancelled, it holds none of them either, and ends once the store has forgotten those that it had read.
    """
    stop = Event()

    def transaction(db: Db) -> Ingested:
        done = hold(db, path, handle, now, stop, by, permission, name)
        if dry_run:
            raise Dry(done)
        return done

    # A task of its own: cancelling what waits for a thread does not stop the thread.
    work = asyncio.ensure_future(database.run(transaction))
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([work])
        work.exception()  # read, so that asyncio does not tell of it
        raise
    try:
        return work.result()
    except Dry as dry:
        return dry.ingested
    except NeedsHandle as error:
        raise AuthorUnknown(reason=str(error)) from error
    except (UnreadableFile, BadHandle) as error:
        raise ImportRefused(reason=str(error)) from error


def hold(
    db: Db, path: Path, handle: str | None, now: int, stop: Event, by: Asker, permission: bool, name: str | None
) -> Ingested:
    """Streams the file into the store until it ends or `stop` is set; whose tweets they are is known from the first
    one, which `read_tweets` finds or refuses the file."""
    handle = check_handle(handle) if handle is not None else None
    tweets = until(stop, read_tweets(path, handle, name))
    first = next(tweets)
    author = handle or first.handle
    assert author is not None
    opt_outs.check(db, [author])
    grounds = grounds_of(first, author, permission, by)
    new = timelines.hold(db, author, first.display_name, itertools.chain([first], tweets), now, by.place)
    counts = timelines.counts(db, author, by.place)
    spelled = timelines.spelled(db, author, by.place)
    assert counts is not None
    assert spelled is not None
    consents.add(db, Consent(by.place, spelled, grounds, by.person, described(path, name), now))
    return Ingested(spelled, counts, new)


def grounds_of(first: Tweet, handle: str, permission: bool, by: Asker) -> str:
    """On what grounds the tweets may be held; raises NeedsPermission."""
    if first.signed:
        return consents.ARCHIVE
    if by.is_operator:
        return consents.OPERATOR
    if permission:
        return consents.PERMISSION
    raise NeedsPermission(handle=handle)


def described(path: Path, name: str | None) -> str:
    """What was given, for whoever asks later on what grounds something is held."""
    size = f", {path.stat().st_size:,} bytes" if path.is_file() else ""
    return f"{name or path.name}{size}".encode(errors="replace").decode()


def until(stop: Event, tweets: Iterator[Tweet]) -> Iterator[Tweet]:
    """The tweets, all of them: Stopped instead of the next one, or of their end, once `stop` is set."""
    for tweet in tweets:
        if stop.is_set():
            raise Stopped
        yield tweet
    if stop.is_set():
        raise Stopped
