"""The real bot, killed (SIGKILL) at step n for every n, and what its next lives make of it."""

from __future__ import annotations

import asyncio
import itertools
import random
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from tests.chaos import wishes
from tests.chaos.life import ACCOUNT, Order
from tests.chaos.oracle import Findings, judge, rows
from tests.chaos.scenarios import Asked, Outcome, scenario, scratch
from tests.chaos.script import LOST, UNCLEAR
from tests.chaos.warp import kept
from tests.chaos.zygote import Zygote
from tests.servers.platform import Answer, Platform, World

KILLED = (-signal.SIGKILL, -signal.SIGALRM)
DOWN_MS = (100, 2_000, 60_000, 15 * 60_000)  # how long the bot is down until its next life
MOST_STEPS = 2_000
T = TypeVar("T")


@dataclass(frozen=True)
class End:
    """How a life ends: at a step, or after some seconds; with neither it comes to its own end."""

    step: int | None = None
    after_s: float | None = None


LIVES_ON = End()


@dataclass
class Total:
    """What came of many runs."""

    runs: int = 0
    lives: int = 0
    kills: int = 0
    steps: int = 0  # of a first life
    findings: Findings = field(default_factory=Findings)

    def add(self, other: Total) -> None:
        self.runs += other.runs
        self.lives += other.lives
        self.kills += other.kills
        self.steps = max(self.steps, other.steps)
        self.findings.add(other.findings)


def kills(wish: str, asked: Asked) -> Outcome:
    """A scenario whose bot dies at every step, and in every second run in its second life too; in every second run the
    platform's first answer is unclear."""
    total = run_all(wish, asked.seed, every=4 if asked.quick else 1, processes=asked.processes)
    return Outcome(
        criterion="killed at every step: no duplicate, no silent loss, the end equals the platform's record",
        figure=f"killed at {'every 4th' if asked.quick else 'each'} of {total.steps} steps, {total.lives} lives",
        runs=total.runs,
        duplicates=total.findings.duplicates,
        silent_losses=total.findings.silent_losses,
        wrong=tuple(total.findings.lies),
    )


def _register(wish: str) -> None:
    scenario(f"kill-{wish}")(lambda asked: kills(wish, asked))


for name in wishes.WISHES:
    _register(name)


@scenario("kill-any-time")
def kill_any_time(asked: Asked) -> Outcome:
    """Killed not at a step but at any moment, one to three times."""
    total = Total()
    count = 10 if asked.quick else 125
    for wish in wishes.WISHES:
        with _ready(wish, asked.processes) as work:

            def one(number: int, wish: str = wish, work: Work = work) -> Total:
                rng = random.Random(f"{asked.seed} {wish} any time {number}")
                ends = [End(after_s=rng.uniform(0.0, 0.12)) for _ in range(rng.randint(1, 3))]
                return work(lambda *place: run_one(wish, f"{wish}-at-{number}", [*ends, LIVES_ON], rng, *place))[0]

            for done in work.at_once(one, range(count)):
                total.add(done)
    return Outcome(
        criterion="killed at any moment: no duplicate, no silent loss, the end equals the platform's record",
        figure=f"{total.kills} kills, {total.lives} lives",
        runs=4 * count,
        duplicates=total.findings.duplicates,
        silent_losses=total.findings.silent_losses,
        wrong=tuple(total.findings.lies),
    )


def run_all(wish: str, seed: int, every: int = 1, processes: int = 2, again: bool = True, flaw: str = "") -> Total:
    """Kills at each `every`-th step, from a random one on, until lives come to their end unkilled; in every second run,
    if `again`, the next life is killed too, or the first answer of the platform is unclear."""
    first = random.Random(f"{seed} {wish}").randint(1, every)
    total = Total()
    with _ready(wish, processes) as work:

        def one(step: int) -> tuple[Total, bool]:
            rng = random.Random(f"{seed} {wish} {step}")
            second = [End(step=rng.randint(1, 40))] if again and rng.random() < 0.5 else []
            unclear = _unclear(rng) if again and rng.random() < 0.5 else Answer()
            ends = [End(step=step), *second, LIVES_ON]
            found, ended = work(
                lambda *place: run_one(wish, f"{wish}-{step}", ends, rng, *place, unclear=unclear, flaw=flaw)
            )
            found.runs, found.steps = (0, 0) if ended else (1, step)
            return found, ended

        for steps in _batches(iter(range(first, MOST_STEPS, every)), 4 * processes):
            results = list(work.at_once(one, steps))
            for done, _ in results:
                total.add(done)
            if all(ended for _, ended in results):
                return total
    raise RuntimeError(f"{wish} did not come to an end within {MOST_STEPS} steps")


