"""What people wait for is done in fair order and answered once, though the bot stops, is killed or never ran."""

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.config import QuotaSettings
from bot.domain import Job, JobState, Request, RequestState
from bot.errors import (
    DiskFull,
    NothingAcceptable,
    PoolFull,
    QuotaSpent,
    RequestCancelled,
    RequestFailed,
    RequestPutOff,
    TooManyWaiting,
    TrainingFailed,
    TrainingInterrupted,
    UnknownHandle,
    UnknownRequest,
)
from bot.flows import train
from bot.flows.waiters import Hear
from bot.flows.waiting import MOST_INTERRUPTIONS, Desk
from bot.store import jobs, requests, runs, timelines
from bot.store.database import Database, Db
from training import run

LONGEST = 30.0  # seconds: only a hang takes so long
NOW = 1_000_000_000_000
FREE = QuotaSettings(waiting_per_person=0, trainings_per_person_per_day=0, trainings_per_place_per_day=0)


class Work:
    """Does requests as a test wishes: each waits until it is let go, and ends with what it is given."""

    def __init__(self, database: Database) -> None:
        self.database, self.now = database, NOW
        self.begun: list[str] = []  # prompts of imitations, "train JOB" of trainings
        self.ended: list[str] = []
        self.free = asyncio.Event()
        self.errors: list[Exception] = []  # of the next ones
        self.hear: Hear = lambda event: None

    async def imitate(self, asked: Mapping[str, Any], person: str, place: str) -> Mapping[str, Any]:
        await self._do(asked["prompt"])
        return {"text": f"{asked['prompt']} for {person}"}

    async def train(self, job: Job, hear: Hear) -> None:
        """As carry_out: an interruption leaves the job queued, with its run."""
        if job.run_id is None:
            begin = lambda db: runs.begin(db, job.persona_id, job.recipe, job.seed, "abc", self.now)  # noqa: E731
        else:
            begin = lambda db: job.run_id  # noqa: E731
        run_id = await self.database.run(begin)
        await self.database.run(lambda db: jobs.start(db, job.id, run_id))
        (run.folder_of(self.database.folder, run_id) / "state-000001").mkdir(parents=True, exist_ok=True)
        self.hear = hear
        try:
            await self._do(f"train {job.id}")
        except (TrainingInterrupted, DiskFull, asyncio.CancelledError):
            with contextlib.suppress(LookupError):
                await self.database.run(lambda db: jobs.requeue(db, job.id))
            raise
        results = {"train_seconds": 60.0, "heldout_loss": 1.0, "base_heldout_loss": 2.0}

        def conclude(db: Db) -> None:
            runs.finish(db, run_id, results, self.now)
            jobs.finish(db, job.id, self.now)

        await self.database.run(conclude)

    async def _do(self, name: str) -> None:
        self.begun.append(name)
        try:
            await self.free.wait()
            if self.errors:
                raise self.errors.pop(0)
        except BaseException as error:
            self.ended.append(f"{name}: {type(error).__name__}")
            raise
        self.ended.append(name)

    async def until(self, *begun: str) -> None:
        """Waits until these have begun, and nothing else."""
        async with asyncio.timeout(LONGEST):
            while len(self.begun) < len(begun):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert self.begun == list(begun)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
async def work(database: Database) -> Work:
    for handle in ("jo", "kim"):
        await database.run(lambda db, handle=handle: timelines.hold(db, handle, None, [], now=1, place="hall"))  # type: ignore[misc]
    return Work(database)


def desk_of(work: Work, quota: QuotaSettings = FREE, at_once: int = 1) -> Desk:
    return Desk(work.database, quota, work.imitate, work.train, at_once, lambda: work.now)


@contextlib.asynccontextmanager
async def running(desk: Desk) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(desk.run())
    try:
        async with asyncio.timeout(LONGEST):
            yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def say(desk: Desk, prompt: str, person: str = "ann", seconds: float | None = None) -> Request:
    return await desk.ask("imitate", person, "hall", {"persona": "jo", "prompt": prompt}, NOW, seconds)


