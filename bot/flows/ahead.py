"""Ahead: while the machine has nothing else to do, texts are made that may be asked for next; each is given once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from bot.domain import Candidate
from bot.errors import MockingbirdError
from bot.moderation import Moderator
from bot.pool.lease import Lease
from models.sampling import Sampling

log = logging.getLogger(__name__)

QUIET = 1.0  # seconds in which nothing was in flight and nobody trained, before anything is made
HALF_LIFE = 3600.0  # seconds after which an asking counts half
FORGOTTEN = 0.01  # what is asked for so rarely is not remembered
REMEMBERED = 1_000  # how many wishes are counted; there are as many as there are sampling settings


@dataclass(frozen=True)
class Wanted:
    """What can be made ahead: a text of a persona (its name) without a prompt, by whatever seed."""

    persona: str
    sampling: Sampling


@dataclass(frozen=True)
class Maker:
    """All that decides which text a seed of a `Wanted` gives; the moderator is the very one, with its block list."""

    run_id: int
    choices: int
    moderator: Moderator


Made = tuple[Maker, Sequence[Candidate]]
Make = Callable[[Wanted], Coroutine[Any, Any, Made]]
"""Makes one text or, where moderation refuses all, none; raises MockingbirdError."""


@dataclass
class Kept:
    """How often something was asked for lately, and what is ready of it."""

    asked: float = 0.0  # as of `at`
    at: float = 0.0
    maker: Maker | None = None
    ready: deque[Candidate] = field(default_factory=deque)


class Ahead:
    """Keeps `texts` ready for each of the `personas` most asked for, in memory alone: a text that were on disk when the
    bot dies might have been given already."""

    def __init__(self, texts: int, personas: int, now: Callable[[], float] = time.monotonic) -> None:
        self.texts, self.personas = texts, personas
        self._now = now
        self._kept: dict[Wanted, Kept] = {}
        self._change = asyncio.Event()
        self._making: asyncio.Task[Made] | None = None

    def take(self, wanted: Wanted, maker: Maker, n: int) -> list[Candidate]:
        """Up to `n` texts that this maker has made and nobody else is given; so it is known that they are asked for."""
        if not self.texts:
            return []
        kept = self._kept.setdefault(wanted, Kept())
        kept.asked, kept.at = self._lately(kept) + 1.0, self._now()
        if kept.maker != maker:
            kept.ready.clear()
        self._change.set()
        return [kept.ready.popleft() for _ in range(min(n, len(kept.ready)))]

    def drop(self, persona: str) -> None:
        """Another checkpoint speaks for the persona now: what is ready of it is made anew."""
        for wanted, kept in self._kept.items():
            if wanted.persona == persona:
                kept.ready.clear()
                self._change.set()

    def interrupt(self) -> None:
        """Somebody waits for the worker: what is being made is given up."""
        if self._making is not None:
            self._making.cancel()

    async def keep_ready(self, make: Make, lease: Lease) -> None:
        """Makes what is missing, one text at a time, whenever the machine is idle; never returns."""
        undisturbed = False
        while True:
            await lease.idle(0.0 if undisturbed else QUIET)
            self._change.clear()
            wanted = self._missing()
            if wanted is None:
                await self._change.wait()
                undisturbed = False
            else:
                undisturbed = await self._make(make, wanted)

    async def _make(self, make: Make, wanted: Wanted) -> bool:
        """Whether it could be ended."""
        self._making = making = asyncio.create_task(make(wanted))
        try:
            await asyncio.wait([making])
        finally:
            self._making = None
            making.cancel()
            await asyncio.wait([making])
        if making.cancelled():
            return False
        error = making.exception()
        if error is None and making.result()[1]:
            self._keep(wanted, *making.result())
            return True
        del self._kept[wanted]  # until it is asked for again: it would only fail or be refused again and again
        reason = "moderation refuses it" if error is None else error
        bug = error if error is not None and not isinstance(error, MockingbirdError) else None
        log.warning("nothing is made ahead for %s: %s", wanted.persona, reason, exc_info=bug)
        return True

    def _keep(self, wanted: Wanted, maker: Maker, made: Sequence[Candidate]) -> None:
        kept = self._kept[wanted]
        if kept.maker != maker:
            kept.maker = maker
            kept.ready.clear()
        kept.ready.extend(made)

    def _missing(self) -> Wanted | None:
        """Of those most asked for, the one of which the fewest are ready; the others' are dropped."""
        order = sorted(self._kept, key=lambda wanted: -self._lately(self._kept[wanted]))
        for wanted in order[self.personas :]:
            self._kept[wanted].ready.clear()
        for number, wanted in enumerate(order):
            if number >= REMEMBERED or self._lately(self._kept[wanted]) < FORGOTTEN:
                del self._kept[wanted]
        first = [wanted for wanted in order[: self.personas] if wanted in self._kept]
        fewest = min(first, key=lambda wanted: len(self._kept[wanted].ready), default=None)
        return fewest if fewest is not None and len(self._kept[fewest].ready) < self.texts else None

    def _lately(self, kept: Kept) -> float:
        return float(kept.asked * 0.5 ** ((self._now() - kept.at) / HALF_LIFE))
