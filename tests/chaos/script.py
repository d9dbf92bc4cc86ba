"""What a random sequence consists of: a kind of platform, what is posted there, and what goes wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from bot.domain import Capability
from bot.store.ledger import Limits
from tests.servers.platform import Answer, Look, Says

START = 1_800_000_000_000  # when everything becomes due
MINUTE = 60_000
HOUR = 60 * MINUTE
PRICES = {"post_micros": 15_000, "read_count": 10, "read_micros": 10_000}
KINDS = {
    "key": Capability(key_ms=3 * MINUTE, quiet_ms=MINUTE),
    "searchable": Capability(searchable=True, quiet_ms=10 * MINUTE, looks=2, **PRICES),
    "key and searchable": Capability(key_ms=3 * MINUTE, searchable=True, quiet_ms=MINUTE, looks=2),
    "neither": Capability(),
}
LATE_MS = 10 * MINUTE  # how late a post may appear of which the platform has told nobody
# The ways in which an accepted post, or one that is not accepted, may look to whoever waits for the answer.
UNCLEAR: tuple[Says, ...] = ("reset", "503 json", "503 html", "empty", "truncated", "no id", "hang", "closed")
LOST: tuple[Says, ...] = ("reset", "503 json", "503 html", "hang", "closed")


@dataclass(frozen=True)
class Unit:
    """A post, or a thread of several, on one account. `draft`: it waits for approval; `elder`: somebody has said the
    same there long ago."""

    account: str
    parts: int
    draft: bool
    elder: bool


@dataclass(frozen=True)
class Sequence:
    """One random sequence; everything in it follows from its seed."""

    seed: str
    kind: str
    duplicates: bool  # does the platform take the same text twice
    faults: float  # the share of requests that go wrong
    unreadable: bool  # the timeline can never be read
    units: tuple[Unit, ...]
    limits: Limits
    stay_ms: int  # so long after it is due a post may still be said
    lives: tuple[int | None, ...]  # the step at which each life of the bot ends; the last one is not ended
    gently: tuple[bool, ...]  # by being told to stop, instead of by force
    meddles: bool  # the owner does something now and then without being asked
    pace: int  # up to so many ms pass besides what the bot waits for

    def texts(self, number: int) -> list[str]:
        """What the parts of a unit say."""
        return [f"{self.seed} {number} part {part}: all’s <well> & “fine”" for part in range(self.units[number].parts)]

    @property
    def capability(self) -> Capability:
        return KINDS[self.kind]

    def answers(self) -> Callable[[str, int], Answer]:
        def answer(account: str, number: int) -> Answer:
            rng = random.Random(f"{self.seed} post {account} {number}")
            return self._fault(rng) if rng.random() < self.faults else Answer()

        return answer

    def looks(self) -> Callable[[str, int], Look]:
        def look(account: str, number: int) -> Look:
            rng = random.Random(f"{self.seed} read {account} {number}")
            if self.unreadable:
                return Look(rng.choice(("503", "reset", "nonsense")))
            if rng.random() >= self.faults:
                return Look()
            # How late a post may be applied and how late it is shown are together less than the quiet time; but where
            # the same text is refused a second time they may be as long as they like.
            lag = (
                rng.randrange(max(1, self.capability.quiet_ms // 2)) if self.duplicates else rng.choice((None, LATE_MS))
            )
            return rng.choice((Look("503"), Look("reset"), Look("hang"), Look("nonsense"), Look("ok", lag)))

        return look

    def _fault(self, rng: random.Random) -> Answer:
        what = rng.choices(("accepted", "later", "lost", "refused"), (5, 3, 3, 2))[0]
        if what == "accepted":
            return Answer(rng.choice(UNCLEAR))
        if what == "later":
            return Answer(rng.choice(LOST), "later", rng.randrange(500, self._latest_ms()))
        if what == "lost":
            return Answer(rng.choice(LOST), "never")
        says: Says = rng.choices(("429", "400", "403", "401"), (6, 1, 1, 1))[0]
        return Answer(says, "never", reset_s=rng.choice((None, 30, 900)) if says == "429" else None)

    def _latest_ms(self) -> int:
        """How late a request may still be applied: no fence holds against one that comes later."""
        if not self.duplicates or self.kind == "neither":
            return LATE_MS
        return self.capability.quiet_ms // 2 if self.capability.searchable else self.capability.quiet_ms


def sequence(seed: str) -> Sequence:
    rng = random.Random(seed)
    accounts = ["one", "two"][: rng.choice((1, 1, 2))]
    units: list[Unit] = []
    left = rng.randint(1, 4)
    while left:
        parts = min(left, rng.choice((1, 1, 2, 3)))
        units.append(Unit(rng.choice(accounts), parts, draft=rng.random() < 0.2, elder=rng.random() < 0.05))
        left -= parts
    kind = rng.choice(tuple(KINDS))
    lives = (*(rng.randint(1, rng.choice((10, 40, 120))) for _ in range(rng.choice((0, 0, 1, 2, 3)))), None)
    return Sequence(
        seed,
        kind,
        duplicates=rng.random() < 0.5,
        faults=rng.choice((0.1, 0.3, 0.6, 0.9)),
        unreadable=rng.random() < 0.1,
        units=tuple(units),
        limits=_limits(rng),
        stay_ms=rng.choice((HOUR // 2, 2 * HOUR, 24 * HOUR)),
        lives=lives,
        meddles=True,
        gently=tuple(rng.random() < 0.3 for _ in lives),
        pace=rng.choice((1_000, 1_000, 10_000, 5 * MINUTE)),
    )


class OneUnclear(Sequence):
    """One post, of which the first answer is unclear; otherwise nothing goes wrong, but that the timeline may be
    unreadable."""

    def answers(self) -> Callable[[str, int], Answer]:
        rng = random.Random(f"{self.seed} first")
        later = Answer(rng.choice(LOST), "later", rng.randrange(500, 9 * MINUTE))
        first = rng.choice((Answer(rng.choice(UNCLEAR)), later, Answer(rng.choice(LOST), "never")))
        return lambda account, number: Answer() if number else first

    def looks(self) -> Callable[[str, int], Look]:
        return lambda account, number: Look("503" if self.unreadable else "ok")


def one_unclear(seed: str) -> Sequence:
    rng = random.Random(seed)
    return OneUnclear(
        seed,
        "searchable",
        duplicates=rng.random() < 0.5,
        faults=0.0,
        unreadable=rng.random() < 0.5,
        units=(Unit("one", 1, draft=False, elder=False),),
        limits=Limits(),
        stay_ms=2 * HOUR,
        lives=(None,),
        gently=(False,),
        meddles=False,
        pace=1_000,
    )


def _limits(rng: random.Random) -> Limits:
    """Mostly none; else one that is soon reached."""
    return rng.choice(
        (
            *[Limits()] * 6,
            Limits(posts_per_hour=rng.randint(1, 3)),
            Limits(posts_per_day=rng.randint(1, 5)),
            Limits(micros_per_day=rng.randint(1, 10) * 15_000),
            Limits(reads_per_month=rng.randint(1, 8) * 10),
        )
    )
