"""What is compared: each system learns from an author's older tweets and writes new ones.

A recipe trains as the product trains: a run folder, and the trainer as a process of its own. It is given the older
tweets only, and holds out a few of those itself; so what all systems are measured with was seen by none.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from shutil import copyfile, copytree, rmtree
from typing import Any

import markovify
import torch
from tokenizers import Tokenizer
from torch import Tensor

from bench.authors import Author
from bot.app import App
from bot.clock import now_ms
from bot.config import Config, load_config
from bot.errors import TrainingFailed
from bot.flows.imitate import CONTROL
from bot.flows.train import carry_out, request
from bot.pool.child import ALLOWED, FIXED, cores
from bot.pool.protocol import Tell
from bot.store import timelines
from models.checkpoint import read_checkpoint, sha256
from models.engine.batching import Running
from models.engine.device import choose_device
from models.engine.gpt2 import GPT2
from models.engine.slots import ROWS
from models.engine.voices import Voice, Voices, load_base, read_low_rank
from models.prompt import Marks
from models.sampling import HUGGINGTWEETS, Sampling
from models.wire import Done, Failed, Generate
from training import run
from training.corpus import Corpus, build_corpus
from training.engine.evaluate import either_way
from training.recipe import Recipe, recipe_named

ROOT = Path(__file__).parents[1]
RECIPES = ("huggingtweets", "quick", "standard", "thorough")
OTHERS = ("base", "markov", "real", "product")
DEFAULT = ("base", *RECIPES, "markov", "real", "product")
PRODUCT_RECIPE = "standard"
SEEDS_APART = 1_000  # between two requests to the product, each of which tries many
AT_ONCE = 5  # texts of one request to the product: what people get when they say no number
LOOK_EVERY = 0.1  # seconds between two looks at the trainer's memory
TRIES = 4  # Markov chains give up on many texts: sentences asked for, for each one wanted


@dataclass(frozen=True)
class Bench:
    """What is the same for all systems. `threads` 0 is what the product takes; `overrides` of the sampling are for
    every system that the product's own sampling is for."""

    base: str
    base_folder: Path
    tweets: int = 200
    seed: int = 0
    device: str = "auto"
    threads: int = 0
    overrides: tuple[tuple[str, float | int], ...] = ()

    @property
    def config(self) -> Config:
        """The product's configuration, for a training of whatever size."""
        chosen = {
            "MODEL__BASE": str(self.base_folder),
            "MODEL__DEVICE": self.device,
            "MODEL__THREADS": str(self.threads),
            "TRAINING__THREADS": str(self.threads),
            "TRAINING__MIN_CHARACTERS": "0",
            **{f"SAMPLING__{name.upper()}": str(value) for name, value in self.overrides},
        }
        # Not the file of whoever measures: all that is not said here is the default.
        return load_config(Path(os.devnull), {f"MOCKINGBIRD__{name}": value for name, value in chosen.items()})

    def voices(self) -> Voices:
        """What a worker speaks with."""
        return Voices(choose_device(self.device), self.threads or max(1, cores() - 1), 0)

    def sampling(self, system: str) -> Sampling:
        """huggingtweets draws as it did; all others as the product does."""
        if system == "huggingtweets":
            return HUGGINGTWEETS
        chosen = self.config.sampling
        return Sampling(chosen.temperature, chosen.top_p, chosen.top_k, chosen.max_tokens)


@dataclass(frozen=True)
class Made:
    """What a system wrote, stripped, and what that cost; a figure that does not exist is left out."""

    texts: tuple[str, ...]
    figures: dict[str, Any]


def recipe_of(system: str) -> Recipe | None:
    """The recipe that a system trains by; None for those that are no recipe's. SystemExit for an unknown one."""
    if system in OTHERS:
        return None
    try:
        return recipe_named(system)
    except KeyError:
        names = ", ".join((*DEFAULT, "standard-full"))
        raise SystemExit(f'There is no system "{system}": choose of {names}.') from None


