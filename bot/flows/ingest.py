"""Ingest: a file of tweets becomes a timeline in the store."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from bot.domain import SHELL
from bot.errors import ImportRefused
from bot.store import timelines
from bot.store.database import Database, Db
from training.timeline import BadHandle, Counts, Tweet, UnreadableFile, check_handle, read_tweets


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
    database: Database, path: Path, handle: str | None, now: int, dry_run: bool = False, place: str = SHELL
) -> Ingested:
    """Holds every tweet of the file for a place, or none of them if it turns out to be bad; raises ImportRefused.

    Cancelled, it holds none of them either, and ends once the store has forgotten those that it had read.
    """
    stop = Event()

    def transaction(db: Db) -> Ingested:
        done = hold(db, path, check_handle(handle) if handle is not None else None, now, stop, place)
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
    except (UnreadableFile, BadHandle) as error:
        raise ImportRefused(reason=str(error)) from error


def hold(db: Db, path: Path, handle: str | None, now: int, stop: Event, place: str = SHELL) -> Ingested:
    """Streams the file into the store until it ends or `stop` is set; whose tweets they are is known from the first
    one, which `read_tweets` finds or refuses the file."""
    tweets = until(stop, read_tweets(path, handle))
    first = next(tweets)
    author = handle or first.handle
    assert author is not None
    new = timelines.hold(db, author, first.display_name, itertools.chain([first], tweets), now, place)
    counts = timelines.counts(db, author, place)
    spelled = timelines.spelled(db, author, place)
    assert counts is not None
    assert spelled is not None
    return Ingested(spelled, counts, new)


def until(stop: Event, tweets: Iterator[Tweet]) -> Iterator[Tweet]:
    """The tweets, all of them: Stopped instead of the next one, or of their end, once `stop` is set."""
    for tweet in tweets:
        if stop.is_set():
            raise Stopped
        yield tweet
    if stop.is_set():
        raise Stopped
