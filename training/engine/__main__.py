"""The trainer: `python -P -m training.engine train RUN_FOLDER` does one run, or what is left of it, and exits."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import socket
import time
from pathlib import Path
from types import FrameType

import torch
from safetensors.torch import save_file
from torch import Tensor

from models.checkpoint import Checkpoint, publish, write_checkpoint
from models.engine.device import choose_device
from models.engine.gpt2 import GPT2
from models.engine.voices import Base, BaseProblem, load_base
from models.lifeline import TRAINER, die_with_parent, give_way
from models.wire import Progress, encode
from training import run
from training.corpus import read_corpus
from training.engine.data import make_plan, tokenise
from training.engine.evaluate import Score, evaluate, held_out_rows
from training.engine.lease import Lease
from training.engine.loop import SAVE_SECONDS, Stopped, Tick, Trained, Trainee, Training

TELL_EVERY = 0.25  # seconds between two reports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["train"])
    parser.add_argument("run", type=Path)
    parser.add_argument("--fd", type=int, help="an inherited socket to report progress on")
    parser.add_argument("--save-seconds", type=float, default=SAVE_SECONDS, help="0: after every step")
    arguments = parser.parse_args()
    bot = socket.socket(fileno=arguments.fd) if arguments.fd is not None else None
    if bot is not None:
        die_with_parent()
        give_way(TRAINER)
    stop = Stop()
    signal.signal(signal.SIGTERM, stop)
    try:
        train(arguments.run, bot, stop, arguments.save_seconds)
    except Stopped:
        raise SystemExit(run.STOPPED) from None


class Stop:
    """Remembers that SIGTERM came: the loop looks between two steps."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def now(self) -> bool:
        return self.asked


def train(folder: Path, bot: socket.socket | None, stop: Stop, save_seconds: float = SAVE_SECONDS) -> None:
    """Does the run in `folder` and publishes its checkpoint; if that is there already, only tidies up.
    Raises BaseProblem, Stopped."""
    if run.results(folder) is not None:
        run.drop_states(folder)  # a kill between the checkpoint's rename and the end leaves them
        return
    spec = run.read_spec(folder)
    torch.set_num_threads(spec.threads)
    corpus = read_corpus(folder / "corpus")
    device = choose_device(spec.device)
    base = load_base(Path(spec.base_folder), lambda folder: GPT2.load(folder, device))
    if base.sha256 != spec.base_sha256:
        raise BaseProblem(f"{spec.base_folder} no longer holds the base that this run began with; train again")
    n_positions = base.model.config.n_positions
    held_out = held_out_rows(corpus.held_out, base.tokenizer, base.marks, n_positions)
    lease = Lease(bot, stop.now)
    lease.wait()
    base_score = evaluate(base.model, held_out)
    texts = tokenise(corpus.train, base.tokenizer, spec.handles)
    plan = make_plan(texts, spec.weights, spec.recipe, spec.seed, base.marks, n_positions)
    training = Training(Trainee(base.model, spec.recipe, spec.seed), plan, held_out, folder, save_seconds)
    trained = training.run(Reporter(folder, bot), stop.now, lease.wait)
    finish(folder, spec, base, trained, base_score)


class Reporter:
    """Passes the loop's ticks on to progress.jsonl and to the bot, a few a second."""

    def __init__(self, folder: Path, bot: socket.socket | None) -> None:
        self.folder, self.bot = folder, bot
        self.told = 0.0
        self.first: tuple[int, float] | None = None

    def __call__(self, tick: Tick) -> None:
        now, step, seconds = time.monotonic(), tick.position.step, tick.position.seconds
        if self.first is None:
            self.first = (step, seconds)
        if tick.held_out_loss is None and step < tick.steps and now - self.told < TELL_EVERY:
            return
        self.told = now
        done, elapsed = step - self.first[0], seconds - self.first[1]
        eta = (tick.steps - step) * elapsed / done if done else 0.0
        run.report(self.folder, step=step, steps=tick.steps, loss=tick.loss, heldout_loss=tick.held_out_loss)
        if self.bot is not None:
            try:
                self.bot.sendall(encode(Progress(step, tick.steps, tick.loss, tick.held_out_loss, eta)))
            except OSError:
                self.bot = None  # it has hung up, perhaps to end us; a hint unheard must not cost the state


def finish(folder: Path, spec: run.Spec, base: Base[GPT2], trained: Trained, base_score: Score) -> None:
    """Writes the checkpoint beside its final place, then the results, then renames it."""
    fresh = folder / "checkpoint.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    recipe = spec.recipe
    if recipe.method == "full":
        write_whole_model(fresh, Path(spec.base_folder), trained.tensors)
        checkpoint = Checkpoint("model", spec.base, base.sha256)
    else:
        rank = recipe.rank * recipe.members
        write_adapter(fresh, trained.tensors, recipe.alpha / rank)
        checkpoint = Checkpoint("adapter", spec.base, base.sha256, rank, float(rank))
    write_checkpoint(fresh, checkpoint)
    position, score = trained.position, trained.score
    run.write_json(
        folder / "results.json",
        {
            "steps": position.step,
            "train_seconds": position.seconds,
            "tokens_per_second": position.tokens / position.seconds if position.seconds else None,
            "heldout_loss": score.loss,
            "base_heldout_loss": base_score.loss,
            "heldout_perplexity": score.perplexity,
            "heldout_bits_per_byte": score.bits_per_byte,
            "base_heldout_bits_per_byte": base_score.bits_per_byte,
            "epoch_heldout_losses": position.losses,
            "checkpoint_bytes": sum(path.stat().st_size for path in fresh.iterdir()),
        },
    )
    publish(fresh, folder / "checkpoint")
    run.drop_states(folder)


def write_adapter(fresh: Path, tensors: dict[str, Tensor], scale: float) -> None:
    """In 16 bits, with B scaled already: it would cost a worker more time than all else of loading a persona."""
    held = {name: tensor * scale if name.endswith(".lora_B") else tensor for name, tensor in tensors.items()}
    save_file({name: tensor.half().cpu().contiguous() for name, tensor in held.items()}, fresh / "adapter.safetensors")


def write_whole_model(fresh: Path, base: Path, tensors: dict[str, Tensor]) -> None:
    """A full fine-tune is a base of its own: its weights, the base's config with their type, and the tokenizer."""
    weights = {f"transformer.{name}": tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_file(weights, fresh / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    config.pop("torch_dtype", None)
    (fresh / "config.json").write_text(json.dumps({**config, "dtype": "float32"}, indent=2) + "\n", encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
        if (base / name).exists():
            shutil.copyfile(base / name, fresh / name)


if __name__ == "__main__":
    main()
