"""What is likely to be asked for next is ready, and each text is given once."""

import asyncio
import contextlib
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from bot.app import App
from bot.config import ModerationSettings, load_config
from bot.domain import Candidate, Verdict
from bot.errors import NoCheckpoint
from bot.flows import ahead as module
from bot.flows.ahead import HALF_LIFE, Ahead, Made, Maker, Wanted
from bot.moderation import Moderator
from bot.pool.lease import Lease
from bot.store import personas, runs
from models.sampling import Sampling

LONGEST = 90.0  # seconds: only a hang takes so long
PERSONA = "gullwatcher"
MAKER = Maker(1, 4, Moderator.of(ModerationSettings()))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUIET", 0.01)


# --- What is kept, of whom --------------------------------------------------------------------------------------------


class Voices:
    """Makes texts that are all different and remembers of whom."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.maker = MAKER
        self.fails: Exception | None = None
        self.takes = 0.0  # seconds
        self._seeds = count()

    async def __call__(self, wanted: Wanted) -> Made:
        await asyncio.sleep(self.takes)
        if self.fails is not None:
            raise self.fails
        self.made[wanted.persona] += 1
        seed = next(self._seeds)
        return self.maker, [Candidate(f"{wanted.persona} {seed}", seed, Verdict())]


def wanted(persona: str, temperature: float = 1.0) -> Wanted:
    return Wanted(persona, Sampling(temperature=temperature))


def texts(found: list[Candidate]) -> list[str]:
    return [candidate.text for candidate in found]


@contextlib.asynccontextmanager
async def idle(ahead: Ahead, voices: Voices, lease: Lease | None = None) -> AsyncIterator[None]:
    """While the machine has time, and some of it at first."""
    task = asyncio.create_task(ahead.keep_ready(voices, lease or Lease()))
    try:
        await settled(voices)
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def settled(voices: Voices) -> None:
    """Returns once nothing has been made for a while."""
    before = -1
    while before != voices.made.total():
        before = voices.made.total()
        await asyncio.sleep(0.3)


async def test_what_was_asked_for_is_ready_and_each_text_is_given_once() -> None:
    ahead, voices = Ahead(3, 2), Voices()
    async with idle(ahead, voices):
        assert ahead.take(wanted("jo"), MAKER, 5) == []
        await settled(voices)
        assert voices.made == {"jo": 3}
        first = texts(ahead.take(wanted("jo"), MAKER, 2))
        second = texts(ahead.take(wanted("jo"), MAKER, 2))
        await settled(voices)
        third = texts(ahead.take(wanted("jo"), MAKER, 5))
    assert [len(first), len(second), len(third)] == [2, 1, 3]
    assert len({*first, *second, *third}) == 6


@pytest.mark.parametrize(
    "other",
    [replace(MAKER, run_id=2), replace(MAKER, choices=1), replace(MAKER, moderator=Moderator.of(ModerationSettings()))],
    ids=["checkpoint", "choices", "moderation"],
)
async def test_what_would_not_be_made_so_any_more_is_dropped(other: Maker) -> None:
    ahead, voices = Ahead(3, 2), Voices()
    ahead.take(wanted("jo"), MAKER, 1)
    async with idle(ahead, voices):
        assert ahead.take(wanted("jo", 0.5), MAKER, 1) == []  # other sampling is another wish
        assert ahead.take(wanted("jo"), other, 1) == []
        assert ahead.take(wanted("jo"), MAKER, 1) == []
        voices.maker = other
        await settled(voices)
        assert len(ahead.take(wanted("jo", 0.5), other, 1)) == 1
        await settled(voices)
        ahead.drop("jo")
        assert ahead.take(wanted("jo"), other, 3) == []


async def test_only_those_most_asked_for_lately_are_kept_ready() -> None:
    now = 0.0
    ahead, voices = Ahead(2, 2, lambda: now), Voices()
    for persona, times in [("al", 2), ("jo", 5), ("mo", 3)]:
        for _ in range(times):
            ahead.take(wanted(persona), MAKER, 1)
    async with idle(ahead, voices):
        assert voices.made == {"jo": 2, "mo": 2}
        now = 3 * HALF_LIFE
        for _ in range(2):
            assert ahead.take(wanted("al"), MAKER, 1) == []
        await settled(voices)
        assert voices.made == {"jo": 2, "mo": 2, "al": 2}
        assert ahead.take(wanted("mo"), MAKER, 1) == []
        now = 30 * HALF_LIFE
        ahead.take(wanted("bo"), MAKER, 1)
        await settled(voices)
        assert ahead._kept.keys() == {wanted("bo")}


async def test_nothing_is_made_when_it_is_switched_off() -> None:
    ahead, voices = Ahead(0, 2), Voices()
    ahead.take(wanted("jo"), MAKER, 1)
    async with idle(ahead, voices):
        assert ahead.take(wanted("jo"), MAKER, 1) == []
        await settled(voices)
    assert not voices.made


@pytest.mark.parametrize("error", [NoCheckpoint(persona="jo", handles="jo"), RuntimeError("a bug")])
async def test_what_cannot_be_made_is_tried_again_only_when_it_is_asked_for_again(error: Exception) -> None:
    ahead, voices = Ahead(2, 2), Voices()
    voices.fails = error
    ahead.take(wanted("jo"), MAKER, 1)
    async with idle(ahead, voices):
        voices.fails = None
        ahead.take(wanted("al"), MAKER, 1)
        await settled(voices)
        assert voices.made == {"al": 2}
        ahead.take(wanted("jo"), MAKER, 1)
        await settled(voices)
        assert voices.made == {"al": 2, "jo": 2}


async def test_nothing_is_made_while_somebody_waits_or_trains() -> None:
    ahead, voices, lease = Ahead(2, 2), Voices(), Lease()

    async def say(message: object) -> None:
        pass

    with lease.taken():
        async with idle(ahead, voices, lease), lease.lent(say):
            ahead.take(wanted("jo"), MAKER, 1)
            await settled(voices)
    async with lease.lent(say), idle(ahead, voices, lease):
        pass
    assert not voices.made
    async with idle(ahead, voices, lease):
        assert voices.made == {"jo": 2}


async def test_what_is_being_made_is_given_up_for_somebody_who_waits() -> None:
    ahead, voices, lease = Ahead(1, 1), Voices(), Lease()
    voices.takes = 60.0
    ahead.take(wanted("jo"), MAKER, 1)
    async with idle(ahead, voices, lease):
        with lease.taken():
            ahead.interrupt()
            voices.takes = 0.0
            await settled(voices)
            assert not voices.made
        await settled(voices)
        assert voices.made == {"jo": 1}


# --- With a worker ----------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path, trained_data: Path) -> Path:
    return Path(shutil.copytree(trained_data, tmp_path / "data"))


@contextlib.asynccontextmanager
async def running(data: Path, environ: dict[str, str]) -> AsyncIterator[App]:
    """The bot, doing what it does by itself."""
    settings = {"MOCKINGBIRD__AHEAD__TEXTS": "3", "MOCKINGBIRD__SAMPLING__CANDIDATES": "2"}
    stop = asyncio.Event()
    async with asyncio.timeout(LONGEST), App(load_config(None, environ | settings), data, {}) as app:
        bot = asyncio.create_task(app.run(lambda post: None, stop))
        try:
            yield app
        finally:
            stop.set()
            await bot


async def filled(app: App) -> list[Candidate]:
    """What is ready, as soon as it is all that is to be."""
    while True:
        ready = [found for kept in app.imitator.ahead._kept.values() for found in kept.ready]
        if len(ready) == 3:
            return ready
        await asyncio.sleep(0.05)


async def test_who_asks_again_is_answered_from_what_is_ready_and_its_seed_makes_it_again(
    data: Path, environ: dict[str, str]
) -> None:
    async with running(data, environ) as app:
        imitate, sampling = app.imitator.imitate, app.sampling
        given = list((await imitate(PERSONA, "", 2, None, sampling)).accepted)
        ready = await filled(app)
        for other in (("the gull", 1, None, sampling), ("", 1, 7, sampling), ("", 1, None, sampling, "tea?")):
            assert (await imitate(PERSONA, *other)).candidates[0] not in ready  # type: ignore[arg-type]
        await filled(app)
        pid = app.pool.worker_pid
        assert pid is not None
        done = await imitate(f"@{PERSONA}", " ", 2, None, sampling)
        assert list(done.candidates) == ready[:2]
        assert (done.checkpoint, done.prompt, done.message, done.cut) == ("1", "", None, False)
        more = await imitate(PERSONA, "", 5, None, sampling)
        assert more.candidates[0] == ready[2]
        given += [*done.candidates, *more.candidates]
        assert len({found.seed for found in given}) == len(given) == 9
        for found in ready:
            assert (await imitate(PERSONA, "", 1, found.seed, sampling)).candidates == (found,)


async def test_nothing_of_an_older_checkpoint_is_given_and_what_is_ready_is_of_the_new_one(
    data: Path, environ: dict[str, str]
) -> None:
    async with running(data, environ) as app:
        shutil.copytree(data / "runs" / "1", data / "runs" / "2")
        await app.imitator.imitate(PERSONA, "", 1, None, app.sampling)
        old = await filled(app)
        (persona,) = await app.database.run(personas.every)
        run_id = await app.database.run(lambda db: runs.begin(db, persona.id, "quick", 1, "abc", now=1))
        assert run_id == 2
        await app.database.run(lambda db: personas.promote(db, persona.id, 2))
        done = await app.imitator.imitate(PERSONA, "", 1, None, app.sampling)
        assert done.checkpoint == "2"
        assert done.candidates[0] not in old
        new = await filled(app)
        assert not set(new) & set(old)
        assert (await app.imitator.imitate(PERSONA, "", 1, None, app.sampling)).candidates == (new[0],)
