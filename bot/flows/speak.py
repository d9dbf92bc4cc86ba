"""Speak: a text that the bot says by itself, with all that explains it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot import clock
from bot.domain import SHELL, Candidate, Persona, Post, Schedule
from bot.errors import NothingAcceptable
from bot.flows.fire import Spoken
from bot.flows.freshness import Freshness
from bot.flows.imitate import Imitation, Imitator
from bot.moderation import Repeats
from bot.store import personas
from models.sampling import Sampling

FURTHER = 4  # candidates that are made for a draft when none is left


@dataclass
class Speaker:
    """Imitates for schedules and posts. By a given seed, not by a text that is ready: it follows from the cause, so
    that the text is the same whenever it is made, and nobody waits for it."""

    imitator: Imitator
    freshness: Freshness
    sampling: Callable[[], Sampling]

    async def on_schedule(self, persona: Persona, schedule: Schedule, seed: int) -> Spoken:
        """What a schedule says next; it repeats nothing that its account said lately. Raises UnknownPersona, too,
        if its place may no longer use the persona."""
        personas.check_place(persona, schedule.place)
        recent = await self.freshness.of(schedule.platform, schedule.account, clock.now_ms())
        return await self.speak(persona, schedule.prompt, seed, None, recent, schedule.place)

    async def speak(
        self, persona: Persona, prompt: str, seed: int, message: str | None, recent: Repeats, place: str = SHELL
    ) -> Spoken:
        """One acceptable text and its rivals; NothingAcceptable if moderation refuses all."""
        sampling = self.sampling()
        done = await self.imitator.imitate(persona.name, prompt, 1, seed, sampling, message, recent, place=place)
        if not done.accepted:
            raise NothingAcceptable(persona=persona.slug, reasons=done.reasons)
        chosen = done.accepted[0]
        made_by = {
            **self._made_by(done, sampling),
            "seed_used": chosen.seed,
            "rank": chosen.rank,
            "refused": [list(other.verdict.reasons) for other in done.others if not other.verdict.accepted],
        }
        return Spoken(chosen.text, made_by, alternatives(other for other in done.others if other.verdict.accepted))

    async def further(self, post: Post) -> Sequence[Mapping[str, Any]]:
        """Other candidates for a draft, the best first."""
        recent = await self.freshness.of(post.platform, post.account, clock.now_ms())
        cause, sampling = post.cause, self.sampling()
        seed = self.imitator.draw()
        done = await self.imitator.imitate(
            *(cause["persona"], cause.get("prompt") or "", FURTHER, seed, sampling, cause.get("message"), recent),
            place=post.place,
        )
        return [{**found, **self._made_by(done, sampling)} for found in alternatives(done.accepted)]

    def _made_by(self, done: Imitation, sampling: Sampling) -> dict[str, Any]:
        return {"checkpoint": done.checkpoint, "sampling": vars(sampling), "candidates": self.imitator.choices}


def alternatives(candidates: Iterable[Candidate]) -> list[dict[str, Any]]:
    """As the outbox keeps them, the most characteristic first."""
    ordered = sorted(candidates, key=lambda found: -math.inf if found.rank is None else found.rank, reverse=True)
    return [{"text": found.text, "seed": found.seed, "rank": found.rank} for found in ordered]
