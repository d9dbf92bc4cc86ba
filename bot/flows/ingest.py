"""Ingest: a file of tweets becomes a timeline in the store."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from bot.domain import Asker
from bot.errors import AuthorUnknown, ImportRefused, NeedsPermission
from bot.store import consents, opt_outs, timelines
from bot.store.consents import Consent
from bot.store.database import Database, Db
from bot.store.timelines import Row
from training.timeline import BadHandle, Counts, NeedsHandle, UnreadableFile, check_handle, read_tweets

OPERATOR_ASKS = Asker()
MOST_CHARACTERS = 100_000_000  # that others than whoever runs the bot can give at once: it is all in memory for a while
OVERHEAD = 100  # that a tweet takes besides its text, counted in characters

T = TypeVar("T")


@dataclass(frozen=True)
class Ingested:
    """The counts of the whole timeline now held, and how many tweets this file added."""

    handle: str
    counts: Counts
    new: int


@dataclass(frozen=True)
class Read:
    """What a file held; `signed`: it is an archive that names its owner."""

    author: str
    display_name: str | None
    signed: bool
    rows: list[Row]


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

    Cancelled, it holds none of them either, and ends once nobody reads or writes any more.
    """
    stop = Event()

    def reading() -> Read:
        return read(path, handle, name, stop, None if by.is_operator else MOST_CHARACTERS)

    try:
        found = await finished(asyncio.to_thread(reading), stop)
        detail = described(path, name)

        def transaction(db: Db) -> Ingested:
            done = hold(db, found, now, stop, by, permission, detail)
            if dry_run:
                raise Dry(done)
            return done

        return await finished(database.run(transaction), stop)
    except Dry as dry:
        return dry.ingested
    except NeedsHandle as error:
        raise AuthorUnknown(reason=str(error)) from error
    except (UnreadableFile, BadHandle) as error:
        raise ImportRefused(reason=str(error)) from error


async def finished(doing: Coroutine[Any, Any, T], stop: Event) -> T:
    """What a thread comes to. Cancelled, it is told to stop, and waited for: it would go on by itself."""
    work = asyncio.ensure_future(doing)
    try:
        await asyncio.wait([work])
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([work])
        work.exception()  # read, so that asyncio does not tell of it
        raise
    return work.result()


def read(path: Path, handle: str | None, name: str | None, stop: Event, most: int | None) -> Read:
    """Reads the file until it ends or `stop` is set, but no more than so many characters; whose tweets they are is
    known from the first one, which `read_tweets` finds or refuses the file. In a thread of its own: it may take many
    seconds, and the store is there for everybody."""
    handle = check_handle(handle) if handle is not None else None
    tweets = until(stop, read_tweets(path, handle, name))
    first = next(tweets)
    author = handle or first.handle
    assert author is not None
    display_name, characters, rows = first.display_name, 0, []
    for tweet in itertools.chain([first], tweets):
        display_name = display_name or tweet.display_name
        rows.append(timelines.row_of(tweet))
        characters += OVERHEAD + len(tweet.text)
        if most is not None and characters > most:
            raise UnreadableFile(f"{name or path.name} holds more tweets than can be given at once; give fewer.")
    return Read(author, display_name, first.signed, rows)


def hold(db: Db, found: Read, now: int, stop: Event, by: Asker, permission: bool, detail: str) -> Ingested:
    """Writes what was read into the store, until all is or `stop` is set."""
    author = found.author
    opt_outs.check(db, [author])
    grounds = grounds_of(found, permission, by)
    new = timelines.hold_rows(db, author, found.display_name, until(stop, iter(found.rows)), now, by.place)
    counts = timelines.counts(db, author, by.place)
    spelled = timelines.spelled(db, author, by.place)
    assert counts is not None
    assert spelled is not None
    consents.add(db, Consent(by.place, spelled, grounds, by.person, detail, now))
    return Ingested(spelled, counts, new)


def grounds_of(found: Read, permission: bool, by: Asker) -> str:
    """On what grounds the tweets may be held; raises NeedsPermission."""
    if found.signed:
        return consents.ARCHIVE
    if by.is_operator:
        return consents.OPERATOR
    if permission:
        return consents.PERMISSION
    raise NeedsPermission(handle=found.author)


def described(path: Path, name: str | None) -> str:
    """What was given, for whoever asks later on what grounds something is held."""
    size = f", {path.stat().st_size:,} bytes" if path.is_file() else ""
    return f"{name or path.name}{size}".encode(errors="replace").decode()


def until(stop: Event, items: Iterator[T]) -> Iterator[T]:
    """All of them: Stopped instead of the next one, or of their end, once `stop` is set."""
    for item in items:
        if stop.is_set():
            raise Stopped
        yield item
    if stop.is_set():
        raise Stopped