async def teach(desk: Desk, person: str = "ann", seed: int = 7, handle: str = "jo") -> Request:
    asked = {"handles": [handle], "recipe": "quick", "weights": None, "seed": seed}
    return await desk.ask("train", person, "hall", asked, NOW)


async def job_of(work: Work, request: Request) -> Job:
    assert request.job_id is not None
    job = await work.database.run(lambda db: jobs.get(db, request.job_id or 0))
    assert job is not None
    return job


async def state(work: Work, request: Request) -> RequestState:
    return (await work.database.run(lambda db: requests.get(db, request.id))).state


def waiting_for(desk: Desk, request: Request, heard: list[Mapping[str, Any]] | None = None) -> asyncio.Task[Any]:
    return asyncio.create_task(desk.wait(request.id, ([] if heard is None else heard).append))


# --- In order ---------------------------------------------------------------------------------------------------------


async def test_requests_are_done_fairly_and_several_may_wait_for_one(work: Work) -> None:
    desk = desk_of(work)
    loud = [await say(desk, f"a{number}") for number in range(4)]
    late = await say(desk, "b0", "bea")
    async with running(desk):
        waits = [waiting_for(desk, late), waiting_for(desk, late), *(waiting_for(desk, one) for one in loud)]
        work.free.set()
        answers = [wait["text"] for wait in await asyncio.gather(*waits)]
    assert work.begun == ["a0", "b0", "a1", "a2", "a3"]
    assert answers == ["b0 for bea"] * 2 + [f"a{number} for ann" for number in range(4)]
    assert await desk.wait(late.id) == {"text": "b0 for bea"}


async def test_several_imitations_and_one_training_are_done_at_once(work: Work) -> None:
    desk = desk_of(work, at_once=2)
    for request in ("a0", "a1", "a2"):
        await say(desk, request)
    first, second = await teach(desk), await teach(desk, handle="kim")
    async with running(desk):
        while len(work.begun) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert sorted(work.begun) == ["a0", "a1", f"train {first.job_id}"]
        work.free.set()
        await asyncio.gather(*(desk.wait(request.id) for request in (first, second)))
    assert (await job_of(work, second)).state is JobState.DONE


async def test_a_request_is_durable_before_it_is_acknowledged_and_an_unknown_one_is_told(work: Work) -> None:
    desk = desk_of(work, QuotaSettings(imitations_per_person_per_day=1))
    request = await say(desk, "a0")
    assert await work.database.run(lambda db: requests.get(db, request.id)) == request
    with pytest.raises(QuotaSpent):
        await say(desk, "a1")
    for strange in (desk.wait(99), desk.cancel(99)):
        with pytest.raises(UnknownRequest):
            await strange


async def test_thousands_at_once_are_taken_in_or_refused_by_whose_they_are(work: Work) -> None:
    desk = desk_of(work, QuotaSettings(max_waiting=20))
    people = [*["ann"] * 1_000, *(f"person {number}" for number in range(100))]
    ends = await asyncio.gather(
        *(say(desk, f"p{number}", person) for number, person in enumerate(people)), return_exceptions=True
    )
    taken = [end.person for end in ends if isinstance(end, Request)]
    assert sorted(taken) == sorted([*["ann"] * 5, *(f"person {number}" for number in range(15))])
    assert {type(end) for end in ends[5:1_000]} == {TooManyWaiting}
    assert {type(end) for end in ends[1_015:]} == {PoolFull}
    assert not desk._asking


@pytest.mark.parametrize("kind", ["imitate", "train"])
async def test_what_belongs_to_a_request_is_kept_with_it_or_neither_is(work: Work, kind: str) -> None:
    def refuse(db: Db, request: Request) -> None:
        assert requests.get(db, request.id) == request
        raise LookupError("not this one")

    asked = {"persona": "jo", "prompt": "", "handles": ["jo"], "recipe": "quick"}
    with pytest.raises(LookupError, match="not this one"):
        await desk_of(work).ask(kind, "ann", "hall", asked, NOW, None, refuse)
    assert await work.database.run(requests.unfinished) == []
    assert await work.database.run(jobs.waiting) == []


