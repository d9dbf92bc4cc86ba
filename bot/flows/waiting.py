"""What people wait for: durable requests, done in fair order, each answered once whatever becomes of the bot."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

from bot.clock import now_ms
from bot.config import QuotaSettings
from bot.domain import OPERATOR, SHELL, Job, JobState, Request, RequestState
from bot.errors import (
    MockingbirdError,
    PoolFull,
    RequestCancelled,
    RequestFailed,
    RequestPutOff,
    TooManyWaiting,
    TrainingInterrupted,
)
from bot.flows import train
from bot.flows.settle import SUPERSEDED, adopt, begin, release, sentence_of, settle, unfinished
from bot.flows.standing import Standing, standings
from bot.flows.waiters import Hear, Waiters
from bot.store import requests
from bot.store.database import Database, Db
from training import run

log = logging.getLogger(__name__)

TICK = 5.0  # seconds between two looks at requests whose time may be over
MOST_INTERRUPTIONS = 3  # of one training in a row, then those who wait are told, and it goes on when it is asked again
PRUNE_MS = 3_600_000
UNWANTED = "it was no longer wanted"

Imitate = Callable[[Mapping[str, Any], str, str], Awaitable[Mapping[str, Any]]]
"""Does what was asked, by whom and where; raises MockingbirdError."""

Train = Callable[[Job, Hear], Awaitable[object]]
"""Does a job and writes its end; one that is left unfinished can go on. Raises MockingbirdError."""

Keep = Callable[[Db, Request], None]
"""Writes down in the store what belongs to a new request."""

Key = tuple[str, int]  # what one task does: an imitation by its request, a training by its job


class Desk:
    """Takes requests in and, while `run` runs, does them: several imitations at once, one training at a time.

    Where nothing runs, because a command has opened the data directory itself, `wait` does the one that it waits for.
    """

    def __init__(
        self,
        database: Database,
        quota: QuotaSettings,
        imitate: Imitate,
        train: Train,
        at_once: int,
        now: Callable[[], int] = now_ms,
    ) -> None:
        """`at_once` is how many imitations may be under way."""
        self.database, self.quota, self.at_once = database, quota, at_once
        self._imitate, self._train, self._now = imitate, train, now
        self._running = self._stopped = False
        self._stir = asyncio.Event()
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._waiters = Waiters()
        self._asking: Counter[str] = Counter()  # by person, what is being written down
        self._pruned = 0

    async def ask(
        self,
        kind: str,
        person: str,
        place: str,
        asked: Mapping[str, Any],
        now: int,
        seconds: float | None = None,
        keep: Keep = lambda db, request: None,
    ) -> Request:
        """A request that is kept until it is answered or its time is over. For an "imitate" `asked` is what the
        imitating function takes, for a "train" the arguments of `train.queue`: the same training is one job, whoever
        asks, and one request of one person. `keep` is done in the same transaction, so that what it writes down is kept
        with the request or not at all. Raises PoolFull, TooManyWaiting, QuotaSpent, or what `train.queue` or `keep`
        does."""
        deadline = None if seconds is None else now + round(seconds * 1000)
        add = partial(requests.add, kind=kind, person=person, place=place, asked=asked, now=now, deadline_at=deadline)

        def transaction(db: Db) -> tuple[Request, list[Job], list[int]]:
            if not self._running:  # nobody else does, where only commands come and go
                requests.prune(db, now)
                for late in requests.expire(db, now):
                    if late.job_id is not None:
                        release(db, late.job_id, now)
            if kind == "imitate":
                request = add(db, self.quota)
                keep(db, request)
                return request, [], []
            job, others = train.queue(
                db, asked["handles"], asked["recipe"], asked.get("weights"), asked.get("seed"), now, place
            )
            losers = [request.id for other in others for request in requests.of_job(db, other.id)]
            for loser in losers:
                requests.cancel(db, loser, SUPERSEDED, now)
            held = requests.of_job(db, job.id)
            mine = next((request for request in held if (request.person, request.place) == (person, place)), None)
            if mine is None:
                mine = add(db, self.quota, job_id=job.id)
                if any(request.state is RequestState.RUNNING for request in held):
                    requests.start(db, mine.id, now)
            keep(db, mine)
            return requests.get(db, mine.id), others, losers

        with self._at_the_door(person, place):
            request, superseded, losers = await self.database.run(transaction)
        for job in superseded:
            await self._stop(job)
        self._waiters.wake(losers)
        self._stir.set()
        return request

    @contextlib.contextmanager
    def _at_the_door(self, person: str, place: str) -> Iterator[None]:
        """Refuses at once what would be refused in its turn, when thousands come together."""
        held, is_limited = self._asking[person], (person, place) != (OPERATOR, SHELL)
        if is_limited and self.quota.waiting_per_person and held >= self.quota.waiting_per_person:
            raise TooManyWaiting(waiting=held)
        if self._asking.total() >= self.quota.max_waiting:
            raise PoolFull(waiting=self.quota.max_waiting)
        self._asking[person] += 1
        try:
            yield
        finally:
            self._asking[person] -= 1
            if not self._asking[person]:
                del self._asking[person]

    async def wait(self, request_id: int, hear: Hear = lambda event: None) -> Mapping[str, Any]:
        """The answer; several may wait for one, and giving up waiting takes nothing back. Raises UnknownRequest,
        RequestCancelled, RequestFailed, and RequestPutOff when the bot stops before it is answered. Where nothing runs
        it is done here: giving up then stops it, and what ended it is raised as it was."""
        with self._waiters.waiting(request_id, hear) as waiter:
            while True:
                waiter.changed.clear()
                request = await self.database.run(lambda db: requests.get(db, request_id))
                self._waiters.follow(waiter, request.job_id)
                if request.ended:
                    return answer_of(request)
                if self._stopped:
                    raise RequestPutOff(request=request_id)
                if self._running:
                    self._stir.set()  # so that it hears its position
                    await waiter.changed.wait()
                else:
                    await self._do_here(request)

    async def cancel(self, request_id: int) -> Request:
        """Takes a request back, whether it waits or is being done; a training that others wait for goes on. What has
        ended stays as it is. Raises UnknownRequest."""

        def transaction(db: Db) -> tuple[Request, Job | None]:
            request = requests.get(db, request_id)
            if request.ended:
                return request, None
            requests.cancel(db, request_id, UNWANTED, self._now())
            return request, None if request.job_id is None else release(db, request.job_id, self._now())

        request, job = await self.database.run(transaction)
        self._waiters.wake([request_id])
        self._stir.set()
        task = None if request.job_id is not None and job is None else self._tasks.get(key_of(request))
        if job is not None:
            await self._stop(job)
        elif task is not None:
            task.cancel()
        if task is not None:
            await asyncio.wait([task])
        return await self.database.run(lambda db: requests.get(db, request_id))

    async def end(self, asked: Collection[Request], jobs: Collection[Job]) -> None:
        """Returns once nobody does any more what was cancelled in the store: those who wait are told, trainers end."""
        self._waiters.wake([request.id for request in asked])
        self._stir.set()
        keys = {*(key_of(request) for request in asked), *(("train", job.id) for job in jobs)}
        tasks = [self._tasks[key] for key in keys if key in self._tasks]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def listing(self) -> list[Standing]:
        """All that is unfinished: what is being done, then what waits in the order in which it will be."""
        now, eta = self._now(), self._waiters.eta
        return await self.database.run(lambda db: standings(db, eta, self.at_once, now))

    async def run(self) -> None:
        """Does what waits until it is cancelled: then what is being done waits again."""
        self._running, self._stopped = True, False
        adopted = False
        try:
            while True:
                self._stir.clear()
                try:
                    if not adopted:
                        await self.database.run(lambda db: adopt(db, self._now()))
                        adopted = True
                    await self._take_up()
                    if self._waiters:
                        self._waiters.place(await self.listing())
                except MockingbirdError as error:  # such as a full disk: it may have room later
                    log.error("requests: %s", error)
                except Exception:  # whoever waits would otherwise wait for ever
                    log.exception("requests could not be taken up; the next look tries again")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK):
                        await self._stir.wait()
        finally:
            self._running, self._stopped = False, True
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)
            self._waiters.wake_all()

    # --- Taking up ----------------------------------------------------------------------------------------------------

    async def _take_up(self) -> None:
        """Starts as many of those whose turn it is as there is room for."""
        now, keys = self._now(), list(self._tasks)
        doing = {kind: [number for held, number in keys if held == kind] for kind in ("imitate", "train")}
        prune = now - self._pruned >= PRUNE_MS

        def transaction(db: Db) -> tuple[list[Request], list[int], list[Job]]:
            requests.recover(db, doing["imitate"], doing["train"])
            if prune:
                requests.prune(db, now)
            late = requests.expire(db, now)
            released = [release(db, request.job_id, now) for request in late if request.job_id is not None]
            taken = []
            for kind, most in (("imitate", self.at_once), ("train", 1)):
                for _ in range(most - len(doing[kind])):
                    request = requests.waiting(db, kind)
                    if request is None:
                        break
                    begin(db, request, now)
                    taken.append(request)
            return taken, [request.id for request in late], [job for job in released if job is not None]

        taken, late, released = await self.database.run(transaction)
        self._pruned = now if prune else self._pruned
        for request in taken:
            self._start(request)
        for job in released:
            await self._stop(job)
        self._waiters.wake(late)

    def _start(self, request: Request, begun: bool = True) -> asyncio.Task[None]:
        key = key_of(request)
        task = self._tasks[key] = asyncio.create_task(self._do(request, begun))
        task.add_done_callback(partial(self._done, key))
        return task

    def _done(self, key: Key, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        self._stir.set()
        error = None if task.cancelled() else task.exception()
        if error is not None:  # whoever waits is told; a mistake of ours must be seen all the same
            log.warning("%s %s: %s", *key, error, exc_info=None if isinstance(error, MockingbirdError) else error)

    async def _do_here(self, request: Request) -> None:
        """Does a request without a bot; raises what ends it. Who gives up an imitation takes it back."""
        held = self._tasks.get(key_of(request))
        task = held or self._start(request, begun=False)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            if held is None:
                task.cancel()
                await asyncio.wait([task])
                if request.kind == "imitate":
                    await self.cancel(request.id)
            raise
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    # --- Doing --------------------------------------------------------------------------------------------------------

    async def _do(self, request: Request, begun: bool) -> None:
        if not begun:
            await self.database.run(lambda db: begin(db, request, self._now()))
        if request.job_id is None:
            await self._do_imitation(request)
        else:
            await self._do_training(request.job_id)

    async def _do_imitation(self, request: Request) -> None:
        left = None if request.deadline_at is None else (request.deadline_at - self._now()) / 1000
        try:
            async with asyncio.timeout(left) as limit:
                found = await self._imitate(request.asked, request.person, request.place)
            await self._write(request.id, lambda db: requests.answer(db, request.id, found, self._now()))
        except asyncio.CancelledError:
            await self._write(request.id, lambda db: requests.requeue(db, request.id))
            raise
        except Exception as error:
            sentence = requests.TOO_LATE if limit.expired() else sentence_of(error)
            await self._write(request.id, lambda db: requests.fail(db, request.id, sentence, self._now()))
            raise

    async def _write(self, request_id: int, change: Callable[[Db], None]) -> None:
        with contextlib.suppress(LookupError):  # it was cancelled meanwhile
            await self.database.run(change)
        self._waiters.wake([request_id])

    async def _do_training(self, job_id: int) -> None:
        """Does a job and tells all who wait for it. After an interruption the same run goes on at once, a few times."""
        left = MOST_INTERRUPTIONS if self._running else 1
        failure: Exception | None = None
        try:
            while left and (job := await self.database.run(lambda db: unfinished(db, job_id))) is not None:
                left -= 1
                try:
                    await self._train(job, partial(self._waiters.tell, job_id))
                    break
                except TrainingInterrupted as error:
                    if not left:
                        raise
                    log.warning("job %s: %s", job_id, error)
        except Exception as error:
            failure = error
        finally:
            self._waiters.forget(job_id)
            ending, ended = await self.database.run(lambda db: settle(db, job_id, failure, self._now()))
            if ending.state is JobState.CANCELLED:
                await self._drop_states(ending)
            self._waiters.wake(ended)
        if failure is not None and ending.state is not JobState.CANCELLED:
            raise failure

    async def _stop(self, job: Job) -> None:
        """A job was cancelled: its trainer ends, and what it would have gone on from is removed."""
        if task := self._tasks.get(("train", job.id)):
            task.cancel()
        else:
            await self._drop_states(job)

    async def _drop_states(self, job: Job) -> None:
        if job.run_id is not None:
            await asyncio.to_thread(run.drop_states, run.folder_of(self.database.folder, job.run_id))


def key_of(request: Request) -> Key:
    return ("imitate", request.id) if request.job_id is None else ("train", request.job_id)


def answer_of(request: Request) -> Mapping[str, Any]:
    """What an ended request came to; raises RequestCancelled or RequestFailed."""
    if request.state is RequestState.CANCELLED:
        raise RequestCancelled(reason=request.error)
    if request.answer is None:
        raise RequestFailed(reason=request.error)
    return request.answer
