"""The trainer's ends: done, interrupted and to be gone on with, or failed for good."""

import asyncio
import itertools
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.errors import TrainingFailed, TrainingInterrupted
from bot.pool.trainer import train
from models.checkpoint import sha256
from models.wire import Progress
from tests.command import children, tweets_of
from training import run
from training.corpus import build_corpus
from training.recipe import recipe_named
from training.timeline import Tweet

LONGEST = 90.0  # seconds: only a hang takes so long
MODULE = "training.engine"


def begun(folder: Path, base: Path, **chosen: Any) -> Path:
    """A run folder as the flow leaves it to the trainer."""
    recipe = replace(recipe_named("quick"), epochs=chosen.pop("epochs", 1))
    tweets = [Tweet(row["id"], row["text"], number, "jo") for number, row in enumerate(tweets_of("jo", 150, 1))]
    corpus = build_corpus({"jo": tweets}, recipe)
    digest = sha256(base / "model.safetensors") if base.exists() else ""
    spec = run.Spec(recipe, 7, ("jo",), (1.0,), "tiny", str(base), "cpu", 1, corpus.fingerprint, digest)
    run.begin(folder, replace(spec, **chosen), corpus)
    return folder


def trainer() -> int:
    (pid,) = children(os.getpid(), MODULE)
    return pid


def at_step(step: int, act: Callable[[], object]) -> Callable[[Progress], None]:
    """Acts once, at the first progress from this step on."""
    calls = itertools.count()

    def tell(progress: Progress) -> None:
        if progress.step >= step and next(calls) == 0:
            act()

    return tell


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "progress.jsonl").read_text().splitlines()]


async def test_a_finished_run_has_told_of_its_progress_and_seen_no_secret(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary")
    folder = begun(tmp_path / "1", tiny_base)
    told: list[Progress] = []
    seen: list[bytes] = []

    def tell(progress: Progress) -> None:
        told.append(progress)
        if not seen:
            seen.append(Path(f"/proc/{trainer()}/environ").read_bytes())

    await asyncio.wait_for(train(folder, tell), LONGEST)
    results = run.results(folder)
    assert results is not None
    assert told[-1].step == told[-1].steps == results["steps"]
    assert [progress.heldout_loss for progress in told if progress.heldout_loss] == results["epoch_heldout_losses"]
    assert b"PATH=" in seen[0]
    assert b"canary" not in seen[0]


async def test_a_killed_trainer_is_an_interruption(tiny_base: Path, tmp_path: Path) -> None:
    folder = begun(tmp_path / "1", tiny_base, epochs=8)
    with pytest.raises(TrainingInterrupted, match=r"stopped before it was done \(killed by signal 9\)"):
        await asyncio.wait_for(train(folder, at_step(1, lambda: os.kill(trainer(), signal.SIGKILL))), LONGEST)
    assert run.results(folder) is None


async def test_a_trainer_that_is_told_to_stop_saves_its_state_first(tiny_base: Path, tmp_path: Path) -> None:
    folder = begun(tmp_path / "1", tiny_base, epochs=8)
    with pytest.raises(TrainingInterrupted, match="asked to stop"):
        await asyncio.wait_for(train(folder, at_step(3, lambda: os.kill(trainer(), signal.SIGTERM))), LONGEST)
    (state,) = folder.glob("state-*")
    assert int(state.name.removeprefix("state-")) >= steps(folder)[-1] >= 3


async def test_a_cancelled_training_goes_on_where_it_stopped(tiny_base: Path, tmp_path: Path) -> None:
    folder = begun(tmp_path / "1", tiny_base, epochs=8)
    task = asyncio.create_task(train(folder, at_step(3, lambda: task.cancel())))
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, LONGEST)
    assert children(os.getpid(), MODULE) == []
    (state,) = folder.glob("state-*")
    before = steps(folder)
    await asyncio.wait_for(train(folder, lambda progress: None), LONGEST)
    assert steps(folder)[len(before)] == int(state.name.removeprefix("state-")) + 1 > 3
    assert run.results(folder) is not None


async def test_a_trainer_that_fails_says_why(tiny_base: Path, tmp_path: Path) -> None:
    folder = begun(tmp_path / "1", tiny_base, base_folder=str(tmp_path / "nowhere"))
    with pytest.raises(TrainingFailed, match=r"nowhere.*all of it stands in .*trainer\.log"):
        await asyncio.wait_for(train(folder, lambda progress: None), LONGEST)
