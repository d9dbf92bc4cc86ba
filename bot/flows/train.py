"""Train: handles become a persona whose checkpoint speaks; a durable job, resumed by the same request."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.clock import now_ms
from bot.config import Config
from bot.domain import SHELL, Job, Persona
from bot.errors import (
    AdaptersOnly,
    BadWeights,
    DiskFull,
    InvalidHandle,
    MockingbirdError,
    TooLittleText,
    TrainingInterrupted,
)
from bot.pool.child import cores
from bot.pool.protocol import FindBase, Tell, Train
from bot.store import jobs, opt_outs, personas, runs, timelines
from bot.store.database import Database, Db
from models.checkpoint import sha256
from training import run
from training.corpus import Corpus, build_corpus
from training.recipe import FULL, Recipe, recipe_named
from training.timeline import BadHandle, Counts, Tweet, check_handle

SPARE_BYTES = 64 * 2**20  # left free on the disk beside what a run needs
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # a full disk, a full quota, a file that may not grow
Warn = Callable[[str], None]  # is told what a person should know before the training begins
# What a training measures that people are told.
MEASURED = (
    *("train_seconds", "tokens_per_second", "heldout_loss", "base_heldout_loss", "heldout_perplexity"),
    *("heldout_bits_per_byte", "base_heldout_bits_per_byte", "checkpoint_bytes"),
)
FEWEST_TEXTS = 10  # different ones; of fewer there is nothing to learn


@dataclass(frozen=True)
class Trained:
    """A finished training and what it measured: `results` as in the run folder's results.json."""

    persona: Persona
    run_id: int
    recipe: str
    results: dict[str, Any]
    promoted: bool


async def request(
    database: Database, handles: Sequence[str], recipe: str, weights: Sequence[float] | None, seed: int | None, now: int
) -> Job:
    """Does `queue` in a transaction of its own."""
    job, _ = await database.run(lambda db: queue(db, handles, recipe, weights, seed, now))
    return job


def queue(
    db: Db,
    handles: Sequence[str],
    recipe: str,
    weights: Sequence[float] | None,
    seed: int | None,
    now: int,
    place: str = SHELL,
) -> tuple[Job, list[Job]]:
    """Queues the training of these handles as one persona of a place. The same request again, while the job is
    unfinished, is the same job: that is how an interrupted training goes on. Another request takes its place, or the
    older one would replace the newer voice later: those are returned too. Raises InvalidHandle,
    OptedOut, UnknownHandle and BadWeights."""
    try:
        takes_weights = recipe_named(recipe).takes_weights
    except KeyError:  # the command line knows the names: what is left is a wish for all weights
        raise AdaptersOnly(recipe=recipe.removesuffix(FULL)) from None

    shares = handle_weights(handles, weights)
    opt_outs.check(db, handles)
    if len(set(shares.values())) > 1 and not takes_weights:
        raise BadWeights(reason=f"The recipe {recipe} gives every handle the same share")
    persona = personas.create(db, handles, now, place)
    # In the persona's own order of handles, whatever order they were asked for in.
    ordered = [shares[handle.lower()] for handle in persona.handles]
    job = jobs.unfinished(db, persona.id, recipe, ordered, seed)
    if job is None:
        drawn = random.SystemRandom().randrange(2**31) if seed is None else seed
        job = jobs.enqueue(db, persona.id, recipe, ordered, drawn, now)
    return job, jobs.cancel_others(db, job, now)


def report(db: Db, job: Job) -> dict[str, Any]:
    """What a finished job came to, as its people are told."""
    persona = personas.get(db, job.persona_id)
    assert persona is not None
    assert job.run_id is not None
    results = runs.results(db, job.run_id) or {}
    return {
        "persona": persona.name,
        "run": job.run_id,
        "recipe": job.recipe,
        **{name: results.get(name) for name in MEASURED},
        "promoted": better(results),
    }