def make(system: str, author: Author, bench: Bench, work: Path) -> Made:
    """Lets a system learn and write; trainings are kept in the folder `work`. Raises MockingbirdError."""
    match system:
        case "real":
            return real(author, bench)
        case "markov":
            return markov(author, bench)
        case "base":
            return speak(None, author, bench, bench.sampling(system))
        case "product":
            return asyncio.run(product(author, bench, work))
    folder, cost = trained(system, author, bench, work)
    spoken = speak(folder / "checkpoint", author, bench, bench.sampling(system))
    return Made(spoken.texts, {**cost, **spoken.figures})


# --- Learning ---------------------------------------------------------------------------------------------------------


def trained(system: str, author: Author, bench: Bench, work: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of a finished run and its cost; one that `work` holds of exactly this training is taken as it is."""
    recipe = recipe_of(system)
    assert recipe is not None
    corpus = build_corpus({author.handle: author.older}, recipe)
    return trained_on(corpus, (author.handle,), recipe, bench, work / f"{author.handle}-{system}")


def trained_on(
    corpus: Corpus, handles: tuple[str, ...], recipe: Recipe, bench: Bench, folder: Path
) -> tuple[Path, dict[str, Any]]:
    """A finished run in that folder, of these handles in equal shares, and its cost, as `trained`."""
    spec = run.Spec(
        recipe=recipe,
        seed=bench.seed,
        handles=handles,
        weights=(1.0,) * len(handles),
        base=str(bench.base_folder),
        base_folder=str(bench.base_folder),
        device=bench.device,
        threads=bench.threads or cores(),
        fingerprint=corpus.fingerprint,
        base_sha256=sha256(bench.base_folder / "model.safetensors"),
    )
    made_by = code_of("models", "training")
    # One that was interrupted begins anew: what it cost would be the cost of two halves. So does one of other code.
    held = folder / "cost.json"
    known = (
        held.is_file() and run.read_spec(folder) == spec and json.loads(held.read_text("utf-8")).get("code") == made_by
    )
    if not known:
        run.begin(folder, spec, corpus)
        wall, memory = run_trainer(folder)
        results = run.results(folder)
        assert results is not None
        cost = {
            "train_seconds": results["train_seconds"],
            "fixed_seconds": wall - results["train_seconds"],
            "train_tokens_per_second": results["tokens_per_second"],
            "train_steps": results["steps"],
            "peak_memory_mb": memory,
            "checkpoint_bytes": results["checkpoint_bytes"],
        }
        run.write_json(held, {"code": made_by, "cost": cost})
    return folder, json.loads(held.read_text("utf-8"))["cost"]


def code_of(*folders: str) -> str:
    """A digest of our own code in these folders: what other code has made is not what this one would make."""
    digest = hashlib.sha256()
    for path in sorted(path for name in folders for path in (ROOT / name).rglob("*.py")):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def run_trainer(folder: Path) -> tuple[float, float | None]:
    """Runs the trainer as the product does; returns its seconds from start to exit and the most memory that it had,
    in MB (None where there is no /proc). Raises TrainingFailed."""
    environment = {name: os.environ[name] for name in ALLOWED if name in os.environ} | FIXED
    command = [sys.executable, "-P", "-m", "training.engine", "train", str(folder)]
    log = folder / "trainer.log"
    peak: float | None = None
    began = time.monotonic()
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment)
        try:
            while process.poll() is None:
                # Not getrusage: Linux counts there what we had when the child was started, too.
                peak = peak_memory_mb(process.pid) or peak
                try:
                    process.wait(LOOK_EVERY)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            process.terminate()
            process.wait()
    wall = time.monotonic() - began
    if process.returncode:
        said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise TrainingFailed(reason=said[-1] if said else f"it ended with status {process.returncode}")
    return wall, peak


def peak_memory_mb(pid: int) -> float | None:
    """The most memory that a process has had at once so far, in MB of 10^6 bytes."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    except OSError:
        return None
    return int(found[1]) * 1024 / 1e6 if found else None


# --- Writing ----------------------------------------------------------------------------------------------------------


def speak(checkpoint: Path | None, author: Author, bench: Bench, sampling: Sampling) -> Made:
    """Texts without a prompt from the engine, and how well it predicts the held-out ones."""
    voice = bench.voices().get(str(bench.base_folder), str(checkpoint) if checkpoint else None)
    made = unprompted(voice, bench, sampling)
    return Made(made.texts, made.figures | predict(reader_of(checkpoint, bench), author))


def unprompted(voice: Voice, bench: Bench, sampling: Sampling) -> Made:
    """Texts without a prompt from the engine, seeds from `bench.seed` on."""
    seeds = range(bench.seed, bench.seed + bench.tweets)
    began = time.monotonic()
    found = written(voice, [Generate(n, "", None, "", seed, sampling) for n, seed in enumerate(seeds)])
    seconds = time.monotonic() - began
    figures = {"seconds": seconds, "tokens_per_second": sum(done.tokens for done in found) / seconds}
    return Made(tuple(CONTROL.sub("", done.text).strip() for done in found), figures)


def written(voice: Voice, requests: Sequence[Generate]) -> list[Done]:
    """What a voice writes, in the order of the requests, with as many under way as a step has rows. Their own names of
    a base and a checkpoint are not looked at."""
    found: dict[int, Done] = {}
    running = Running()
    waiting = list(reversed(requests))
    under_way = 0
    while waiting or running:
        while waiting and under_way < ROWS:
            running.join(waiting.pop(), voice)
            under_way += 1
        for done in running.step():
            if isinstance(done, Failed):
                raise RuntimeError(done.message)
            found[done.id] = done
            under_way -= 1
    return [found[request.id] for request in requests]


@dataclass(frozen=True)
class Reader:
    """A voice as the trainer has it: in torch, and in the precision in which it scores."""

    model: GPT2
    tokenizer: Tokenizer
    marks: Marks
    low_rank: dict[str, tuple[Tensor, Tensor]]


def reader_of(checkpoint: Path | None, bench: Bench) -> Reader:
    torch.set_num_threads(bench.threads or max(1, cores() - 1))
    device = choose_device(bench.device)
    facts = read_checkpoint(checkpoint) if checkpoint else None
    whole = facts is not None and facts.kind == "model"
    base = load_base(
        checkpoint if checkpoint and whole else bench.base_folder, lambda folder: GPT2.load(folder, device).eval()
    )
    pairs = read_low_rank(checkpoint, facts) if checkpoint and facts and not whole else {}
    low_rank = {
        name: (torch.from_numpy(a).to(device).float(), torch.from_numpy(b).to(device).float())
        for name, (a, b) in pairs.items()
    }
    return Reader(base.model, base.tokenizer, base.marks, low_rank)


def voice_of(reader: Reader, bench: Bench) -> Voice:
    """What a reader with an adapter speaks with."""
    voice = bench.voices().get(str(bench.base_folder), None)
    low_rank = {name: (a.cpu().numpy(), b.cpu().numpy()) for name, (a, b) in reader.low_rank.items()}
    return replace(voice, low_rank=low_rank)


def predict(reader: Reader, author: Author) -> dict[str, float | int]:
    """How many bits a byte of the held-out texts costs a voice, each text's end counted as a byte, whether the voice
    would write it as a tweet or as a reply (`training.engine.evaluate.either_way`)."""
    encodings = reader.tokenizer.encode_batch([piece.text for piece in author.held_out])
    # Only a text longer than the base's context is scored in part, and then only the part counts.
    room = reader.model.config.n_positions - 2
    ids = [encoding.ids[:room] for encoding in encodings]
    nats = either_way(reader.model, ids, reader.marks, reader.low_rank or None)
    size = sum(sum(map(len, encoding.tokens[:room])) + 1 for encoding in encodings)
    return {"bits_per_byte": nats / math.log(2) / size, "held_out_bytes": size}


def real(author: Author, bench: Bench) -> Made:
    """The ceiling: the held-out tweets themselves, a random choice where there are more than are wanted."""
    wanted = min(bench.tweets, len(author.held_out))
    chosen = random.Random(bench.seed).sample(author.held_out, wanted)
    return Made(tuple(piece.text for piece in chosen), {})


def markov(author: Author, bench: Bench) -> Made:
    """markovify as such bots use it: a tweet a line, two words of memory, texts too like the corpus thrown away. It
    gives up on a text after ten tries, so with little to learn from it makes fewer than are wanted."""
    random.seed(bench.seed)  # markovify draws from the common generator
    began = time.monotonic()
    try:
        model = markovify.NewlineText("\n".join(" ".join(text.split()) for text in author.known))
    except (KeyError, IndexError):  # it refuses lines with quotes and brackets, and all may have some
        return Made((), {})
    learnt = time.monotonic()
    texts: list[str] = []
    for _ in range(TRIES * bench.tweets):
        if len(texts) == bench.tweets:
            break
        texts += [text for text in [model.make_sentence()] if text]
    figures = {"train_seconds": learnt - began, "seconds": time.monotonic() - learnt}
    return Made(tuple(texts), {**figures, "checkpoint_bytes": len(model.to_json().encode())})


# --- The product ------------------------------------------------------------------------------------------------------


async def product(author: Author, bench: Bench, work: Path) -> Made:
    """What a person gets: texts that the imitator, which may choose among several, hands out as accepted. It speaks
    with the checkpoint of the system `standard`, promoted by the product's own training."""
    finished, cost = trained(PRODUCT_RECIPE, author, bench, work)

    async def place(folder: Path, tell: Tell) -> None:
        """The training that is there already."""
        if not run.read_spec(finished).same_work(run.read_spec(folder)):
            raise AssertionError("the product trains otherwise than the system whose cost and figures it is given")
        copyfile(finished / "results.json", folder / "results.json")
        copytree(finished / "checkpoint", folder / "checkpoint")

    data = work / f"{author.handle}-product"
    rmtree(data, ignore_errors=True)
    async with App(bench.config, data, {}) as app:
        database = app.database
        await database.run(lambda db: timelines.hold(db, author.handle, None, author.older, now_ms()))
        job = await request(database, [author.handle], PRODUCT_RECIPE, None, bench.seed, now_ms())
        done = await carry_out(database, app.config, app.find_base, place, job, lambda _: None, lambda _: None)
        await app.imitator.imitate(done.persona.slug, "", 1, bench.seed, app.sampling)  # the worker's start is no work
        texts: list[str] = []
        began = time.monotonic()
        for request_number in range(-(-bench.tweets // AT_ONCE)):
            seed = bench.seed + SEEDS_APART * request_number
            imitation = await app.imitator.imitate(done.persona.slug, "", AT_ONCE, seed, app.sampling)
            texts += [candidate.text for candidate in imitation.accepted]
        seconds = time.monotonic() - began
    rmtree(data)
    predicted = predict(reader_of(finished / "checkpoint", bench), author)
    return Made(tuple(texts[: bench.tweets]), {**cost, "seconds": seconds, **predicted})


def settings_of(system: str, bench: Bench) -> dict[str, Any]:
    """What decides a row, beyond what is the same for all: a row made otherwise is made again."""
    recipe = recipe_of(PRODUCT_RECIPE if system == "product" else system)
    speaks = system not in ("markov", "real")
    settings: dict[str, Any] = {
        "recipe": asdict(recipe) if recipe else None,
        "sampling": asdict(bench.sampling(system)) if speaks else None,
        "code": code_of("bench", "models", "training", *(["bot"] if system == "product" else [])),
    }
    return settings | ({"choice": bench.config.sampling.model_dump()} if system == "product" else {})
