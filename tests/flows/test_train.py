"""A training is a durable job: asked for twice it is one, interrupted it goes on, and what went wrong is told."""

import asyncio
import errno
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from bot.config import Config, load_config
from bot.domain import Job, JobState
from bot.errors import (
    AdaptersOnly,
    BadWeights,
    BaseUnavailable,
    DiskFull,
    InvalidHandle,
    TooLittleText,
    TrainingFailed,
    TrainingInterrupted,
    UnknownHandle,
)
from bot.flows import ingest
from bot.flows.train import Trained, carry_out, request
from bot.hub import find_base
from bot.pool.protocol import Tell
from bot.pool.trainer import train as real_train
from bot.store import jobs, personas
from bot.store.database import Database
from training import run
from training.corpus import Piece, read_corpus

Train = Callable[[Path, Tell], Awaitable[None]]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def config(tiny_base: Path) -> Config:
    environ = {"MODEL__BASE": tiny_base, "MODEL__DEVICE": "cpu", "TRAINING__WARN_CHARACTERS": 0, "TRAINING__THREADS": 1}
    return load_config(None, {f"MOCKINGBIRD__{name}": str(value) for name, value in environ.items()})


@pytest.fixture
async def people(database: Database, timeline: Callable[..., Path]) -> None:
    for handle in ("GullWatcher", "kevin"):
        await ingest.ingest(database, timeline(handle, 130), None, 1)


async def ask(database: Database, *handles: str, seed: int | None = 7, weights: list[float] | None = None) -> Job:
    return await request(database, handles, "quick", weights, seed, 1)


async def do(
    database: Database, config: Config, train: Train, job: Job, warn: Callable[[str], None] = lambda warning: None
) -> Trained:
    return await carry_out(database, config, find_base, train, job, lambda progress: None, warn)


async def state(database: Database, job: Job) -> Job:
    found = await database.run(lambda db: jobs.get(db, job.id))
    assert found is not None
    return found


def ending(error: BaseException) -> Train:
    """A trainer that ends so."""

    async def train(folder: Path, tell: Tell) -> None:
        raise error

    return train


def measuring(held_out: float, base: float) -> Train:
    """A trainer that does nothing but measure."""

    async def train(folder: Path, tell: Tell) -> None:
        (folder / "results.json").write_text(json.dumps({"heldout_loss": held_out, "base_heldout_loss": base}))
        (folder / "checkpoint").mkdir()

    return train


# --- Asking -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("people")
async def test_the_same_request_is_one_job_until_it_is_done(database: Database, config: Config) -> None:
    job = await ask(database, "kevin")
    assert await ask(database, "@KEVIN") == job
    assert await ask(database, "kevin", seed=None) == job
    trained = await do(database, config, measuring(1.0, 2.0), job)
    again = await ask(database, "kevin")
    assert again.id != job.id
    assert (await ask(database, "kevin", seed=8)).id not in {job.id, again.id}
    anew = await ask(database, "kevin")
    assert (await do(database, config, measuring(1.0, 2.0), anew)).run_id > trained.run_id


@pytest.mark.usefixtures("people")
async def test_weights_belong_to_the_handles_in_whatever_order(database: Database) -> None:
    job = await ask(database, "kevin", "@gullwatcher", weights=[2, 1])
    assert await ask(database, "GullWatcher", "kevin", weights=[1, 2]) == job
    assert job.weights == (1, 2)
    persona = await database.run(lambda db: personas.get(db, job.persona_id))
    assert persona is not None
    assert (persona.slug, persona.handles) == ("gullwatcher-kevin", ("GullWatcher", "kevin"))
    assert (await ask(database, "kevin", "gullwatcher")).id != job.id


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("handles", "weights", "kind", "sentence"),
    [
        (["gulwatcher"], None, UnknownHandle, "Nothing is held of @gulwatcher (did you mean @GullWatcher?)"),
        (["kevin", "zebedee"], None, UnknownHandle, "Nothing is held of @zebedee: import"),
        (["no such handle!"], None, InvalidHandle, "'no such handle!' is not a handle"),
        (["kevin", "@Kevin"], None, InvalidHandle, "@kevin is named twice"),
        (["kevin"], [2.0, 1.0], BadWeights, "1 handle cannot have the weights 2,1: give one positive number"),
        (["kevin", "gullwatcher"], [1.0, 0.0], BadWeights, "2 handles cannot have the weights 1,0"),
        (["kevin", "gullwatcher"], [1.0, -2.0], BadWeights, "the weights 1,-2"),
    ],
)
async def test_a_request_that_makes_no_sense_is_refused_and_leaves_nothing(
    database: Database, handles: list[str], weights: list[float] | None, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind) as caught:
        await ask(database, *handles, weights=weights)
    assert sentence in str(caught.value)
    assert await database.run(personas.every) == []
    assert await database.run(jobs.waiting) == []


