"""Deliver: what stands in the outbox is said, once; where nobody can tell whether it was, it is looked up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from bot.domain import NotSent, Post, Poster, PostState, Refused
from bot.errors import DiskFull
from bot.store import outbox
from bot.store.database import Database, Transaction

log = logging.getLogger(__name__)

LONGEST_SEND_S = 30.0
MOST_ATTEMPTS = 3  # after which an absent post is for people to decide
SHORTEST_BACKOFF_MS = 5_000
LONGEST_BACKOFF_MS = 15 * 60_000
LOOKS_MS = (20_000, 60_000, 180_000, 600_000)  # from one look that failed to the next; the last one repeats
MOST_LOOKS = 10  # about an hour and a quarter

Now = Callable[[], int]


async def deliver_due(database: Database, posters: Mapping[str, Poster], now: Now) -> int:
    """Looks up what is unknown, then sends what is due, one by one; returns how many turned out to be posted.

    Cancelled, it first waits for the send under way, at most 30 s; cancelled again, it leaves that post as SENDING,
    which the next start reads as unknown.
    """
    for post in await database.run(lambda db: outbox.expire(db, now())):
        log.warning("%s was not said in time and is %s now", post.cause_key, post.state)
    posted = 0
    for post, looks in await database.run(lambda db: outbox.unknowns(db, posters.keys(), now())):
        settled = await finish_first(look_up(database, posters[post.platform], post, looks, now))
        posted += settled.state is PostState.POSTED
    while (claimed := await database.run(lambda db: outbox.claim(db, posters.keys(), now()))) is not None:
        settled = await finish_first(say(database, posters[claimed.platform], claimed, now))
        posted += settled.state is PostState.POSTED
    return posted


async def say(database: Database, poster: Poster, post: Post, now: Now, longest_s: float = LONGEST_SEND_S) -> Post:
    """Sends a claimed post once and records what came of it. Only what surely went out, surely did not, or was
    refused for good counts as such; everything else, our own mistakes too, is unknown."""
    try:
        async with asyncio.timeout(longest_s):
            remote_id = await poster.send(post)
    except NotSent as error:
        reason, wait = str(error) or "not sent", backoff_ms(post.attempts)
        return await record(database, lambda db: outbox.requeue(db, post.id, reason, now() + wait, now()))
    except Refused as error:
        reason = str(error) or "refused"
        return await record(database, lambda db: outbox.reject(db, post.id, reason, now()))
    except (Exception, asyncio.CancelledError) as error:
        log.warning("whether %s was posted is unknown", post.cause_key, exc_info=error)
        reason = said_by(error)
        settled = await record(database, lambda db: outbox.unknown(db, post.id, reason, now()))
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        return settled
    return await record(database, lambda db: outbox.posted(db, post.id, remote_id, now()))


async def look_up(
    database: Database, poster: Poster, post: Post, looks: int, now: Now, longest_s: float = LONGEST_SEND_S
) -> Post:
    """Settles an unknown post, if the platform lets us look: it is posted, queued again, or for people to decide."""
    try:
        async with asyncio.timeout(longest_s):
            found = await poster.find(post)
    except Exception as error:
        reason = f"it could not be looked up: {said_by(error)}"
        if looks + 1 >= MOST_LOOKS:
            return await record(database, lambda db: outbox.review(db, post.id, reason, now()))
        wait = LOOKS_MS[min(looks, len(LOOKS_MS) - 1)]
        return await record(database, lambda db: outbox.looked(db, post.id, reason, now() + wait, now()))
    if found is not None:
        remote_id = found
        return await record(database, lambda db: outbox.posted(db, post.id, remote_id, now()))
    if now() >= post.expires_at:
        return await record(database, lambda db: outbox.review(db, post.id, "it did not arrive in time", now()))
    if post.attempts >= MOST_ATTEMPTS:
        reason = f"it did not arrive in {post.attempts} attempts"
        return await record(database, lambda db: outbox.review(db, post.id, reason, now()))
    return await record(database, lambda db: outbox.requeue(db, post.id, "it did not arrive", now(), now()))


async def record(database: Database, change: Transaction[Post], retry_s: float = 5.0) -> Post:
    """Writes down what the platform said, however long it takes until the disk has room for it: forgotten, it would
    have to be looked up after the next start."""
    while True:
        try:
            return await database.run(change)
        except DiskFull as error:
            log.error("%s", error)
            await asyncio.sleep(retry_s)


async def finish_first(work: Coroutine[Any, Any, Post]) -> Post:
    """Runs `work` to its end even if we are cancelled meanwhile: half a send is worse than a late stop."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LONGEST_SEND_S)
        task.cancel()
        raise


def backoff_ms(attempts: int) -> int:
    """How long to wait after this many attempts that surely did not go out: 5 s, 10 s, 20 s, ... 15 min."""
    return int(min(SHORTEST_BACKOFF_MS * 2 ** min(attempts - 1, 20), LONGEST_BACKOFF_MS))


def said_by(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
