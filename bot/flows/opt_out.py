"""Opt out: a person whom we leave alone, a handle that is not imitated, and the wish that one be forgotten."""

from __future__ import annotations

import hashlib

from bot.domain import Asker, PostState
from bot.errors import InvalidHandle, NotOptedOut
from bot.store import erase, opt_outs, outbox, timelines
from bot.store.database import Database, Db
from training.timeline import BadHandle, check_handle

DAY_MS = 86_400_000


async def leave(database: Database, person: str, now: int) -> bool:
    """From now on this person ("discord:ID") is nowhere answered, quoted or listened to; whether that is new."""

    def transaction(db: Db) -> bool:
        opt_outs.forget_said(db, person)
        return opt_outs.add(db, opt_outs.person(person), now)

    return await database.run(transaction)


async def come_back(database: Database, person: str) -> bool:
    """Takes it back; whether they had opted out."""
    return await database.run(lambda db: opt_outs.remove(db, opt_outs.person(person)))


async def refuse(database: Database, handle: str, now: int) -> tuple[bool, list[str]]:
    """From now on nobody imitates this handle anywhere; whether that is new, and the ids of the posts that waited and
    are cancelled for it. What is held stays until it is forgotten. Raises InvalidHandle."""
    name = checked(handle)

    def transaction(db: Db) -> tuple[bool, list[str]]:
        new = opt_outs.add(db, opt_outs.handle(name), now)
        found = [erase.held(db, place, name) for place in erase.places_of(db, name)]
        waiting = [post for held in found if held is not None for post in held.posts if post.state in erase.OPEN]
        for post in waiting:
            if outbox.state_of(db, post.id) in (PostState.DRAFT, PostState.QUEUED):  # else it went with another
                outbox.cancel(db, post.id, f"@{name} does not want to be imitated", now)
        return new, [post.id for post in waiting]

    return await database.run(transaction)


async def allow(database: Database, handle: str) -> str:
    """Takes it back; the handle. Raises NotOptedOut and InvalidHandle."""
    name = checked(handle)
    if not await database.run(lambda db: opt_outs.remove(db, opt_outs.handle(name))):
        raise NotOptedOut(who=f"@{name}")
    return name


async def wish(database: Database, handle: str, by: Asker, now: int) -> bool:
    """Tells the people of a place, once a day, that somebody wants them to forget a handle; whether anything is held of
    it there, else nobody is told. Raises InvalidHandle."""
    name = checked(handle)

    def transaction(db: Db) -> bool:
        spelled = timelines.spelled(db, name, by.place)
        if spelled is None:
            return False
        key = hashlib.sha256(f"{by.place} {name.lower()}".encode()).hexdigest()[:16]
        text = f"Somebody asks that @{spelled} be forgotten here, as a persona and all that was learned from."
        about = {"handle": spelled, "asked_by": by.person}
        outbox.notify(db, f"forget:{key}:{now // DAY_MS}", text, now, about, by.place)
        return True

    return await database.run(transaction)


def checked(handle: str) -> str:
    try:
        return check_handle(handle)
    except BadHandle as error:
        raise InvalidHandle(reason=str(error)) from error
