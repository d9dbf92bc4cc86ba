"""Waiters: who waits for which request, and hears what happens meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.flows.standing import Standing

log = logging.getLogger(__name__)

Hear = Callable[[Mapping[str, Any]], None]
"""Is given what happens: position and eta_seconds; of a training also step, steps, loss, heldout_loss, or a warning."""


@dataclass(eq=False)
class Waiter:
    """Somebody who waits; `changed` is set when the request may have ended."""

    request_id: int
    hear: Hear
    job_id: int | None = None
    position: int | None = None  # as last told
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, event: Mapping[str, Any]) -> None:
        try:
            self.hear(event)
        except Exception:
            log.exception("somebody who waits for request %s could not be told", self.request_id)


class Waiters:
    """All of them, and what those who come later have missed of the trainings that are being done."""

    def __init__(self) -> None:
        self._waiting: list[Waiter] = []
        self._news: dict[int, list[Mapping[str, Any]]] = {}  # by job

    @contextlib.contextmanager
    def waiting(self, request_id: int, hear: Hear) -> Iterator[Waiter]:
        waiter = Waiter(request_id, hear)
        self._waiting.append(waiter)
        try:
            yield waiter
        finally:
            self._waiting.remove(waiter)

    def follow(self, waiter: Waiter, job_id: int | None) -> None:
        """From now on it hears of this training, and at once what was told before, if it does not follow it already."""
        if job_id is not None and waiter.job_id != job_id:
            waiter.job_id = job_id
            for event in self._news.get(job_id, ()):
                waiter.tell(event)

    def tell(self, job_id: int, event: Mapping[str, Any]) -> None:
        """What happens in a training."""
        news = self._news.setdefault(job_id, [])
        if "step" in event:
            event = {**event, "position": 0}
            news[:] = [old for old in news if "step" not in old]
        news.append(event)
        for waiter in self._waiting:
            if waiter.job_id == job_id:
                waiter.tell(event)

    def place(self, found: Collection[Standing]) -> None:
        """Tells those whose position has changed."""
        by_request = {standing.request.id: standing for standing in found}
        for waiter in self._waiting:
            standing = by_request.get(waiter.request_id)
            if standing is not None and waiter.position != standing.ahead:
                waiter.position = standing.ahead
                waiter.tell({"position": standing.ahead, "eta_seconds": standing.eta_seconds})

    def wake(self, ended: Collection[int]) -> None:
        """Those who wait for these requests look again."""
        for waiter in self._waiting:
            if waiter.request_id in ended:
                waiter.changed.set()

    def wake_all(self) -> None:
        self.wake([waiter.request_id for waiter in self._waiting])

    def forget(self, job_id: int) -> None:
        """The training is not being done any more."""
        self._news.pop(job_id, None)

    @property
    def eta(self) -> dict[int, float]:
        """The seconds left of each training that is being done and has told of its progress."""
        return {
            job_id: event["eta_seconds"]
            for job_id, news in self._news.items()
            for event in news
            if event.get("eta_seconds")
        }

    def __bool__(self) -> bool:
        return bool(self._waiting)