def better(results: Mapping[str, Any]) -> bool:
    """Whether a run predicts the held-out texts better than its base; a loss that was not finite is None."""
    loss, of_base = results.get("heldout_loss"), results.get("base_heldout_loss")
    return loss is not None and of_base is not None and loss < of_base


def handle_weights(handles: Sequence[str], weights: Sequence[float] | None) -> dict[str, float]:
    """The wanted share of each handle, by its lower-case name; equal ones unless given."""
    try:
        names = [check_handle(handle).lower() for handle in handles]
    except BadHandle as error:
        raise InvalidHandle(reason=str(error)) from error
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidHandle(reason=f"@{twice[0]} is named twice: name each handle once, and mix them with --weights.")
    shares = list(weights) if weights else [1.0] * len(names)
    if len(shares) != len(names) or any(not 0 < share < 1e6 for share in shares):
        written = ",".join(f"{share:g}" for share in shares)
        raise BadWeights(
            reason=f"{len(names)} {'handle' if len(names) == 1 else 'handles'} cannot have the weights {written}"
        )
    return dict(zip(names, shares, strict=True))


async def carry_out(
    database: Database, config: Config, find_base: FindBase, train: Train, job: Job, tell: Tell, warn: Warn
) -> Trained:
    """Does a job from corpus to promotion, or what is left of it. An interruption leaves the job queued."""
    try:
        return await attempt(database, config, find_base, train, job, tell, warn)
    except (TrainingInterrupted, DiskFull, asyncio.CancelledError):
        await requeue(database, job)
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            await requeue(database, job)
            raise DiskFull(folder=database.folder) from error
        reason = str(error)
        with contextlib.suppress(LookupError):  # another training has taken its place
            await database.run(lambda db: jobs.fail(db, job.id, reason, now_ms()))
        if job.run_id is not None:
            run.drop_states(run.folder_of(database.folder, job.run_id))
        raise


async def requeue(database: Database, job: Job) -> None:
    """The job waits again, unless it was concluded just before; unwritten, it is found running at the next start."""
    with contextlib.suppress(LookupError, MockingbirdError):
        await database.run(lambda db: jobs.requeue(db, job.id))


async def attempt(
    database: Database, config: Config, find_base: FindBase, train: Train, job: Job, tell: Tell, warn: Warn
) -> Trained:
    recipe = recipe_named(job.recipe)
    found = await database.run(lambda db: material(db, job.persona_id))
    persona = found.persona
    corpus, fingerprint = await asyncio.to_thread(make_corpus, found, recipe)
    for warning in check_size(corpus, found.counts, config):
        warn(warning)
    base = await asyncio.to_thread(find_base, config.model.base)
    spec = run.Spec(
        recipe=recipe,
        seed=job.seed,
        handles=persona.handles,
        weights=job.weights,
        base=config.model.base,
        base_folder=str(base),
        base_sha256=await asyncio.to_thread(sha256, base / "model.safetensors"),
        device=config.model.device,
        threads=config.training.threads or cores(),
        fingerprint=fingerprint,
    )
    check_disk(database.folder, base, recipe)
    run_id = await begin(database, job, spec, corpus)
    folder = run.folder_of(database.folder, run_id)
    await train(folder, tell)
    results = run.results(folder)
    assert results is not None
    await database.run(lambda db: conclude(db, job, run_id, results))
    return Trained(persona, run_id, job.recipe, dict(results), better(results))


@dataclass(frozen=True)
class Material:
    """What a training is made of: tweets and counts by handle, and what the tweets answer, by its id."""

    persona: Persona
    tweets: dict[str, list[Tweet]]
    counts: dict[str, Counts]
    answered: dict[str, str]