def run_one(
    wish: str,
    name: str,
    ends: Sequence[End],
    rng: random.Random,
    folder: Path,
    platform: Platform,
    zygote: Zygote,
    unclear: Answer = Answer(),  # noqa: B008 (it is frozen)
    flaw: str = "",
) -> tuple[Total, bool]:
    """One run through lives that end so; and whether the first one came to its own end."""
    place = folder / name
    shutil.copytree(folder / "template", place / "data")
    world = platform.worlds[name] = World(lambda account, number: Answer() if number else unclear, clock=wishes.START)
    found = Total()
    now = wishes.START
    try:
        for end in ends:
            status = zygote.live(Order(str(place), wish, platform.url(name), now, end.step, end.after_s, flaw))
            asyncio.run(platform.read_all())  # what was on its way when the bot died arrives before the next life
            found.lives += 1
            if status == 0:
                break
            found.kills += 1
            if status not in KILLED:
                said = (place / "log").read_text("utf-8", "replace")[-2_000:]
                found.findings.lies.append(f"{name}: life {found.lives} ended with {status}: {said}")
                break
            now = kept(place / "clock", now) + rng.choice(DOWN_MS)
        world.at(now + wishes.HOUR)
        found.findings.add(_judged(wish, place, name, world))
    finally:
        del platform.worlds[name]
    shutil.rmtree(place)
    return found, not found.kills


@dataclass
class Work:
    """Where runs are done, as many at once as there are zygotes."""

    folder: Path
    platform: Platform
    free: SimpleQueue[Zygote]
    threads: ThreadPoolExecutor

    def __call__(self, run: Callable[[Path, Platform, Zygote], tuple[Total, bool]]) -> tuple[Total, bool]:
        zygote = self.free.get()
        try:
            return run(self.folder, self.platform, zygote)
        finally:
            self.free.put(zygote)

    def at_once(self, one: Callable[[int], T], numbers: Iterable[int]) -> Iterator[T]:
        return self.threads.map(one, numbers)


@contextmanager
def _ready(wish: str, processes: int) -> Iterator[Work]:
    with ExitStack() as stack:
        free: SimpleQueue[Zygote] = SimpleQueue()
        for _ in range(processes):
            free.put(stack.enter_context(Zygote()))
        folder = Path(stack.enter_context(scratch()))
        platform = stack.enter_context(Platform())
        wishes.prepare(folder / "template", wish)
        yield Work(folder, platform, free, stack.enter_context(ThreadPoolExecutor(processes)))


def _unclear(rng: random.Random) -> Answer:
    """What becomes of the first request of a run; nobody need wait for it."""
    if rng.random() < 0.5:
        return Answer(rng.choice([says for says in UNCLEAR if says != "hang"]), "now")
    return Answer(rng.choice([says for says in LOST if says != "hang"]), "later", 5 * 60_000)


def _judged(wish: str, place: Path, name: str, world: World) -> Findings:
    outbox = rows(place / "data")
    findings = judge(outbox, world.record())
    spoken = [row for row in outbox if row.kind != "notice" and row.account == ACCOUNT]
    if len(spoken) != wishes.WISHES[wish].posts:
        findings.silent_losses += max(0, wishes.WISHES[wish].posts - len(spoken))
        findings.lies.append(f"{len(spoken)} posts came of it, not {wishes.WISHES[wish].posts}")
    findings.lies = [f"{name}: {lie}" for lie in findings.lies]
    return findings


def _batches(numbers: Iterator[int], size: int) -> Iterator[Sequence[int]]:
    while batch := list(itertools.islice(numbers, size)):
        yield batch
