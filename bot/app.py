"""The only place where Mockingbird's parts are built, wired, started and stopped in order."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bot import clock, hub
from bot.config import Config, changes, keeping, secret
from bot.domain import SHELL, FeedEntry, Job, Post, Poster, Verdict
from bot.errors import BadPost, NothingAcceptable, UnknownPlatform, did_you_mean
from bot.flows import quiet
from bot.flows.ahead import Ahead
from bot.flows.deliver import keep_delivering
from bot.flows.fire import Lateness, speak_due
from bot.flows.freshness import Freshness
from bot.flows.imitate import Imitator, report
from bot.flows.listen import Listener
from bot.flows.occur import Unsaid, occur_due
from bot.flows.post import post
from bot.flows.reply import keep_replying
from bot.flows.speak import Speaker
from bot.flows.sweep import sweep
from bot.flows.train import Trained, Warn, carry_out
from bot.flows.waiters import Hear
from bot.flows.waiting import Desk
from bot.moderation import Moderator, Moderators, Repeats
from bot.platforms.local.poster import LocalPoster
from bot.pool.child import cores
from bot.pool.lease import Lease
from bot.pool.local import LocalPool, WorkerSettings
from bot.pool.protocol import Tell
from bot.pool.trainer import train
from bot.store import accounts, ledger, mentions, occurrences, outbox, personas, phrases, recent, schedules
from bot.store.database import Database, Db
from bot.store.decisions import Judge
from bot.store.ledger import Limits
from models.sampling import Sampling

log = logging.getLogger(__name__)

PRUNE_EVERY_MS = 86_400_000
REMEMBERED_MS = 90 * 86_400_000  # what became of a schedule's due moments
MENTIONS_MS = 2 * 86_400_000  # who was answered; their limits look back a day
LONGEST_OCCUR_S = 1.0  # of recording what is due, before the first of it is spoken
# What the worker and its queue were started with, and a secret that was read at the start.
FIXED = ("model.device", "model.threads", "model.max_batch", "model.adapters_mb", "pool.", "hub.", "discord.")


class App:
    """A data directory, opened: `async with App(config, folder, environ) as app`."""

    def __init__(
        self,
        config: Config,
        data: Path,
        environ: Mapping[str, str],
        read_config: Callable[[], Config] | None = None,
        posters: Collection[Poster] = (),
    ) -> None:
        """Takes the directory's lock; the worker starts with the first request. `read_config` reads the configuration
        again, for `reload`; `posters` are spoken through besides the local feed."""
        self.config, self.posters = config, posters
        moderators = Moderators(Moderator.of(config.moderation))
        self._read_config = read_config or (lambda: config)
        self.token = secret(config.hub.token_env, environ)
        # Platforms that a command may queue posts for, though only the running bot can speak there.
        self.configured = ("discord",) if secret(config.discord.token_env, environ) else ()
        self.database = Database(data)
        self.wake = nothing  # lets a running bot look at once for what is due,
        self.queued = asyncio.Event()  # and for what may be said
        worker = WorkerSettings(
            device=config.model.device,
            threads=config.model.threads or max(1, cores() - 1),
            budget_mb=config.model.adapters_mb,
            max_batch=config.model.max_batch,
            max_waiting=config.pool.max_waiting,
            max_waiting_per_person=config.pool.max_waiting_per_person,
            hang_seconds=config.pool.hang_seconds,
            log=data / "logs" / "worker.log",
            cache=data / "cache",
        )
        self.lease = Lease()
        self._banning = asyncio.Lock()
        self.pool = LocalPool(worker, self.lease)
        at_once = min(config.model.max_batch, config.pool.max_waiting, config.pool.max_waiting_per_person)
        self.imitator = Imitator(
            self.database,
            self.pool,
            moderators,
            self.find_base,
            config.sampling.tries,
            config.sampling.candidates,
            at_once,
            worker.log,
            Ahead(config.ahead.texts, config.ahead.personas),
        )
        self.speaker = Speaker(self.imitator, Freshness(self.database), lambda: self.sampling)
        self.listener = Listener(self.database, lambda: self.config.replies, clock.now_ms, self.queued.set)
        # So many that their texts find room in the pool's queue, though one person asked for all of them.
        room = min(config.pool.max_waiting, config.pool.max_waiting_per_person)
        imitations = max(1, min(config.model.max_batch, room // at_once))
        self.desk = Desk(self.database, config.quota, self._imitate, self._train, imitations)

    async def __aenter__(self) -> Self:
        try:
            await sweep(self.database)
            for place, banned in (await self.database.run(phrases.every)).items():
                self.moderators.ban(place, banned)
            await self.listener.begin()
        except BaseException:
            self.database.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.pool.close()
        self.database.close()

    @property
    def moderators(self) -> Moderators:
        """Those who judge now, by place."""
        return self.imitator.moderators

    async def judge_for(self, name: str) -> Judge:
        """Whether a person may have a text said in place of this post's; its reasons are in words."""

        def others(db: Db) -> dict[str, str]:
            post = outbox.find(db, name)
            said = recent.texts(db, post.platform, post.account, clock.now_ms())
            return {post_id: text for post_id, text in said.items() if post_id != post.id}

        repeats = await asyncio.to_thread(Repeats, await self.database.run(others))

        def judge(post: Post, text: str) -> Verdict:
            moderator = self.moderators.of(post.place)
            verdict = moderator.judge_text(text, str(post.cause.get("prompt") or ""), repeats)
            return Verdict(moderator.in_words(verdict, text))

        return judge

    def forbids(self, post: Post) -> str | None:
        """Why a post that waits must not be said after all; None if it may."""
        return self.moderators.of(post.place).forbids(post.text)

    async def ban(self, phrase: str, place: str = SHELL) -> list[Post]:
        """Nobody says this phrase from now on, there or, banned in the shell, anywhere; what waited to be said, holds
        it and is cancelled for it."""
        plain = quiet.checked(phrase)
        async with self._banning:
            known = self.moderators.banned(place)
            # Before it is stored: or what is accepted meanwhile is neither refused nor cancelled.
            self.moderators.ban(place, [*known, plain])
            try:
                return await quiet.ban(self.database, plain, clock.now_ms(), place)
            except Exception:  # but not when cancelled: it may be stored all the same
                self.moderators.ban(place, known)
                raise

    async def unban(self, phrase: str, place: str = SHELL) -> str:
        """Allows again what was banned there; the phrase as it was held."""
        async with self._banning:
            plain = await quiet.unban(self.database, phrase, place)
            self.moderators.ban(place, await self.database.run(lambda db: phrases.of(db, place)))
            return plain

    @property
    def running(self) -> bool:
        """Whether what waits is being done; a command that has opened the data directory does its own wish only."""
        return self.wake is not nothing

    def check_platform(self, platform: str) -> None:
        """Raises UnknownPlatform for one through which nothing is spoken: what is queued for it would only wait."""
        known = {LocalPoster.platform, *self.configured, *(poster.platform for poster in self.posters)}
        if platform not in known:
            raise UnknownPlatform(platform=platform, nearest=did_you_mean(platform, known))

    async def post(
        self,
        persona: str,
        prompt: str,
        parts: int,
        platform: str,
        account: str,
        key: str,
        draft: bool,
        person: str = "",
        place: str = SHELL,
    ) -> list[Post]:
        """Queues a post, or a thread of several parts, to be said now or, as drafts, once they are approved."""
        self.check_platform(platform)
        if not self.moderators.of(place).leaves_room(prompt):
            raise BadPost(reason="The prompt is too long: a quarter of a text's length is kept for what is to be said.")
        latest = self.lateness.approval_ms if draft else self.lateness.max_late_ms
        speak, now = self.speaker.speak, clock.now_ms()
        return await post(
            self.database, speak, persona, prompt, parts, platform, account, key, now, latest, draft, person, place
        )

    def find_base(self, name: str) -> Path:
        """The folder of a base, downloaded if need be; slow, so not for the event loop."""
        return hub.find_base(name, self.token.get_secret_value() if self.token else None)

    @property
    def limits(self) -> Limits:
        """What each account may use up."""
        most = self.config.limits
        micros = math.ceil(most.dollars_per_day * 1_000_000)
        return Limits(most.posts_per_hour, most.posts_per_day, micros, most.reads_per_month)

    @property
    def lateness(self) -> Lateness:
        """How late a post may be, and how long a draft may wait for approval."""
        chosen = self.config.schedule
        return Lateness(chosen.max_late_minutes * 60_000, chosen.approval_hours * 3_600_000)

    @property
    def sampling(self) -> Sampling:
        """The configured sampling settings."""
        chosen = self.config.sampling
        return Sampling(chosen.temperature, chosen.top_p, chosen.top_k, chosen.max_tokens)

    async def reload(self) -> tuple[list[str], list[str]]:
        """Reads the configuration again: what of it holds from now on, and what needs a restart. BadConfig, and nothing
        changes, if there is a mistake in it."""
        new = self._read_config()
        changed = changes(self.config, new)
        restart = [name for name in changed if name.startswith(FIXED)]
        moderator = Moderator.of(new.moderation)
        self.config = keeping(self.config, new, restart)
        self.moderators.settle(moderator)
        self.imitator.tries, self.imitator.choices = new.sampling.tries, new.sampling.candidates
        self.imitator.ahead.texts, self.imitator.ahead.personas = new.ahead.texts, new.ahead.personas
        self.desk.quota = new.quota
        await self.database.run(accounts.forget_caps)  # by the limits that were
        self.wake()
        return [name for name in changed if name not in restart], restart

    async def carry_out(self, job: Job, tell: Tell, warn: Warn) -> Trained:
        """Does one training."""
        run = partial(train, lease=self.lease)
        trained = await carry_out(self.database, self.config, self.find_base, run, job, tell, warn)
        if trained.promoted:
            self.imitator.ahead.drop(trained.persona.name)
        return trained

    async def run(
        self,
        on_post: Callable[[FeedEntry], None],
        stop: asyncio.Event,
        beside: Collection[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        """The long-running bot: fires schedules, delivers the outbox, does what people wait for and makes texts ahead
        until `stop` is set; what is `beside` runs as long."""
        await self.database.run(lambda db: outbox.recover(db, clock.now_ms()))
        local = LocalPoster(self.database, on_post)
        posters: dict[str, Poster] = {poster.platform: poster for poster in (local, *self.posters)}
        due = asyncio.Event()
        speaking: set[int] = set()
        pruned = 0

        async def ring() -> None:
            nonlocal pruned
            if (now := clock.now_ms()) - pruned > PRUNE_EVERY_MS:
                await self.database.run(lambda db: prune(db, now))
                pruned = now
            unheard = await occur_due(
                self.database, clock.now_ms(), self.lateness.max_late_ms, speaking, LONGEST_OCCUR_S
            )
            tell_unsaid(unheard.missed, unheard.skipped)
            due.set()
            alarm.set(await self.database.run(schedules.earliest))

        alarm = clock.Alarm(ring)

        def wake() -> None:
            alarm.set(clock.now_ms())
            self.queued.set()

        self.wake = wake
        alarm.start()
        # Beside one another: neither a text that takes long to make nor an account that waits for its platform holds up
        # what else is due.
        work = (
            self._keep_speaking(due, speaking, self.queued.set),
            keep_delivering(self.database, posters, clock.now_ms, lambda: self.limits, self.forbids, self.queued),
            self._keep_replying(),
            self.desk.run(),
            self.imitator.ahead.keep_ready(self.imitator.make_ahead, self.lease),
            *(work() for work in beside),
        )
        tasks = [asyncio.create_task(each) for each in work]
        stopped = asyncio.create_task(stop.wait())
        died: set[asyncio.Task[Any]] = set()
        try:
            died, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopped, *tasks):
                task.cancel()
            await asyncio.wait([stopped, *tasks])
            self.wake = nothing
            await alarm.stop()
        for task in died:  # a bot that lacks one of its parts would keep people waiting and say nothing of it
            task.result()

    async def _keep_replying(self) -> None:
        """Answers what people say to us."""
        await keep_replying(
            self.database,
            self.speaker.speak,
            self.speaker.freshness.of,
            clock.now_ms,
            lambda: self.config.replies,
            self.listener.mentioned,
            self.queued.set,
        )

    async def _keep_speaking(self, due: asyncio.Event, speaking: set[int], on_queued: Callable[[], None]) -> None:
        """Speaks what is recorded as due, whenever `due` is set; never returns."""
        while True:
            await due.wait()
            due.clear()
            try:
                done = await speak_due(
                    self.database, self.speaker.on_schedule, clock.now_ms, self.lateness, speaking, on_queued
                )
                tell_unsaid(done.failed, done.skipped)
            except Exception:
                log.exception("what is due could not be spoken; the next ringing tries again")

    async def _imitate(self, asked: Mapping[str, Any], person: str, place: str) -> Mapping[str, Any]:
        """Does a request: `persona`, and if it is given `prompt`, `n`, `seed`, `reply_to`, `temperature`, `top_p`,
        `max_tokens`."""

        def check(db: Db) -> None:
            if (persona := personas.find(db, asked["persona"])) is not None:
                personas.check_place(persona, place)

        await self.database.run(check)
        chosen = {name: asked[name] for name in ("temperature", "top_p", "max_tokens") if asked.get(name) is not None}
        done = await self.imitator.imitate(
            *(asked["persona"], asked.get("prompt") or "", asked.get("n") or 1, asked.get("seed")),
            replace(self.sampling, **chosen),
            asked.get("reply_to"),
            person=person,
            place=place,
        )
        if not done.accepted:
            raise NothingAcceptable(persona=done.persona.slug, reasons=done.reasons)
        return report(done)

    async def _train(self, job: Job, hear: Hear) -> None:
        """Does a request's job."""
        if job.run_id is not None:
            hear({"going_on": job.run_id})
        trained = await self.carry_out(
            job, lambda progress: hear(asdict(progress)), lambda warning: hear({"warning": warning})
        )
        log.info("training done", extra={"persona": trained.persona.slug, "run": trained.run_id})


def prune(db: Db, now: int) -> None:
    """Forgets what nobody can need any more."""
    ledger.prune(db, now)
    occurrences.prune(db, now - REMEMBERED_MS)
    mentions.prune(db, now - MENTIONS_MS)


def nothing() -> None:
    """What there is to wake while the bot does not run."""


def tell_unsaid(unwanted: Iterable[Unsaid], wanted: Iterable[Unsaid]) -> None:
    """Logs what was not said, against the wish of a schedule or as it wishes, in one line for each schedule."""
    for level, unsaid in ((logging.WARNING, unwanted), (logging.INFO, wanted)):
        for schedule_id, group in itertools.groupby(unsaid, key=lambda found: found.schedule_id):
            several = list(group)
            last = several[-1]
            times = f"{len(several)} times, the last " if len(several) > 1 else ""
            log.log(level, "schedule %s said nothing %sat %s: %s", schedule_id, times, last.wall_key, last.reason)
