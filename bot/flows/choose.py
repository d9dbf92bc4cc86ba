"""Choose: of several texts that a persona has written the most characteristic one, or the best answer."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from bot.domain import Candidate
from bot.flows.together import together
from bot.pool.protocol import GenerationFailed, Pool, ScoreWish, Wish
from models.wire import Item

AT_A_TIME = 8  # texts of one request: the worker writes nothing while it reads them


def seeds_of(seed: int, count: int) -> list[int]:
    """The seeds of the `count` candidates for one text: its own seed, then ones that follow from it alone."""
    return [seed, *(_mixed(seed, number) for number in range(1, count))]


def _mixed(seed: int, number: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:8], "big") >> 1


def chosen(candidates: Iterable[Candidate]) -> Candidate:
    """The accepted one of the highest rank; the first one where ranks are equal or missing, or none is accepted."""
    return max(candidates, key=lambda found: (found.verdict.accepted, -math.inf if found.rank is None else found.rank))


async def ranks(pool: Pool, wish: Wish, base: Path | None, texts: Sequence[str], at_once: int) -> list[float | None]:
    """How characteristic texts are that came of `wish` (of whatever seed), in nats; None where that cannot be said.

    A text by itself: how much more likely than `base` the persona finds it, or what anybody says would win, and how
    likely it finds it, or rare words would; both per token, or long ones would. A reply: how much more likely the
    message makes it (pointwise mutual information), or what fits any message would win; for `base`, if it is there,
    because a persona has unlearnt some of what it takes to answer.
    """
    items = [Item(text, wish.message) for text in texts]
    reader, checkpoint = (base, None) if base and wish.message is not None else (wish.base, wish.checkpoint)
    within = _wishes(reader, checkpoint, items, wish.person)
    if wish.message is not None:
        without = _wishes(reader, checkpoint, [Item(text, "") for text in texts], wish.person)
    elif base is not None:
        without = _wishes(base, None, items, wish.person)
    else:
        return [None] * len(texts)
    try:
        scored = await together(pool.score, [*within, *without], at_once)
    except GenerationFailed as error:
        if error.kind != "base" or wish.message is not None:
            raise
        return [None] * len(texts)  # a persona of its own weights: it can speak without its base
    nats = [value for answer in scored for value in answer.nats]
    tokens = [count for answer in scored for count in answer.tokens]
    found: list[float | None] = []
    for with_it, without_it, count in zip(nats[: len(texts)], nats[len(texts) :], tokens[: len(texts)], strict=True):
        rank = without_it - with_it if wish.message is not None else (without_it - 2 * with_it) / count
        found.append(rank if math.isfinite(rank) else None)
    return found


def _wishes(base: Path, checkpoint: Path | None, items: Sequence[Item], person: str) -> list[ScoreWish]:
    starts = range(0, len(items), AT_A_TIME)
    return [ScoreWish(base, checkpoint, tuple(items[start : start + AT_A_TIME]), person) for start in starts]
