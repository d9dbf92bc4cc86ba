"""The only place where Mockingbird's parts are built, wired, started and stopped in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from bot import clock, hub
from bot.config import Config, secret
from bot.domain import FeedEntry, Job, Persona
from bot.errors import MockingbirdError, NothingAcceptable, TrainingInterrupted
from bot.flows.ahead import Ahead
from bot.flows.deliver import deliver_due
from bot.flows.fire import FireReport, Spoken, fire_due
from bot.flows.imitate import Imitator
from bot.flows.train import Trained, Warn, carry_out
from bot.moderation import Moderator
from bot.platforms.local.poster import LocalPoster
from bot.pool.child import cores
from bot.pool.lease import Lease
from bot.pool.local import LocalPool, WorkerSettings
from bot.pool.protocol import Tell
from bot.pool.trainer import train
from bot.store import jobs, outbox, schedules
from bot.store.database import Database, Db
from models.sampling import Sampling

log = logging.getLogger(__name__)

JOBS_EVERY_S = 5.0  # between two looks at an empty queue of trainings
MOST_INTERRUPTIONS = 3  # of one training in one life of the bot, then it waits for the next start


class App:
    """A data directory, opened: `async with App(config, folder, environ) as app`."""

    def __init__(self, config: Config, data: Path, environ: Mapping[str, str]) -> None:
        """Takes the directory's lock; the worker starts with the first request."""
        self.config = config
        self.moderator = Moderator.of(config.moderation)
        self.token = secret(config.hub.token_env, environ)
        self.database = Database(data)
        worker = WorkerSettings(
            device=config.model.device,
            threads=config.model.threads or max(1, cores() - 1),
            budget_mb=config.model.adapters_mb,
            max_batch=config.model.max_batch,
            max_waiting=config.pool.max_waiting,
            hang_seconds=config.pool.hang_seconds,
            log=data / "logs" / "worker.log",
            cache=data / "cache",
        )
        self.lease = Lease()
        self.pool = LocalPool(worker, self.lease)
        at_once = min(config.model.max_batch, config.pool.max_waiting)
        self.imitator = Imitator(
            self.database,
            self.pool,
            self.moderator,
            self.find_base,
            config.sampling.tries,
            config.sampling.candidates,
            at_once,
            worker.log,
            Ahead(config.ahead.texts, config.ahead.personas),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.pool.close()
        self.database.close()

    def find_base(self, name: str) -> Path:
        """The folder of a base, downloaded if need be; slow, so not for the event loop."""
        return hub.find_base(name, self.token.get_secret_value() if self.token else None)

    @property
    def sampling(self) -> Sampling:
        """The configured sampling settings."""
        chosen = self.config.sampling
        return Sampling(chosen.temperature, chosen.top_p, chosen.top_k, chosen.max_tokens)

    async def carry_out(self, job: Job, tell: Tell, warn: Warn) -> Trained:
        """Does one training."""
        run = partial(train, lease=self.lease)
        trained = await carry_out(self.database, self.config, self.find_base, run, job, tell, warn)
        if trained.promoted:
            self.imitator.ahead.drop(trained.persona.slug)
        return trained

    async def run(self, on_post: Callable[[FeedEntry], None], stop: asyncio.Event) -> None:
        """The long-running bot: fires schedules, delivers the outbox, does queued trainings and makes texts ahead until
        `stop` is set."""
        await self.database.run(self._recover)
        posters = {LocalPoster.platform: LocalPoster(self.database, on_post)}
        max_late_ms = self.config.schedule.max_late_minutes * 60_000

        async def ring() -> None:
            tell_unsaid(await fire_due(self.database, self._speak, clock.now_ms(), max_late_ms))
            await deliver_due(self.database, posters, clock.now_ms)
            alarm.set(await self.database.run(lambda db: earliest(db, posters.keys())))

        alarm = clock.Alarm(ring)
        alarm.start()
        idle = self.imitator.ahead.keep_ready(self.imitator.make_ahead, self.lease)
        tasks = [asyncio.create_task(self._do_jobs()), asyncio.create_task(idle)]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await alarm.stop()

    @staticmethod
    def _recover(db: Db) -> None:
        """What a bot that was killed left half-done: trainings go on, posts under way are looked up."""
        jobs.requeue_running(db)
        outbox.recover(db, clock.now_ms())

    async def _speak(self, persona: Persona, prompt: str, seed: int) -> Spoken:
        """One acceptable text for a schedule, with all that explains it. By its own seed, not one that is ready: that
        follows from the occurrence, so it is the same text whenever it is made, and nobody waits for it."""
        imitation = await self.imitator.imitate(persona.slug, prompt, 1, seed, self.sampling)
        if not imitation.accepted:
            raise NothingAcceptable(persona=persona.slug, reasons=imitation.reasons)
        chosen = imitation.accepted[0]
        made_by = {
            "checkpoint": imitation.checkpoint,
            "seed_used": chosen.seed,
            "sampling": vars(self.sampling),
            "candidates": self.config.sampling.candidates,
        }
        return Spoken(chosen.text, made_by)

    async def _do_jobs(self) -> None:
        """Trains what is queued, one after another."""
        interruptions: dict[int, int] = {}
        while True:
            try:
                waiting = await self.database.run(jobs.waiting)
            except MockingbirdError as error:
                log.error("the queue of trainings: %s", error)
                waiting = []
            job = next((job for job in waiting if interruptions.get(job.id, 0) < MOST_INTERRUPTIONS), None)
            if job is None:
                await asyncio.sleep(JOBS_EVERY_S)
                continue
            try:
                trained = await self.carry_out(job, lambda progress: None, log.warning)
                log.info("training done", extra={"persona": trained.persona.slug, "run": trained.run_id})
            except TrainingInterrupted as error:
                interruptions[job.id] = interruptions.get(job.id, 0) + 1
                log.warning("job %s: %s", job.id, error)
            except MockingbirdError as error:
                interruptions[job.id] = MOST_INTERRUPTIONS
                log.error("job %s: %s", job.id, error)
            except Exception:
                log.exception("job %s failed", job.id)


def earliest(db: Db, platforms: Collection[str]) -> int | None:
    """When something is to be done next."""
    dues = (schedules.earliest(db), outbox.earliest(db, platforms))
    return min((due for due in dues if due is not None), default=None)


def tell_unsaid(report: FireReport) -> None:
    for unsaid in (*report.missed, *report.failed):
        log.warning("schedule %s said nothing at %s: %s", unsaid.schedule_id, unsaid.wall_key, unsaid.reason)