async def test_a_training_that_makes_no_sense_leaves_nothing(work: Work) -> None:
    desk = desk_of(work, QuotaSettings(trainings_per_person_per_day=1))
    with pytest.raises(UnknownHandle):
        await teach(desk, handle="nobody")
    await teach(desk)
    with pytest.raises(QuotaSpent):
        await teach(desk, handle="kim")
    assert [(found.request.id, found.request.state) for found in await desk.listing()] == [(1, RequestState.WAITING)]
    assert [job.seed for job in await work.database.run(jobs.waiting)] == [7]


# --- Position and time left -------------------------------------------------------------------------------------------


async def test_the_position_and_the_time_left_shrink_while_others_are_answered(work: Work) -> None:
    desk = desk_of(work)
    async with running(desk):
        first = await say(desk, "a0")
        await work.until("a0")
        work.now += 4_000
        work.free.set()
        await desk.wait(first.id)
        work.free.clear()
        for prompt in ("a1", "a2", "a3"):
            last = await say(desk, prompt)
        heard: list[Mapping[str, Any]] = []
        wait = waiting_for(desk, last, heard)
        while not heard:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert [(found.request.asked["prompt"], found.ahead) for found in await desk.listing()] == [
            ("a1", 0), ("a2", 1), ("a3", 2)]  # fmt: skip
        work.free.set()
        await wait
    positions, etas = ([event[name] for event in heard] for name in ("position", "eta_seconds"))
    assert positions == sorted(positions, reverse=True)
    assert positions[0] == 2
    assert etas == sorted(etas, reverse=True)
    assert etas[0] == 12.0


async def test_who_waits_for_a_training_hears_of_its_progress_and_how_long_it_will_take(work: Work) -> None:
    desk = desk_of(work)
    first = await teach(desk)
    second = await teach(desk, "bea", handle="kim")
    heard: list[Mapping[str, Any]] = []
    async with running(desk):
        wait = waiting_for(desk, first, heard)
        await work.until(f"train {first.job_id}")
        while not heard:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert [found.eta_seconds for found in await desk.listing()] == [None, None]
        event = {"step": 1, "steps": 9, "loss": 4.0, "heldout_loss": None, "eta_seconds": 80.0}
        work.hear(event)
        work.hear({"warning": "a voice stays weak"})
        assert [(found.ahead, found.eta_seconds) for found in await desk.listing()] == [(0, 80.0), (1, None)]
        late: list[Mapping[str, Any]] = []
        other = waiting_for(desk, first, late)
        while len(late) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert late == [
            {"position": 0, **event},
            {"warning": "a voice stays weak"},
            {"position": 0, "eta_seconds": 80.0},
        ]
        work.free.set()
        answer = await wait
        assert await other == answer
        await desk.wait(second.id)
    assert {"position": 0, **event} in heard
    assert heard[-1] == {"warning": "a voice stays weak"}
    assert (answer["persona"], answer["run"], answer["promoted"], answer["train_seconds"]) == ("hall/jo", 1, True, 60.0)
    third, fourth = await teach(desk, seed=9), await teach(desk, "bea", seed=9)
    fifth = await teach(desk, "bea", handle="kim", seed=9)
    assert [(found.request.id, found.ahead, found.eta_seconds) for found in await desk.listing()] == [
        (third.id, 0, 60.0), (fourth.id, 0, 60.0), (fifth.id, 1, 120.0)]  # fmt: skip


# --- Cancelling -------------------------------------------------------------------------------------------------------


async def test_an_imitation_is_cancelled_in_every_state(work: Work) -> None:
    desk = desk_of(work)
    async with running(desk):
        under_way, waits, done = [await say(desk, prompt) for prompt in ("a0", "a1", "a2")]
        await work.until("a0")
        told = [waiting_for(desk, request) for request in (under_way, waits)]
        assert (await desk.cancel(waits.id)).state is RequestState.CANCELLED
        assert (await desk.cancel(under_way.id)).state is RequestState.CANCELLED
        assert work.ended == ["a0: CancelledError"]
        for task in told:
            with pytest.raises(RequestCancelled, match="it was no longer wanted"):
                await task
        work.free.set()
        answer = await desk.wait(done.id)
        assert await desk.cancel(done.id) == await work.database.run(lambda db: requests.get(db, done.id))
        assert await desk.wait(done.id) == answer
    assert work.begun == ["a0", "a2"]


