"""A training that is stopped, killed or damaged ends with the very weights that an undisturbed one ends with."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from models.checkpoint import DamagedCheckpoint, read_checkpoint, sha256, verify
from models.engine.gpt2 import GPT2
from models.engine.voices import BaseProblem, load_base
from models.inbox import Inbox
from models.wire import Progress
from tests.factories import make_base, sentences, torch_low_rank
from training import run
from training.corpus import Corpus, Piece, read_corpus
from training.engine.__main__ import Stop, train
from training.engine.evaluate import evaluate, held_out_rows
from training.engine.loop import Stopped
from training.recipe import Recipe, recipe_named

TINY: dict[str, Any] = {"batch_tokens": 96, "epochs": 3.0}
RECIPES = [
    replace(recipe_named("standard"), rank=4, **TINY),
    replace(recipe_named("standard-full"), **TINY),
    recipe_named("huggingtweets"),
    replace(recipe_named("thorough"), rank=4, **TINY),
]
EACH = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), dropout=0.1)


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def begin(folder: Path, base: Path, recipe: Recipe, threads: int = 1, held_out: Sequence[str] = ()) -> Path:
    train_part = tuple(Piece(handle, text) for handle in ("jo", "al") for text in sentences(20, seed=len(handle)))
    train_part += (Piece("al", "seven small loaves", True, "how many do we bake"), Piece("jo", "no", True))
    corpus = Corpus(train_part, tuple(Piece("jo", text) for text in held_out or sentences(6, seed=9)))
    facts = ("tiny", str(base), "cpu", threads, corpus.fingerprint, sha256(base / "model.safetensors"))
    run.begin(folder, run.Spec(recipe, 5, ("jo", "al"), (1.0, 1.0), *facts), corpus)
    return folder


class StopAt(Stop):
    """Asks to stop, or fails, when the loop looks for the `look`th time."""

    def __init__(self, look: int, failure: Exception | None = None) -> None:
        super().__init__()
        self.left, self.failure = look, failure

    def now(self) -> bool:
        self.left -= 1
        if self.left == 0 and self.failure is not None:
            raise self.failure
        return self.left == 0


def stop_after(folder: Path, steps: int) -> None:
    with pytest.raises(Stopped):
        train(folder, None, StopAt(steps), 0.0)


def states(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("state-")) for path in folder.glob("state-*"))


def outcome(folder: Path) -> tuple[bytes, dict[str, Any]]:
    """The weights as they lie on the disk, and all results that are no measurements of time."""
    checkpoint = read_checkpoint(folder / "checkpoint")
    spec = run.read_spec(folder)
    whole = checkpoint.kind == "model"
    base = load_base(folder / "checkpoint" if whole else Path(spec.base_folder), GPT2.load)
    low_rank = {} if whole else torch_low_rank(folder / "checkpoint")
    held_out = held_out_rows(read_corpus(folder / "corpus").held_out, base.tokenizer, base.marks, 64)
    name = "model.safetensors" if checkpoint.kind == "model" else "adapter.safetensors"
    results = dict(run.results(folder) or {})
    assert results.pop("train_seconds") > 0
    assert results.pop("tokens_per_second") > 0
    # What was measured in training is what speaks, but for the adapter's 16 bits.
    assert evaluate(base.model.eval(), held_out, low_rank).loss == pytest.approx(results["heldout_loss"], rel=1e-4)
    return (folder / "checkpoint" / name).read_bytes(), results


Undisturbed = Callable[..., tuple[bytes, dict[str, Any]]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Undisturbed:
    """What a training without any interruption ends with."""
    known: dict[tuple[Recipe, int], tuple[bytes, dict[str, Any]]] = {}

    def make(recipe: Recipe, threads: int = 1) -> tuple[bytes, dict[str, Any]]:
        if (recipe, threads) not in known:
            folder = begin(tmp_path_factory.mktemp("undisturbed") / "run", base, recipe, threads)
            train(folder, None, Stop())
            assert not states(folder)
            known[recipe, threads] = outcome(folder)
        return known[recipe, threads]

    return make


@EACH
@pytest.mark.parametrize("threads", [1, 2])
def test_a_training_stopped_and_broken_off_at_random_ends_the_same(
    recipe: Recipe, threads: int, base: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    folder = begin(tmp_path / "run", base, recipe, threads)
    rng = random.Random(f"{recipe.name} {threads}")
    attempts = 0
    while run.results(folder) is None:
        failure = rng.choice([None, OSError("power cut")])
        try:
            train(folder, None, StopAt(rng.randint(1, 9), failure), rng.choice([0.0, 10.0]))
        except (Stopped, OSError):
            attempts += 1
        assert attempts < 100
    assert attempts >= 3
    assert outcome(folder) == undisturbed(recipe, threads)
    assert not states(folder)


@EACH
def test_a_damaged_newest_state_falls_back_to_the_one_before(
    recipe: Recipe, base: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    folder = begin(tmp_path / "run", base, recipe)
    stop_after(folder, 7)
    assert states(folder) == [6, 7]
    flip(folder / "state-000007" / "tensors.safetensors")
    stop_after(folder, 1)
    assert states(folder) == [6, 7]  # it went on from 6
    verify(folder / "state-000007")
    train(folder, None, Stop())
    assert outcome(folder) == undisturbed(recipe)


def test_without_any_whole_state_it_begins_again(base: Path, tmp_path: Path, undisturbed: Undisturbed) -> None:
    folder = begin(tmp_path / "run", base, RECIPES[0])
    stop_after(folder, 7)
    flip(folder / "state-000006" / "position.json")
    (folder / "state-000007" / "manifest.json").unlink()
    stop_after(folder, 3)
    # The damaged ones are further on, but must not push out those that can be read.
    assert states(folder) == [2, 3]
    train(folder, None, Stop())
    assert outcome(folder) == undisturbed(RECIPES[0])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpoint):
        verify(path.parent)


def test_a_finish_that_was_cut_short_is_done_again(base: Path, tmp_path: Path, undisturbed: Undisturbed) -> None:
    folder = begin(tmp_path / "run", base, RECIPES[0])
    train(folder, None, Stop())
    (folder / "checkpoint").rename(folder / "checkpoint.new")  # as a kill before the last rename leaves it
    assert run.results(folder) is None
    train(folder, None, Stop())
    assert outcome(folder) == undisturbed(RECIPES[0])
    before = (folder / "results.json").stat().st_mtime_ns
    (folder / "state-000007").mkdir()  # as a kill after the last rename leaves it
    train(folder, None, Stop())  # and once it is done, nothing more is but tidying up
    assert not states(folder)
    assert (folder / "results.json").stat().st_mtime_ns == before


def test_a_run_goes_on_where_its_base_was_moved_to(base: Path, tmp_path: Path, undisturbed: Undisturbed) -> None:
    moved = Path(shutil.copytree(base, tmp_path / "there"))
    folder = begin(tmp_path / "run", moved, RECIPES[0])
    stop_after(folder, 5)
    moved = moved.rename(tmp_path / "elsewhere")
    run.go_on(folder, replace(run.read_spec(folder), base_folder=str(moved), threads=2))
    train(folder, None, Stop())
    assert outcome(folder) == undisturbed(RECIPES[0])


def test_another_base_in_the_old_place_is_refused(base: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(base, tmp_path / "base"))
    folder = begin(tmp_path / "run", place, RECIPES[0])
    stop_after(folder, 3)
    make_base(place, seed=1, dropout=0.1)
    with pytest.raises(BaseProblem, match="no longer holds the base that this run began with; train again"):
        train(folder, None, Stop())
    assert states(folder) == [2, 3]


def test_a_training_gone_astray_says_null_where_it_has_no_number(base: Path, tmp_path: Path) -> None:
    folder = begin(tmp_path / "run", base, replace(RECIPES[1], learning_rate=float("1e30"), clip=1e30))
    train(folder, None, Stop())
    written = (folder / "results.json").read_text(encoding="utf-8")
    results = json.loads(written, parse_constant=pytest.fail)
    assert results["heldout_loss"] is results["heldout_perplexity"] is results["heldout_bits_per_byte"] is None
    assert results["base_heldout_loss"] > 0


def test_states_are_rare_unless_asked_for(base: Path, tmp_path: Path) -> None:
    folder = begin(tmp_path / "run", base, RECIPES[0])
    with pytest.raises(OSError, match="power cut"):
        train(folder, None, StopAt(9, OSError("power cut")))
    assert states(folder) == []


# --- The trainer as a process -----------------------------------------------------------------------------------------

# Enough to be disturbed in the middle.
LONG = [replace(recipe, epochs=3 * recipe.epochs) for recipe in RECIPES]


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "training.engine", "train", str(folder), *arguments]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    with open(folder / "trainer.log", "ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment)


def wait_until(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    while not ready():
        assert process.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.002)


def kill_at(folder: Path, step: int) -> None:
    with start(folder, "--save-seconds", "0") as process:
        wait_until(process, lambda: max(states(folder), default=0) >= step)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert run.results(folder) is None


@pytest.mark.parametrize(("recipe", "kills"), [(LONG[0], 2), (LONG[2], 1)], ids=["standard", "huggingtweets"])
def test_a_killed_trainer_goes_on_to_the_same_weights(
    recipe: Recipe, kills: int, base: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    expected = undisturbed(recipe, 2)
    folder = begin(tmp_path / "run", base, recipe, threads=2)
    rng = random.Random(recipe.name)
    steps = expected[1]["steps"]
    for step in sorted(rng.sample(range(1, steps * 3 // 4), kills)):
        kill_at(folder, step)
    with start(folder) as process:
        assert process.wait() == 0, (folder / "trainer.log").read_text(encoding="utf-8")
    assert outcome(folder) == expected


def test_a_terminated_trainer_saves_says_so_and_goes_on_to_the_same_weights(
    base: Path, tmp_path: Path, undisturbed: Undisturbed
) -> None:
    folder = begin(tmp_path / "run", base, LONG[1])
    with start(folder) as process:
        wait_until(process, (folder / "progress.jsonl").exists)
        process.terminate()
    assert process.returncode == run.STOPPED == 75
    (saved,) = states(folder)
    verify(folder / f"state-{saved:06d}")
    train(folder, None, Stop())
    assert outcome(folder) == undisturbed(LONG[1])


def test_the_bot_hears_of_the_progress(base: Path, tmp_path: Path) -> None:
    folder = begin(tmp_path / "run", base, RECIPES[0])
    ours, theirs = socket.socketpair()
    with ours, theirs:
        train(folder, theirs, Stop())
        heard = [message for message in Inbox(ours).arrived(wait=True) if isinstance(message, Progress)]
    results = run.results(folder)
    assert results is not None
    assert heard[-1].step == heard[-1].steps == results["steps"]
    assert [message.heldout_loss for message in heard if message.heldout_loss] == results["epoch_heldout_losses"]


def test_a_bot_that_has_hung_up_costs_no_training(base: Path, tmp_path: Path, undisturbed: Undisturbed) -> None:
    folder = begin(tmp_path / "run", base, RECIPES[0])
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs:
        train(folder, theirs, Stop())
    assert outcome(folder) == undisturbed(RECIPES[0])
