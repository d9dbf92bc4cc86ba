"""Ingest: a file of tweets becomes a timeline in the store."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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


async def ingest(database: Database, path: Path, handle: str | None, now: int, dry_run: bool = False) -> Ingested:
    """Holds every tweet of the file, or none of them if it turns out to be bad; raises ImportRefused."""

    def transaction(db: Db) -> Ingested:
        done = hold(db, path, check_handle(handle) if handle is not None else None, now)
        if dry_run:
            raise Dry(done)
        return done

    try:
        return await database.run(transaction)
    except Dry as dry:
        return dry.ingested
    except (UnreadableFile, BadHandle) as error:
        raise ImportRefused(reason=str(error)) from error


def hold(db: Db, path: Path, handle: str | None, now: int) -> Ingested:
    """Streams the file into the store; whose tweets they are is known from the first one."""
    tweets: Iterator[Tweet] = read_tweets(path, handle)
    first = next(tweets, None)
    author = handle or (first.handle if first else None)
    if first is None or author is None:
        raise ImportRefused(
            reason=f"{path.name} holds no tweets{f' of @{handle}' if handle else ''}: nothing was imported."
        )
    new = timelines.hold(db, author, first.display_name, itertools.chain([first], tweets), now)
    counts = timelines.counts(db, author)
    spelled = timelines.spelled(db, author)
    assert counts is not None
    assert spelled is not None
    return Ingested(spelled, counts, new)