async def test_a_training_stops_when_the_last_who_waits_for_it_cancels(work: Work) -> None:
    desk = desk_of(work)
    async with running(desk):
        ann, bea = await teach(desk), await teach(desk, "bea")
        queued = await teach(desk, handle="kim")
        assert ann.job_id == bea.job_id
        await work.until(f"train {ann.job_id}")
        states = run.folder_of(work.database.folder, 1)
        assert list(states.glob("state-*"))
        await desk.cancel(ann.id)
        assert (work.ended, (await job_of(work, bea)).state) == ([], JobState.RUNNING)
        assert await state(work, bea) is RequestState.RUNNING
        await desk.cancel(queued.id)
        assert (await job_of(work, queued)).state is JobState.CANCELLED
        await desk.cancel(bea.id)
        assert work.ended == [f"train {ann.job_id}: CancelledError"]
        assert (await job_of(work, bea)).state is JobState.CANCELLED
        assert not list(states.glob("state-*"))


async def test_another_training_of_the_persona_takes_the_place_of_one_under_way(work: Work) -> None:
    desk = desk_of(work)
    async with running(desk):
        old = await teach(desk)
        await work.until(f"train {old.job_id}")
        heard: list[Mapping[str, Any]] = []
        told = waiting_for(desk, old, heard)
        while not heard:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        new = await teach(desk, "bea", seed=8)
        with pytest.raises(RequestCancelled, match="another training of the same persona took its place"):
            await told
        work.free.set()
        assert (await desk.wait(new.id))["run"] == 2
    assert work.ended == [f"train {old.job_id}: CancelledError", f"train {new.job_id}"]
    assert not list(run.folder_of(work.database.folder, 1).glob("state-*"))


# --- One training of several people -----------------------------------------------------------------------------------


async def test_the_same_training_asked_by_two_is_one_job_that_answers_both(work: Work) -> None:
    desk = desk_of(work)
    ann = await teach(desk)
    assert await teach(desk) == ann
    async with running(desk):
        await work.until(f"train {ann.job_id}")
        bea = await teach(desk, "bea")
        assert (bea.job_id, bea.state) == (ann.job_id, RequestState.RUNNING)
        work.free.set()
        assert await desk.wait(bea.id) == await desk.wait(ann.id)
    assert work.begun == [f"train {ann.job_id}"]


# --- What goes wrong --------------------------------------------------------------------------------------------------


