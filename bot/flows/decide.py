"""Decide: another candidate for a draft, made if none is left. What else people decide is in bot/store/decisions.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from bot.domain import Post
from bot.errors import NoOtherCandidate
from bot.store import decisions, outbox
from bot.store.database import Database
from bot.store.decisions import Judge

Make = Callable[[Post], Awaitable[Sequence[Mapping[str, Any]]]]
"""(post) -> further candidates for it, the best first: text, seed, rank, ..."""


async def replace(database: Database, name: str, judge: Judge, make: Make, now: Callable[[], int]) -> Post:
    """Puts the next candidate in place of a draft's text; if none is left, further ones are made. Raises
    NoOtherCandidate if none of these may be said, and what `make` and decisions.replace raise."""
    replaced = await database.run(lambda db: decisions.replace(db, name, judge, now()))
    if replaced is not None:
        return replaced
    post = await database.run(lambda db: outbox.find(db, name))
    further = tuple(await make(post))
    replaced = await database.run(lambda db: decisions.replace(db, post.id, judge, now(), further))
    if replaced is None:
        raise NoOtherCandidate(post=post.id)
    return replaced
