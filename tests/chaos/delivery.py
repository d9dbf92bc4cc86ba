"""Random sequences of posts, faults and kills: a scripted platform, real sockets, a clock that need not wait."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from bot.store.database import Database
from tests.chaos import owner, script
from tests.chaos.mortal import Died, Life, MortalDatabase, MortalPoster
from tests.chaos.oracle import ENDED, Findings, Row, is_told_of, judge, obstinate, over_limit, rows
from tests.chaos.scenarios import Asked, Outcome, scenario, scratch
from tests.servers.platform import Accepted, Platform, World
from tests.servers.poster import HttpPoster

AT_ONCE = 8  # sequences in one process
MOST_RINGS = 2_000  # of one sequence; whatever has not ended then never will

SOON_MS = 15 * script.MINUTE

MakePoster = Callable[..., HttpPoster]
MakeSequence = Callable[[str], script.Sequence]


@dataclass
class Total:
    """What came of many sequences."""

    runs: int = 0
    findings: Findings = field(default_factory=Findings)
    states: Counter[str] = field(default_factory=Counter)
    posts: Counter[str] = field(default_factory=Counter)  # by the kind of platform
    alone: Counter[str] = field(default_factory=Counter)  # of these, how many ended without a decision of the owner
    soon: int = 0  # of these, how many within a quarter of an hour
    parked: int = 0  # that were left to the owner, who was told of each once
    kills: int = 0
    requests: int = 0

    def add(self, other: Total) -> None:
        self.runs += other.runs
        self.findings.add(other.findings)
        self.states += other.states
        self.posts += other.posts
        self.alone += other.alone
        self.soon += other.soon
        self.parked += other.parked
        self.kills += other.kills
        self.requests += other.requests


@scenario("delivery")
def delivery(asked: Asked) -> Outcome:
    """Posts and threads, random faults and random kills, by platforms of all kinds."""
    total = in_processes(asked.seed, 100 if asked.quick else 1_000, asked.processes)
    states = ", ".join(f"{count} {state}" for state, count in total.states.most_common())
    alone = ", ".join(f"{kind} {total.alone[kind] / count:.1%}" for kind, count in sorted(total.posts.items()))
    return Outcome(
        criterion="no duplicate, no silent loss, and what the bot believes equals what the platform accepted",
        figure=f"{total.posts.total()} posts ({states}) by {total.requests} requests and {total.kills} ends "
        f"of the bot; settled without the owner, by what the platform can tell: {alone}",
        runs=total.runs,
        duplicates=total.findings.duplicates,
        silent_losses=total.findings.silent_losses,
        wrong=tuple(total.findings.lies),
    )


@scenario("settling")
def settling(asked: Asked) -> Outcome:
    """One unclear answer, where the timeline can be read and where it cannot."""
    total = in_processes(asked.seed, 60 if asked.quick else 400, asked.processes, script.one_unclear)
    legible, other = total.posts["searchable"], total.posts["nothing legible"]
    wrong = list(total.findings.lies)
    if total.soon < 0.99 * legible:
        wrong.append(f"only {total.soon} of {legible} were settled in time")
    if total.parked < other:
        wrong.append(f"only {total.parked} of {other} were left to the owner with one notice")
    return Outcome(
        criterion="after an unclear answer at least 99% are settled within 15 minutes if the timeline can be read, "
        "else all are left to the owner, with one notice each",
        figure=f"{total.soon} of {legible} settled in time, {total.parked} of {other} left to the owner",
        runs=total.runs,
        duplicates=total.findings.duplicates,
        silent_losses=total.findings.silent_losses,
        wrong=tuple(wrong),
    )


def in_processes(seed: int, count: int, processes: int, make_sequence: MakeSequence = script.sequence) -> Total:
    """So many sequences, shared among processes."""
    total = Total()
    shares = [range(first, count, processes) for first in range(processes)]
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=be_quiet) as pool:
        for done in pool.map(partial(run_all, seed, make_sequence=make_sequence), shares):
            total.add(done)
    return total


def be_quiet() -> None:
    """What is logged of a thousand faults helps nobody."""
    logging.disable(logging.CRITICAL)


def run_all(
    seed: int,
    numbers: Sequence[int],
    make_poster: MakePoster = HttpPoster,
    make_sequence: MakeSequence = script.sequence,
) -> Total:
    """The sequences of these numbers, several at once, in this process."""
    total = Total()
    with scratch() as folder, Platform() as platform:
        template = Path(folder) / "template"
        Database(template).close()

        async def everything() -> None:
            waiting = iter(numbers)

            async def some() -> None:
                for number in waiting:
                    data = Path(folder) / str(number)
                    shutil.copytree(template, data)
                    total.add(await run_one(make_sequence(f"{seed}:{number}"), data, platform, make_poster))
                    shutil.rmtree(data)

            await asyncio.gather(*(some() for _ in range(AT_ONCE)))

        asyncio.run(everything())
    return total


async def run_one(
    asked: script.Sequence, data: Path, platform: Platform, make_poster: MakePoster = HttpPoster
) -> Total:
    """One sequence from the first wish until everything has ended, and what the oracle says."""
    world = World(asked.answers(), asked.looks(), asked.capability.key_ms, asked.duplicates, clock=script.START)
    for number, unit in enumerate(asked.units):
        if unit.elder:
            texts = asked.texts(number)
            world.accepted += [
                Accepted(f"e{number}{part}", unit.account, text, "", None, None, script.START - 24 * script.HOUR)
                for part, text in enumerate(texts)
            ]
    platform.worlds[data.name] = world
    try:
        run = _Run(asked, data, platform, world, make_poster)
        kills = 0
        for last_step, gently in zip(asked.lives, asked.gently, strict=True):
            kills += await run.live(Life(last_step, gently))
        world.at(run.now + script.HOUR)
    finally:
        del platform.worlds[data.name]
    return _judged(asked, rows(data), world, run.strange, kills)


def _judged(asked: script.Sequence, ended: Sequence[Row], world: World, strange: Sequence[str], kills: int) -> Total:
    findings = judge(ended, [post for post in world.record() if post.row])
    findings.lies += over_limit(world.asked(), asked.limits, asked.capability)
    findings.lies += obstinate(world.asked(), ended)
    findings.lies += strange
    findings.lies = [f"sequence {asked.seed} ({asked.kind}): {lie}" for lie in findings.lies]
    posts = [row for row in ended if row.kind != "notice"]
    alone = [row for row in posts if row.state in ENDED and "review" not in row.states]
    kind = "nothing legible" if asked.unreadable and asked.capability.searchable else asked.kind
    return Total(
        runs=1,
        findings=findings,
        states=Counter(row.state for row in posts),
        posts=Counter({kind: len(posts)}),
        alone=Counter({kind: len(alone)}),
        soon=sum(row.changed_at <= script.START + SOON_MS for row in alone),
        parked=sum(row.states.count("review") == is_told_of(row, ended) == 1 for row in posts),
        kills=kills,
        requests=len(world.asked()),
    )


class _Run:
    """One data directory through all lives of its bot."""

    def __init__(
        self, asked: script.Sequence, data: Path, platform: Platform, world: World, make_poster: MakePoster
    ) -> None:
        self.asked = asked
        self.data = data
        self.platform = platform
        self.world = world
        self.make_poster = make_poster
        self.rng = random.Random(f"{asked.seed} run")
        self.now = script.START
        self.strange: list[str] = []

    async def live(self, life: Life) -> bool:
        """One life: from the opening of the database until nothing is left to do, or until it is killed."""
        async with AsyncExitStack() as stack:
            database = await asyncio.to_thread(MortalDatabase, self.data, life)
            stack.push_async_callback(asyncio.to_thread, database.close)
            poster = await stack.enter_async_context(
                self.make_poster(owner.PLATFORM, self.asked.capability, self._where, lambda: self.now)
            )
            bot = owner.Bot(database, MortalPoster(poster, life), lambda: self.now, self.asked)
            try:
                await bot.start()
                for _ in range(MOST_RINGS):
                    due = await life.until_asked(bot.ring())
                    if due is None or (self.asked.meddles and self.rng.random() < 0.02):
                        await self._wait(2 * script.LATE_MS)  # the owner decides when nothing can change any more
                        if not await bot.decide(self.world) and not await bot.is_open():
                            return False
                    if due is not None:
                        await self._wait(max(0, due - self.now))
                    await self._wait(self.rng.randrange(1, self.asked.pace))
            except Died:
                await self._wait(self.rng.choice((100, 5_000, 60_000, 3 * script.MINUTE, script.HOUR)))
                return True
        self.strange.append(f"there was no end to it after {MOST_RINGS} ringings")
        return False

    async def _wait(self, duration_ms: int) -> None:
        """Time passes; what is on its way to the platform arrives before that."""
        await self.platform.read_all()
        self.now += duration_ms
        self.world.at(self.now)

    def _where(self) -> str:
        """The platform, or now and then a port at which nobody listens."""
        if self.rng.random() < self.asked.faults / 10:
            return "http://127.0.0.1:9"
        return self.platform.url(self.data.name)