async def test_what_goes_wrong_is_told_in_its_own_words_and_the_next_one_is_done(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    desk = desk_of(work)
    work.free.set()
    work.errors = [NothingAcceptable(persona="jo", reasons="empty"), ZeroDivisionError("by zero")]
    asked = [await say(desk, prompt) for prompt in ("a0", "a1", "a2")]
    async with running(desk):
        for request, words in zip(asked, ("refused every text of jo", "A mistake of ours.*by zero"), strict=False):
            with pytest.raises(RequestFailed, match=words):
                await desk.wait(request.id)
        assert await desk.wait(asked[2].id) == {"text": "a2 for ann"}
    assert "ZeroDivisionError" in caplog.text


async def test_a_failed_training_is_told_and_one_that_was_interrupted_goes_on_by_itself(work: Work) -> None:
    desk = desk_of(work)
    work.free.set()
    interrupted = TrainingInterrupted(reason="killed")
    work.errors = [interrupted, interrupted]
    async with running(desk):
        request = await teach(desk)
        assert (await desk.wait(request.id))["run"] == 1
        assert work.begun == [f"train {request.job_id}"] * 3
        work.errors = [TrainingFailed(reason="a bug")]
        failed = await teach(desk)
        with pytest.raises(RequestFailed, match=r"The training failed: a bug\."):
            await desk.wait(failed.id)
        assert (await job_of(work, failed)).state is JobState.FAILED


@pytest.mark.parametrize(
    "errors", [[TrainingInterrupted(reason="killed")] * MOST_INTERRUPTIONS, [DiskFull(folder="data")]]
)
async def test_a_training_that_cannot_go_on_now_goes_on_when_it_is_asked_again_or_the_bot_starts(
    work: Work, errors: list[Exception]
) -> None:
    desk = desk_of(work)
    work.free.set()
    work.errors = list(errors)
    async with running(desk):
        request = await teach(desk)
        with pytest.raises(RequestFailed, match=str(errors[0])[:20]):
            await desk.wait(request.id)
        assert (await job_of(work, request)).state is JobState.QUEUED
    async with running(desk_of(work)):
        while (await job_of(work, request)).state is not JobState.DONE:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    job = await job_of(work, request)
    assert job.run_id == 1


async def test_a_database_that_another_program_holds_for_long_keeps_nobody_waiting_for_ever(work: Work) -> None:
    database = work.database
    database._thread.submit(database._db.execute, "PRAGMA busy_timeout = 50").result()
    work.free.set()
    async with running(desk := desk_of(work)) as task:
        await say(desk, "before")
        await work.until("before")
        with contextlib.closing(sqlite3.connect(database.folder / "mockingbird.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            desk._stir.set()
            await asyncio.sleep(0.2)
        assert not task.done()
        assert (await desk.wait((await say(desk, "after")).id))["text"] == "after for ann"


async def test_what_is_too_late_is_told(work: Work) -> None:
    desk = desk_of(work)
    under_way, patient = await say(desk, "a0", seconds=0.05), await say(desk, "a1")
    imitation = await say(desk, "a2", seconds=3_600)
    await teach(desk)
    asked = {"handles": ["kim"], "recipe": "quick"}
    training = await desk.ask("train", "ann", "hall", asked, NOW, 3_600)
    async with running(desk):
        with pytest.raises(RequestFailed, match="It was too late"):
            await desk.wait(under_way.id)
        assert "a0: CancelledError" in work.ended
        told = [waiting_for(desk, late) for late in (imitation, training)]
        await asyncio.sleep(0.05)
        work.now += 3_601_000
        await say(desk, "a3")
        for task in told:
            with pytest.raises(RequestFailed, match="It was too late"):
                await task
        assert (await job_of(work, training)).state is JobState.CANCELLED
        work.free.set()
        assert await desk.wait(patient.id)


async def test_without_a_bot_too_what_is_over_is_forgotten_and_takes_nobody_s_place(work: Work) -> None:
    work.free.set()
    desk = desk_of(work, QuotaSettings(max_waiting=1))
    old = await say(desk, "old")
    await desk.wait(old.id)
    await say(desk, "left by a command that was killed", seconds=60)
    with pytest.raises(PoolFull):
        await say(desk, "too early")
    later = NOW + 2 * 24 * 3_600_000
    asked = await desk.ask("imitate", "ann", "hall", {"persona": "jo", "prompt": "new"}, later)
    assert (await desk.wait(asked.id))["text"] == "new for ann"
    with pytest.raises(UnknownRequest):
        await desk.wait(old.id)


async def test_what_ended_more_than_a_day_ago_is_forgotten(work: Work) -> None:
    desk = desk_of(work)
    work.free.set()
    old = await say(desk, "a0")
    await desk.wait(old.id)
    work.now += 25 * 3_600_000
    async with running(desk):
        await desk.wait((await say(desk, "a1")).id)
        with pytest.raises(UnknownRequest):
            await desk.wait(old.id)


# --- Stops, and no bot at all -----------------------------------------------------------------------------------------


async def test_what_was_under_way_when_the_bot_stopped_waits_again_and_is_done_by_the_next(work: Work) -> None:
    desk = desk_of(work)
    async with running(desk):
        asked = [await say(desk, "a0"), await say(desk, "a1"), await say(desk, "b0", "bea")]
        training = await teach(desk)
        while len(work.begun) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        told = waiting_for(desk, asked[0])
        await asyncio.sleep(0.01)
    with pytest.raises(RequestPutOff, match="request 1 is kept"):
        await told
    assert {await state(work, request) for request in (*asked, training)} == {RequestState.WAITING}
    work.begun, again = [], desk_of(work)
    work.free.set()
    async with running(again):
        await asyncio.gather(*(again.wait(request.id) for request in asked))
        assert (await again.wait(training.id))["run"] == 1
    assert [name for name in work.begun if "train" not in name] == ["a0", "b0", "a1"]


async def test_a_stopped_training_that_is_cancelled_leaves_no_states(work: Work) -> None:
    desk = desk_of(work)
    async with running(desk):
        request = await teach(desk)
        await work.until(f"train {request.job_id}")
    states = run.folder_of(work.database.folder, 1)
    assert list(states.glob("state-*"))
    await desk_of(work).cancel(request.id)
    assert not list(states.glob("state-*"))
    assert (await job_of(work, request)).state is JobState.CANCELLED


async def test_a_job_that_nobody_waits_for_goes_on_as_the_operator_s(work: Work) -> None:
    job, _ = await work.database.run(lambda db: train.queue(db, ["jo"], "quick", None, 7, NOW, "hall"))
    run_id = await work.database.run(lambda db: runs.begin(db, job.persona_id, "quick", 7, "abc", NOW))
    await work.database.run(lambda db: jobs.start(db, job.id, run_id))
    desk = desk_of(work)
    async with running(desk):
        await work.until(f"train {job.id}")
        (found,) = await desk.listing()
        assert (found.request.person, found.request.place, found.request.job_id) == ("operator", "shell", job.id)
        assert found.request.asked == {"handles": ["jo"], "recipe": "quick", "weights": [1.0], "seed": 7}
        work.free.set()
        assert (await desk.wait(found.request.id))["run"] == run_id


async def test_a_training_whose_end_was_not_told_when_the_bot_died_is_answered_by_the_next(work: Work) -> None:
    desk = desk_of(work)
    request = await teach(desk)
    work.free.set()
    await work.train(await job_of(work, request), lambda event: None)
    async with running(desk):
        assert (await desk.wait(request.id))["run"] == 1
    assert len(work.begun) == 1


async def test_without_a_bot_whoever_waits_does_it_and_sees_its_own_error(work: Work) -> None:
    desk = desk_of(work)
    other, mine = await say(desk, "a0"), await say(desk, "b0", "bea")
    training = await teach(desk)
    work.free.set()
    assert await desk.wait(mine.id) == {"text": "b0 for bea"}
    work.errors = [TrainingInterrupted(reason="killed")]
    with pytest.raises(TrainingInterrupted):
        await desk.wait(training.id)
    assert (await desk.wait((await teach(desk)).id))["run"] == 1
    assert await state(work, other) is RequestState.WAITING
    assert work.begun == ["b0", f"train {training.job_id}", f"train {training.job_id}"]


async def test_who_gives_up_without_a_bot_takes_an_imitation_back_and_a_training_waits(work: Work) -> None:
    desk = desk_of(work)
    for request, left in ((await say(desk, "a0"), RequestState.CANCELLED), (await teach(desk), RequestState.WAITING)):
        begun = len(work.begun)
        task = waiting_for(desk, request)
        while len(work.begun) == begun:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert await state(work, request) is left
    assert (await job_of(work, await teach(desk))).state is JobState.QUEUED


KILLED = """
import asyncio, sys
from pathlib import Path
from bot.config import QuotaSettings
from bot.flows.waiting import Desk
from bot.store.database import Database

async def imitate(asked, person, place):
    if asked["prompt"] not in ("a0", "b0"):
        print("hanging in", asked["prompt"], flush=True)
        await asyncio.sleep(60)
    return {"text": asked["prompt"]}

async def main():
    desk = Desk(Database(Path(sys.argv[1])), QuotaSettings(waiting_per_person=0), imitate, None, 1)
    for prompt in ("a0", "a1", "a2", "a3", "b0", "b1", "c0"):
        asked = await desk.ask("imitate", prompt[0], "hall", {"prompt": prompt}, 1)
        print("asked", asked.id, flush=True)
    await desk.run()

asyncio.run(main())
"""


async def test_the_order_outlives_a_bot_that_was_killed(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    folder = tmp_path / "data"
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True, env=environ
    ) as bot:
        assert bot.stdout is not None
        said = [bot.stdout.readline().strip() for _ in range(8)]
        os.kill(bot.pid, signal.SIGKILL)
    assert said == [*(f"asked {number}" for number in range(1, 8)), "hanging in c0"]
    database = Database(folder)
    try:
        work = Work(database)
        work.free.set()
        desk = desk_of(work)
        answered = [await database.run(lambda db, number=number: requests.get(db, number)) for number in (1, 5)]  # type: ignore[misc]
        assert [request.answer for request in answered] == [{"text": "a0"}, {"text": "b0"}]
        late = await say(desk, "d0", "dee")
        async with running(desk):
            await asyncio.gather(*(desk.wait(number) for number in (*range(1, 8), late.id)))
        assert work.begun == ["c0", "d0", "a1", "b1", "a2", "a3"]
    finally:
        database.close()


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_in_whatever_order_every_request_ends_and_nothing_is_done_twice_at_once(
    work: Work, seed: int
) -> None:
    rng = random.Random(seed)
    desk, bot, under_way, most, mistakes = desk_of(work, at_once=2), None, dict[str, int](), 0, list[str]()
    asked: list[Request] = []
    cancelled: set[int] = set()
    waits: list[asyncio.Task[Any]] = []

    async def busy(name: str) -> None:
        nonlocal most
        under_way[name] = under_way.get(name, 0) + 1
        if under_way[name] > 1:
            mistakes.append(f"{name} twice at once")
        most = max(most, sum(under_way.values()))
        try:
            await asyncio.sleep(rng.random() * 0.01)
            if rng.random() < 0.2:
                raise rng.choice([TrainingInterrupted(reason="x"), TrainingFailed(reason="y"), DiskFull(folder="z")])
        finally:
            under_way[name] -= 1

    async def stop(bot: asyncio.Task[None] | None) -> None:
        if bot is not None:
            bot.cancel()
            await asyncio.wait([bot])
        if waits:  # all of them are told, or do it themselves
            async with asyncio.timeout(LONGEST):
                await asyncio.wait(waits)

    work._do = busy  # type: ignore[method-assign]
    for number in range(60):
        chance = rng.random()
        if chance < 0.4:
            asked.append(await say(desk, f"p{number}", rng.choice("abc"), rng.choice([None, 3_600])))
        elif chance < 0.6:
            asked.append(await teach(desk, rng.choice("abc"), rng.choice([7, 8]), rng.choice(["jo", "kim"])))
        elif chance < 0.75 and asked:
            request = await desk.cancel(rng.choice(asked).id)
            if request.state is RequestState.CANCELLED:
                cancelled.add(request.id)
        elif chance < 0.85 and asked:
            waits.append(waiting_for(desk, rng.choice(asked)))
        elif chance < 0.9 and bot is not None:
            await stop(bot)
            bot, desk = None, desk_of(work, at_once=2)
        elif bot is None:
            bot = asyncio.create_task(desk.run())
            await asyncio.sleep(0)
        else:
            await asyncio.sleep(rng.random() * 0.02)
    await stop(bot)
    desk = desk_of(work, at_once=2)
    async with running(desk):
        ends = await asyncio.gather(*(desk.wait(request.id) for request in asked), return_exceptions=True)
    assert {type(end) for end in ends} <= {dict, RequestCancelled, RequestFailed}
    for request, end in zip(asked, ends, strict=True):
        assert (await state(work, request) is RequestState.ANSWERED) == isinstance(end, dict)
        if request.id in cancelled:
            assert isinstance(end, RequestCancelled)
        if request.kind == "imitate" and isinstance(end, dict):
            assert end == {"text": f"{request.asked['prompt']} for {request.person}"}
    told = {dict, RequestCancelled, RequestFailed, RequestPutOff, TrainingInterrupted, TrainingFailed, DiskFull}
    assert {type(end) for end in await asyncio.gather(*waits, return_exceptions=True)} <= told
    assert (mistakes, max(most, 3)) == ([], 3)
    assert {job.state for job in await work.database.run(jobs.waiting)} <= {JobState.QUEUED}
