"""Deliver: what stands in the outbox is said, once; where nobody can tell whether it was, it is looked up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from bot.domain import (
    LONGEST_SEND_MS,
    Capability,
    Duplicate,
    NotSent,
    Post,
    Poster,
    PostState,
    Refused,
    Unauthorized,
)
from bot.errors import DatabaseBusy, DiskFull, MockingbirdError
from bot.store import claims, outbox
from bot.store.claims import Forbids, allows
from bot.store.database import Database, Db, Transaction
from bot.store.ledger import NO_LIMITS, Limits

log = logging.getLogger(__name__)

LONGEST_SEND_S = LONGEST_SEND_MS / 1000
SHORTEST_BACKOFF_MS = 5_000
LONGEST_BACKOFF_MS = 15 * 60_000
AT_ONCE = 8  # so many accounts may be spoken on at the same time
A_MOMENT_S = 1.0  # while a platform keeps us waiting, we look so often whether another account has something to say
LONGEST_REST_S = 30.0

T = TypeVar("T")
Now = Callable[[], int]


async def keep_delivering(
    database: Database,
    posters: Mapping[str, Poster],
    now: Now,
    limits: Callable[[], Limits],
    forbids: Forbids,
    wake: asyncio.Event,
) -> None:
    """Delivers until cancelled: whenever something is due, when `wake` is set, and at least every 30 s. Nobody else may
    deliver meanwhile."""
    failed = False
    while True:
        wake.clear()
        rest = LONGEST_REST_S
        try:
            if failed:  # what was under way then may not have been written down
                await database.run(lambda db: outbox.recover(db, now()))
            failed = False
            await deliver_due(database, posters, now, limits(), forbids)
            due = await database.run(lambda db: outbox.earliest(db, posters.keys()))
            rest = LONGEST_REST_S if due is None else min(max((due - now()) / 1000, 0.01), LONGEST_REST_S)
        except MockingbirdError as error:
            failed = True
            log.error("the outbox: %s", error)
        except Exception:
            failed = True
            log.exception("delivering has failed; it goes on")
        try:
            async with asyncio.timeout(rest):
                await wake.wait()
        except TimeoutError:
            pass


async def deliver_due(
    database: Database,
    posters: Mapping[str, Poster],
    now: Now,
    limits: Limits = NO_LIMITS,
    forbids: Forbids = allows,
) -> int:
    """Looks up what is unknown and sends what is due, one by one on each account and on several accounts at once;
    returns how many turned out to be posted, notices aside.

    Cancelled, it first waits for what is under way, at most 30 s; cancelled again, it leaves a post that is being sent
    as SENDING, which the next start reads as unknown.
    """
    capabilities = {platform: poster.capability for platform, poster in posters.items()}
    under_way: set[asyncio.Task[Post]] = set()
    posted = 0
    try:
        while True:
            taken = None
            if len(under_way) < AT_ONCE:
                taken = await take_next(database, capabilities, now, limits, forbids)
            if taken is not None:
                under_way.add(asyncio.create_task(settle(database, posters[taken.platform], taken, now)))
            elif under_way:
                moment = asyncio.wait(under_way, timeout=A_MOMENT_S, return_when=asyncio.FIRST_COMPLETED)
                done, under_way = await moment
                settled = [task.result() for task in done]
                posted += sum(post.state is PostState.POSTED and post.kind != "notice" for post in settled)
            else:
                return posted
    finally:
        if under_way:
            try:
                await asyncio.wait(under_way, timeout=LONGEST_SEND_S)
            finally:
                for task in under_way:
                    task.cancel()


async def take_next(
    database: Database, capabilities: Mapping[str, Capability], now: Now, limits: Limits, forbids: Forbids
) -> Post | None:
    """What is to be looked up or sent next, claimed; what is too late is given up. If we are cancelled in this moment,
    what was claimed is put back: nothing of it was sent."""

    def transaction(db: Db) -> Post | None:
        moment = now()
        for post in outbox.expire(db, moment):
            log.warning("%s was not said in time and is %s now", post.cause_key, post.state)
        looked = claims.look(db, capabilities, moment, limits, forbids)
        return looked or claims.claim(db, capabilities, moment, limits, forbids)

    taking = asyncio.ensure_future(database.run(transaction))
    try:
        return await asyncio.shield(taking)
    except asyncio.CancelledError:
        try:
            taken = await taking
            if taken is not None and taken.state is PostState.SENDING:
                reason = "the bot stopped before it was sent"
                await database.run(lambda db: outbox.not_sent(db, taken.id, reason, now(), now()))
        except Exception:  # raised in place of the cancellation, it would keep the bot from stopping
            log.exception("what was being claimed could not be put back; the next start looks it up")
        raise


async def settle(database: Database, poster: Poster, post: Post, now: Now) -> Post:
    """Sends what was claimed, looks up what is unknown."""
    act = say if post.state is PostState.SENDING else look_up
    return await act(database, poster, post, now)


async def say(database: Database, poster: Poster, post: Post, now: Now, longest_s: float = LONGEST_SEND_S) -> Post:
    """Sends a claimed post once and records what came of it. Only what surely went out, surely did not, or was
    refused for good counts as such; everything else, our own mistakes too, is unknown."""
    try:
        async with asyncio.timeout(longest_s):
            remote_id = await poster.send(post)
        if not isinstance(remote_id, str) or not remote_id:
            raise ValueError(f"the platform gave no id but {remote_id!r}")
    except NotSent as error:
        reason, at, until = str(error), now(), error.retry_at
        wait = backoff_ms(post.attempts) if until is None else max(until - at, SHORTEST_BACKOFF_MS)
        return await record(database, lambda db: outbox.not_sent(db, post.id, reason, at + wait, at, until))
    except Refused as error:
        reason = str(error) or "refused"
        return await record(database, lambda db: outbox.reject(db, post.id, reason, now()))
    except Unauthorized as error:
        reason = str(error) or "the platform refuses its credentials"
        return await record(database, lambda db: outbox.unauthorized(db, post.id, reason, now()))
    except Duplicate as error:
        reason = str(error) or outbox.REFUSED_AS_DUPLICATE
        return await record(database, lambda db: outbox.unknown(db, post.id, reason, now(), duplicate=True))
    except (Exception, asyncio.CancelledError) as error:
        log.warning("whether %s was posted is unknown", post.cause_key, exc_info=error)
        reason = said_by(error)
        settled = await record(database, lambda db: outbox.unknown(db, post.id, reason, now()))
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        return settled
    return await record(database, lambda db: outbox.posted(db, post.id, remote_id, now()))


async def look_up(database: Database, poster: Poster, post: Post, now: Now, longest_s: float = LONGEST_SEND_S) -> Post:
    """Looks once for an unknown post, and records what that means."""
    looked_at = now()
    try:
        async with asyncio.timeout(longest_s):
            seen = await poster.find(post)
    except Exception as error:
        reason = said_by(error)
        if isinstance(error, Unauthorized):
            await record(database, lambda db: outbox.pause_account(db, post.platform, post.account, reason, now()))
        return await record(database, lambda db: claims.unreadable(db, post.id, reason, now()))
    capability = poster.capability
    return await record(database, lambda db: claims.found(db, post.id, seen, capability, looked_at, now()))


async def record(database: Database, change: Transaction[T], retry_s: float = 5.0) -> T:
    """Writes down what the platform said, however long it takes until the disk has room for it and no other program
    holds the database: forgotten, it would have to be looked up."""
    while True:
        try:
            return await database.run(change)
        except (DiskFull, DatabaseBusy) as error:
            log.error("%s", error)
            await asyncio.sleep(retry_s)


def backoff_ms(attempts: int) -> int:
    """How long to wait after this many attempts that surely did not go out: 5 s, 10 s, 20 s, ... 15 min."""
    return int(min(SHORTEST_BACKOFF_MS * 2 ** min(attempts - 1, 20), LONGEST_BACKOFF_MS))


def said_by(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