# --- Size -------------------------------------------------------------------------------------------------------------


async def test_too_little_text_is_told_with_the_true_counts(database: Database, config: Config, tmp_path: Path) -> None:
    texts = ["so short", "RT @a: the cat walks along the wall", *(f"the gull counts to {n} slowly" for n in range(30))]
    rows = [{"id": str(number), "text": text, "author_handle": "jo"} for number, text in enumerate(texts)]
    file = tmp_path / "jo.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    await ingest.ingest(database, file, None, 1)
    job = await ask(database, "jo")
    with pytest.raises(TooLittleText) as caught:
        await do(database, config, real_train, job)
    characters = sum(map(len, texts[2:]))
    assert str(caught.value) == (
        f"@jo has {characters} characters in 30 usable tweets, and a voice needs at least 6,000 in at least 10 "
        "different ones: import more of their tweets (held: 32 downloaded, 1 retweets, 1 short, 30 kept)."
    )
    failed = await state(database, job)
    assert (failed.state, failed.error) == (JobState.FAILED, str(caught.value))
    assert not run.folder_of(database.folder, 1).exists()


@pytest.mark.usefixtures("people")
async def test_just_enough_text_is_trained_with_a_warning(database: Database, config: Config) -> None:
    careful = config.model_copy(update={"training": config.training.model_copy(update={"warn_characters": 40_000})})
    warnings: list[str] = []
    await do(database, careful, measuring(1.0, 2.0), await ask(database, "kevin"), warnings.append)
    (warning,) = warnings
    assert warning.startswith("@kevin has only ")
    assert "below 40,000 a voice stays weak" in warning


async def test_a_reply_is_learnt_after_what_it_answers_whoever_said_that(
    database: Database, config: Config, tmp_path: Path
) -> None:
    def rows(handle: str, *extra: dict[str, object]) -> Path:
        texts = [{"id": f"{handle}{n}", "text": f"the {handle} counts to {n} slowly"} for n in range(300)]
        file = tmp_path / f"{handle}.jsonl"
        file.write_text("".join(json.dumps({**row, "author_handle": handle}) + "\n" for row in (*extra, *texts)))
        return file

    answer = {"text": "@Heron the gull has had its fish", "referenced_tweets": [{"type": "replied_to", "id": "heron7"}]}
    await ingest.ingest(database, rows("gull", {"id": "1", **answer, "created_at": "2020-01-01T00:00:00Z"}), None, 1)
    await ingest.ingest(database, rows("heron"), None, 1)
    await do(database, config, measuring(1.0, 2.0), await ask(database, "gull"))
    corpus = read_corpus(run.folder_of(database.folder, 1) / "corpus")
    replies = [piece for piece in (*corpus.train, *corpus.held_out) if piece.reply]
    assert replies == [Piece("gull", "the gull has had its fish", True, "the heron counts to 7 slowly")]


# --- Ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("people")
async def test_a_finished_training_speaks_for_its_persona(database: Database, config: Config) -> None:
    job = await ask(database, "kevin", "gullwatcher")
    trained = await do(database, config, real_train, job)
    assert trained.promoted
    assert trained.persona.slug == "gullwatcher-kevin"
    assert trained.results["heldout_loss"] < trained.results["base_heldout_loss"]
    assert (await database.run(lambda db: personas.speaking(db, "kevin+gullwatcher"))).run_id == trained.run_id
    query = "SELECT results FROM runs WHERE id = ?"
    recorded = await database.run(lambda db: db.execute(query, [trained.run_id]).fetchone())
    assert json.loads(recorded[0]) == trained.results
    assert (await state(database, job)).state is JobState.DONE