def material(db: Db, persona_id: int) -> Material:
    """All that is held for the training of a persona; raises OptedOut."""
    persona = personas.get(db, persona_id)
    assert persona is not None
    opt_outs.check(db, persona.handles)
    counts = {handle: timelines.counts(db, handle, persona.place) for handle in persona.handles}
    return Material(
        persona,
        tweets={handle: timelines.tweets(db, handle, persona.place) for handle in persona.handles},
        counts={handle: found for handle, found in counts.items() if found is not None},
        answered={
            id: text for handle in persona.handles for id, text in timelines.answered(db, handle, persona.place).items()
        },
    )


def make_corpus(found: Material, recipe: Recipe) -> tuple[Corpus, str]:
    """The corpus with its fingerprint; slow for long timelines, so not for the event loop."""
    corpus = build_corpus(found.tweets, recipe, found.answered)
    return corpus, corpus.fingerprint


def check_size(corpus: Corpus, counts: dict[str, Counts], config: Config) -> tuple[str, ...]:
    """Raises TooLittleText; returns a warning for each handle that has just enough."""
    warnings = []
    for handle, held in counts.items():
        characters, tweets = corpus.characters(handle), corpus.tweets(handle)
        if characters < config.training.min_characters or corpus.different(handle) < FEWEST_TEXTS:
            raise too_little(handle, held, characters, tweets, config)
        if characters < config.training.warn_characters:
            warnings.append(
                f"@{handle} has only {characters:,} characters in {tweets:,} usable tweets: below "
                f"{config.training.warn_characters:,} a voice stays weak."
            )
    return tuple(warnings)


def check_held(db: Db, handle: str, place: str, config: Config) -> None:
    """Raises TooLittleText, before anybody queues for it, if all that is held, cleaned or not, cannot be enough."""
    held = timelines.counts(db, handle, place)
    tweets, characters = timelines.written(db, handle, place)
    if held is not None and (characters < config.training.min_characters or tweets < FEWEST_TEXTS):
        raise too_little(handle, held, characters, tweets, config)


def too_little(handle: str, held: Counts, characters: int, tweets: int, config: Config) -> TooLittleText:
    return TooLittleText(
        handle=handle,
        characters=characters,
        tweets=tweets,
        needed=config.training.min_characters,
        fewest=FEWEST_TEXTS,
        downloaded=held.downloaded,
        retweets=held.retweets,
        short=held.short,
        kept=held.kept,
    )


def check_disk(data: Path, base: Path, recipe: Recipe) -> None:
    """Raises DiskFull before a training that could not be saved: weights, two moments and the members that are done, in
    three states at most."""
    weights = (base / "model.safetensors").stat().st_size * (2 if recipe.method == "full" else 0.2 * recipe.members)
    if shutil.disk_usage(data).free < 10 * weights + SPARE_BYTES:
        raise DiskFull(folder=data)


async def begin(database: Database, job: Job, spec: run.Spec, corpus: Corpus) -> int:
    """The job's run goes on if it was begun with exactly this; otherwise a new one begins."""
    if job.run_id is not None:
        folder = run.folder_of(database.folder, job.run_id)
        # The threads of the first attempt stay: with another number the weights would come out different.
        if run.begun(folder) and run.read_spec(folder).same_work(spec):
            run_id = job.run_id
            run.go_on(folder, spec)
            await database.run(lambda db: jobs.start(db, job.id, run_id))
            return run_id

    def transaction(db: Db) -> int:
        run_id = runs.begin(db, job.persona_id, job.recipe, job.seed, spec.fingerprint, now_ms())
        jobs.start(db, job.id, run_id)
        return run_id

    run_id = await database.run(transaction)
    await asyncio.to_thread(run.begin, run.folder_of(database.folder, run_id), spec, corpus)
    return run_id


def conclude(db: Db, job: Job, run_id: int, results: Mapping[str, Any]) -> None:
    """The results, the end of the job and the promotion are written together."""
    runs.finish(db, run_id, dict(results), now_ms())
    jobs.finish(db, job.id, now_ms())
    if better(results):
        personas.promote(db, job.persona_id, run_id)
