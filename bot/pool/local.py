"""The pool on this machine: one worker, started when it is needed, revived when it dies, killed when it hangs."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

from bot.pool.child import Child
from bot.pool.lease import Lease
from bot.pool.protocol import GenerationFailed, Hear, ScoreWish, Wish
from bot.pool.queue import FairQueue
from models.wire import Cancel, Delta, Done, Failed, Generate, Ready, Score, Scored

log = logging.getLogger(__name__)

STOPPING = "the bot is stopping"

MOST_ATTEMPTS = 2  # a request that was in flight when the worker died is tried once more
MOST_STARTS = 2  # so many failed starts of a worker does a request wait through
PAUSES = (0.0, 0.5, 1.0, 2.0, 5.0)  # seconds before a worker is started again, by deaths in a row


@dataclass(frozen=True)
class WorkerSettings:
    """How the worker is started and watched."""

    device: str
    threads: int
    budget_mb: int  # memory for adapters and whole models
    max_batch: int  # requests that are with the worker at once
    max_waiting: int  # requests that may wait before further ones are refused
    max_waiting_per_person: int  # the same of one person
    hang_seconds: float  # without a sign of life while requests are in flight
    log: Path
    cache: Path  # a folder for what takes long to make of a base's files
    start_seconds: float = 120.0  # until it must be ready; a slow disk may need long for torch


@dataclass(eq=False)
class Waiting:
    """A request on its way, and who waits for it."""

    request: Generate | Score
    person: str
    answer: asyncio.Future[Done | Scored]
    hear: Hear | None = None  # who listens while the text grows
    until: float | None = None  # when its time is over
    heard: str = field(default="")  # the text so far, as its worker tells it
    told: int = field(default=0)  # how many characters of it the listener has been given
    attempts: int = field(default=0)  # how often it was handed to a worker
    starts: int = field(default=0)  # how many workers did not start while it waited


class LocalPool:
    """Feeds one worker. The bot owns the queue: the worker holds only what it is computing."""

    def __init__(self, settings: WorkerSettings, lease: Lease | None = None) -> None:
        """`lease` is shared with whoever trains on the same machine."""
        self.settings, self.lease = settings, lease or Lease()
        self._ids = itertools.count(1)
        self._queue: FairQueue[Waiting] = FairQueue(settings.max_waiting, settings.max_waiting_per_person)
        self._flying: dict[int, Waiting] = {}
        self._room = asyncio.Semaphore(settings.max_batch)
        self._child: Child | None = None
        self._ready = False  # whether that child has started and listens
        self._sign = 0.0  # when it last gave a sign of life, or was last given something to do
        self._wanted = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    async def generate(self, wish: Wish) -> Done:
        """Raises PoolFull when too many wait, TooManyWaiting when too many of this person do, GenerationFailed when
        the worker says so, when the wish's time is over before it has a text, or when the worker died twice over it."""
        return await self._generate(wish, None)

    async def stream(self, wish: Wish, hear: Hear) -> Done:
        """As `generate`, and `hear` is given the text as it grows: all of it together is the text of the answer."""
        return await self._generate(wish, hear)

    async def _generate(self, wish: Wish, hear: Hear | None) -> Done:
        checkpoint = str(wish.checkpoint) if wish.checkpoint else None
        request = Generate(
            *(next(self._ids), str(wish.base), checkpoint, wish.prompt, wish.seed, wish.sampling, wish.message),
            stream=hear is not None,
            seconds=wish.seconds,
        )
        answer = await self._answer(request, wish.person, hear)
        assert isinstance(answer, Done)
        return answer

    async def score(self, wish: ScoreWish) -> Scored:
        """Raises as `generate` does."""
        checkpoint = str(wish.checkpoint) if wish.checkpoint else None
        request = Score(next(self._ids), str(wish.base), checkpoint, list(wish.items))
        answer = await self._answer(request, wish.person)
        assert isinstance(answer, Scored)
        return answer

    async def _answer(self, request: Generate | Score, person: str, hear: Hear | None = None) -> Done | Scored:
        if self._closed:
            raise GenerationFailed("worker", STOPPING)
        loop = asyncio.get_running_loop()
        waiting = Waiting(request, person, loop.create_future(), hear)
        self._queue.put(person, waiting)
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_alive())
        clock = None
        if isinstance(request, Generate) and request.seconds is not None:
            waiting.until = loop.time() + request.seconds
            clock = loop.call_at(waiting.until, self._give_up, waiting)
        self._wanted.set()
        try:
            with self.lease.taken():
                return await waiting.answer
        except asyncio.CancelledError:
            await self._forget(waiting)
            raise
        finally:
            if clock is not None:
                clock.cancel()

    async def close(self) -> None:
        """Ends the worker; whoever still waits is told."""
        self._closed = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        for waiting in [*self._flying.values(), *self._queue]:
            self._drop(waiting)
            self._fail(waiting, "worker", STOPPING)

    @property
    def worker_pid(self) -> int | None:
        """The process that generates now, for whoever watches it."""
        return self._child.process.pid if self._child else None

    async def _keep_alive(self) -> None:
        """Starts a worker, serves it until it dies, and starts the next; after one that did not get to answer
        anything, only when somebody waits."""
        deaths = 0
        while True:
            await asyncio.sleep(PAUSES[min(deaths, len(PAUSES) - 1)])
            self._ready = answered = False
            try:
                answered = await self._live()
            except Exception as error:
                log.exception("the worker could not be kept alive")
                self._again_or_fail(f"{type(error).__name__}: {error}")
            deaths = 0 if answered else deaths + 1
            if not answered and not self._queue:
                self._wanted.clear()
                await self._wanted.wait()

    async def _live(self) -> bool:
        """One worker's life; returns whether it answered anything."""
        settings = self.settings
        self._sign = asyncio.get_running_loop().time()
        child = await Child.start(
            "models.engine",
            *("--device", settings.device, "--threads", str(settings.threads)),
            *("--budget-mb", str(settings.budget_mb), "--cache", str(settings.cache)),
            log=settings.log,
        )
        self._child = child
        tasks = [asyncio.create_task(self._watch(child))]
        answered = False
        try:
            while (message := await child.receive()) is not None:
                self._sign = asyncio.get_running_loop().time()
                if isinstance(message, Ready):
                    log.info("worker ready", extra={"pid": child.process.pid, "device": message.device})
                    self._ready = True
                    tasks.pop().cancel()  # the watch over its start
                    tasks += [asyncio.create_task(self._watch(child)), asyncio.create_task(self._feed(child))]
                elif isinstance(message, Delta):
                    if (waiting := self._flying.get(message.id)) is not None:
                        waiting.heard += message.text
                        self._tell(waiting, waiting.heard)
                elif isinstance(message, Done | Scored | Failed):
                    answered = True
                    self._settle(message)
        finally:
            self._child = None
            for task in tasks:
                task.cancel()
            status = await asyncio.shield(child.end(grace=1.0))
        log.warning("worker gone: %s", child.ending(status))
        self._again_or_fail(child.ending(status))
        return answered

    async def _watch(self, child: Child) -> None:
        """Kills a worker that owes answers, or its start, and gives no sign of life for too long."""
        while True:
            limit = self.settings.hang_seconds if self._ready else self.settings.start_seconds
            left = self._sign + limit - asyncio.get_running_loop().time()
            if left <= 0 and (self._flying or not self._ready):
                log.error("worker hangs, killing it", extra={"pid": child.process.pid})
                child.kill()
                return
            await asyncio.sleep(left if left > 0 else limit)

    async def _feed(self, child: Child) -> None:
        """Hands waiting requests to the worker as long as it has room."""
        while True:
            await self._room.acquire()
            waiting = await self._next()
            waiting.attempts += 1
            waiting.heard = ""
            self._flying[waiting.request.id] = waiting
            self._sign = asyncio.get_running_loop().time()
            request = waiting.request
            if isinstance(request, Generate) and waiting.until is not None:
                request = replace(request, seconds=max(0.0, waiting.until - self._sign))
            try:
                await child.send(request)
            except ConnectionError:
                return  # its death is noticed by whoever listens to it

    async def _next(self) -> Waiting:
        """The next request that somebody still waits for. A cancelled feeder must not lose its place in the batch."""
        try:
            while (waiting := await self._queue.get()).answer.done():
                pass
            return waiting
        except asyncio.CancelledError:
            self._room.release()
            raise

    def _settle(self, message: Done | Scored | Failed) -> None:
        waiting = self._flying.pop(message.id, None)
        if waiting is None:
            return  # cancelled meanwhile
        self._room.release()
        if isinstance(message, Failed):
            self._fail(waiting, message.kind, message.message)
        elif not waiting.answer.done():
            if isinstance(message, Done):
                self._tell(waiting, message.text)
            if not waiting.answer.done():
                waiting.answer.set_result(message)

    def _tell(self, waiting: Waiting, text: str) -> None:
        """Gives the listener what it has not had: a second worker makes the same text from its beginning."""
        if waiting.hear is not None and len(text) > waiting.told and not waiting.answer.done():
            fresh, waiting.told = text[waiting.told :], len(text)
            try:
                waiting.hear(fresh)
            except Exception as error:  # whoever listens is told, the worker and the others go on
                waiting.answer.set_exception(error)

    def _again_or_fail(self, reason: str) -> None:
        """What a dead worker left unanswered goes to the next one, once."""
        left, self._flying = list(self._flying.values()), {}
        for waiting in reversed(left):
            self._room.release()
            if waiting.attempts < MOST_ATTEMPTS:
                self._queue.put_back(waiting)
            else:
                self._fail(waiting, "worker", f"it died twice over this request, the last time {reason}")
        if not self._ready:
            # Those who wait must not wait for ever on a worker that cannot start.
            self._blame_start(reason)

    def _blame_start(self, reason: str) -> None:
        for waiting in list(self._queue):
            waiting.starts += 1
            if waiting.starts >= MOST_STARTS:
                self._drop(waiting)
                self._fail(waiting, "worker", f"it does not start: {reason}")

    async def _forget(self, waiting: Waiting) -> None:
        """Nobody waits any more: it leaves the queue, or the worker need not go on with it."""
        if self._flying.pop(waiting.request.id, None) is not None:
            self._room.release()
            if self._child is not None:
                with contextlib.suppress(ConnectionError):
                    await asyncio.shield(self._child.send(Cancel(waiting.request.id)))
            return
        self._drop(waiting)

    def _give_up(self, waiting: Waiting) -> None:
        """Its time is over: if a worker has it, that one ends it with what there is."""
        if waiting.request.id not in self._flying and not waiting.answer.done():
            self._drop(waiting)
            self._fail(waiting, "deadline", "its time was over before a worker took it")

    def _drop(self, waiting: Waiting) -> None:
        self._queue.remove(waiting.person, waiting)

    @staticmethod
    def _fail(waiting: Waiting, kind: str, message: str) -> None:
        if not waiting.answer.done():
            waiting.answer.set_exception(GenerationFailed(kind, message))