@pytest.mark.usefixtures("people")
async def test_one_that_is_no_better_than_the_base_does_not_speak(database: Database, config: Config) -> None:
    trained = await do(database, config, measuring(2.0, 2.0), await ask(database, "kevin"))
    assert not trained.promoted
    (persona,) = await database.run(personas.every)
    assert persona.run_id is None


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    "interruption", [TrainingInterrupted(reason="it was asked to stop"), asyncio.CancelledError(), DiskFull(folder="x")]
)
async def test_an_interrupted_job_waits_and_goes_on_with_its_run(
    database: Database, config: Config, interruption: BaseException
) -> None:
    job = await ask(database, "kevin")
    with pytest.raises(type(interruption)):
        await do(database, config, ending(interruption), job)
    waiting = await ask(database, "kevin", seed=None)
    assert (waiting.id, waiting.state, waiting.run_id) == (job.id, JobState.QUEUED, 1)
    begun = run.read_spec(run.folder_of(database.folder, 1))
    # The threads of the beginning stay, whatever the configuration says by then.
    other = config.model_copy(update={"training": config.training.model_copy(update={"threads": 2})})
    assert (await do(database, other, measuring(1.0, 2.0), waiting)).run_id == 1
    assert run.read_spec(run.folder_of(database.folder, 1)) == begun


@pytest.mark.usefixtures("people")
async def test_an_interrupted_job_begins_anew_when_the_text_has_changed(
    database: Database, config: Config, timeline: Callable[..., Path]
) -> None:
    job = await ask(database, "kevin")
    with pytest.raises(TrainingInterrupted):
        await do(database, config, ending(TrainingInterrupted(reason="x")), job)
    await ingest.ingest(database, timeline("kevin", 140), None, 2)
    assert (await do(database, config, measuring(1.0, 2.0), await ask(database, "kevin"))).run_id == 2


@pytest.mark.usefixtures("people")
async def test_an_interrupted_training_never_replaces_a_newer_one(database: Database, config: Config) -> None:
    older = await ask(database, "kevin", seed=1)
    with pytest.raises(TrainingInterrupted):
        await do(database, config, ending(TrainingInterrupted(reason="x")), older)
    newer = await do(database, config, measuring(1.0, 2.0), await ask(database, "kevin", seed=2))
    assert (await state(database, older)).state is JobState.CANCELLED
    assert await database.run(jobs.waiting) == []
    assert (await database.run(lambda db: personas.speaking(db, "kevin"))).run_id == newer.run_id


@pytest.mark.usefixtures("people")
async def test_weights_are_refused_where_the_recipe_does_not_know_them(database: Database) -> None:
    with pytest.raises(BadWeights, match="huggingtweets gives every handle the same share"):
        await request(database, ["kevin", "gullwatcher"], "huggingtweets", [2, 1], 7, 1)


@pytest.mark.usefixtures("people")
async def test_all_weights_are_refused_where_the_recipe_has_adapters_only(database: Database) -> None:
    with pytest.raises(AdaptersOnly, match="The recipe thorough trains adapters only"):
        await request(database, ["kevin"], "thorough-full", None, 7, 1)


@pytest.mark.usefixtures("people")
async def test_a_job_that_failed_is_not_tried_again_by_itself(database: Database, config: Config) -> None:
    job = await ask(database, "kevin")
    with pytest.raises(TrainingFailed):
        await do(database, config, ending(TrainingFailed(reason="a bug")), job)
    failed = await state(database, job)
    assert (failed.state, failed.error) == (JobState.FAILED, "The training failed: a bug.")
    assert await database.run(jobs.waiting) == []


@pytest.mark.usefixtures("people")
async def test_a_missing_base_is_told_before_anything_begins(database: Database, config: Config) -> None:
    lost = config.model_copy(update={"model": config.model.model_copy(update={"base": "./nowhere"})})
    with pytest.raises(BaseUnavailable, match=r"'\./nowhere' is not available"):
        await do(database, lost, real_train, await ask(database, "kevin"))
    assert not (database.folder / "runs").exists()


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
async def test_a_disk_that_fills_up_is_told_and_the_job_waits(database: Database, config: Config, code: int) -> None:
    job = await ask(database, "kevin")
    with pytest.raises(DiskFull, match="free some space"):
        await do(database, config, ending(OSError(code, "no room")), job)
    assert (await state(database, job)).state is JobState.QUEUED
