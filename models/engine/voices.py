"""The voices a worker can speak with: bases, adapters and whole models, loaded on demand, least recently used out."""

from __future__ import annotations

import contextlib
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from models.checkpoint import Checkpoint, DamagedCheckpoint, read_checkpoint, sha256
from models.engine.shape import GPT2Config, low_rank_pairs
from models.engine.slots import LowRank, Model
from models.engine.tokenizer import load_tokenizer, marks_of
from models.prompt import Marks, without_marks

M = TypeVar("M")
SHA256_DIGITS = 64
GRAPH_VERSION = 1  # of what CpuModel writes: another number makes it anew


class BaseProblem(ValueError):
    """A base folder that cannot be loaded."""


@dataclass(frozen=True)
class Base(Generic[M]):
    """A pretrained model with its tokenizer; `sha256` is that of its weights."""

    model: M
    tokenizer: Tokenizer
    marks: Marks
    sha256: str


@dataclass(frozen=True)
class Voice:
    """What one request speaks with; the adapter in 16 bits."""

    model: Model
    tokenizer: Tokenizer
    marks: Marks
    low_rank: LowRank
    bytes: int

    def tokens(self, text: str) -> list[int]:
        """The tokens of what somebody wrote."""
        ids: list[int] = self.tokenizer.encode(without_marks(text)).ids
        return ids


def load_base(folder: Path, load: Callable[[Path], M], digest: Callable[[Path], str] = sha256) -> Base[M]:
    """Loads a base folder, its model by `load`; raises BaseProblem."""
    try:
        model = load(folder)
        tokenizer = load_tokenizer(folder)
        return Base(model, tokenizer, marks_of(tokenizer), digest(folder / "model.safetensors"))
    except Exception as error:
        raise BaseProblem(f"{folder}: {error}") from error


def read_low_rank(folder: Path, checkpoint: Checkpoint) -> LowRank:
    """adapter.safetensors -> (A, B * alpha / rank) by the name of the weight, in 16 bits."""
    tensors = {name: value.astype(np.float16) for name, value in load_file(folder / "adapter.safetensors").items()}
    return low_rank_pairs(tensors, checkpoint.alpha / checkpoint.rank)


def check_shapes(low_rank: LowRank, config: GPT2Config) -> None:
    """Raises DamagedCheckpoint unless every pair fits its weight: others are in the same batch."""
    shapes = config.adaptable
    for name, (a, b) in low_rank.items():
        if name not in shapes or (a.shape[0], b.shape[-1]) != shapes[name] or a.shape[1:] != b.shape[:1]:
            raise DamagedCheckpoint(f"its difference to {name} is of the shape {a.shape} by {b.shape}")


class Voices:
    """Keeps bases for good and checkpoints up to `budget` bytes, the least recently used going first."""

    def __init__(self, device: str, threads: int, budget: int, cache: Path | None = None) -> None:
        """`cache` is a folder for what takes long to make of a base's files and can be made anew at any time."""
        self.device, self.threads, self.budget, self.cache = device, threads, budget, cache
        self._bases: dict[str, Base[Model]] = {}
        self._bares: dict[str, Voice] = {}  # bases that speak for themselves
        self._voices: OrderedDict[tuple[str, str], Voice] = OrderedDict()

    def get(self, base: str, checkpoint: str | None) -> Voice:
        """Loads or finds a voice; raises BaseProblem or DamagedCheckpoint."""
        if checkpoint is None:
            return self._bare(base)
        key = (base, checkpoint)
        if key not in self._voices:
            self._voices[key] = self._load(base, Path(checkpoint))
            self._make_room()
        self._voices.move_to_end(key)
        return self._voices[key]

    def _bare(self, base: str) -> Voice:
        if base not in self._bares:
            held = self._base(base)
            self._bares[base] = Voice(held.model, held.tokenizer, held.marks, {}, 0)
        return self._bares[base]

    def _base(self, folder: str) -> Base[Model]:
        if folder not in self._bases:
            self._bases[folder] = load_base(Path(folder), self._model, self._digest)
        return self._bases[folder]

    def _load(self, base: str, folder: Path) -> Voice:
        checkpoint = read_checkpoint(folder)
        if checkpoint.kind == "model":
            whole = load_base(folder, self._whole_model, lambda _: "")
            return Voice(whole.model, whole.tokenizer, whole.marks, {}, whole.model.bytes)
        held = self._base(base)
        if held.sha256 != checkpoint.base_sha256:
            raise DamagedCheckpoint(f"it was trained on another version of the base {checkpoint.base}")
        try:
            low_rank = read_low_rank(folder, checkpoint)
        except Exception as error:  # safetensors has no base class for what it raises
            raise DamagedCheckpoint(str(error)) from error
        check_shapes(low_rank, held.model.config)
        size = sum(part.nbytes for pair in low_rank.values() for part in pair)
        return Voice(held.model, held.tokenizer, held.marks, low_rank, size)

    def _model(self, folder: Path) -> Model:
        return self._read_model(folder, self._cached(folder / "model.safetensors", f".graph-{GRAPH_VERSION}"))

    def _whole_model(self, folder: Path) -> Model:
        # Not cached: a copy elsewhere could outlive the persona.
        return self._read_model(folder, None)

    def _read_model(self, folder: Path, graph: Path | None) -> Model:
        # Each device's libraries are imported where it is used: torch alone takes seconds.
        if self.device == "cpu":
            from models.engine.cpu import CpuModel

            return CpuModel.load(folder, self.threads, graph)
        from models.engine.gpu import GpuModel

        return GpuModel.load(folder, self.device)

    def _digest(self, weights: Path) -> str:
        """The sha256 of a base's weights: of GPT-2's it takes seconds."""
        known = self._cached(weights, ".sha256")
        if known is None:
            return sha256(weights)
        with contextlib.suppress(OSError):
            if len(digest := known.read_text(encoding="ascii")) == SHA256_DIGITS:
                return digest
        digest = sha256(weights)
        known.parent.mkdir(parents=True, exist_ok=True)
        known.write_text(digest, encoding="ascii")
        return digest

    def _cached(self, weights: Path, kind: str) -> Path | None:
        """Where in the cache something made of a file is; another name once the file is another one."""
        if self.cache is None:
            return None
        facts = [str(weights.resolve())]
        for path in (weights, weights.with_name("config.json")):
            found = path.stat()
            facts.append(f"{found.st_size} {found.st_mtime_ns}")
        name = hashlib.sha256(" ".join(facts).encode()).hexdigest()[:16]
        return self.cache / f"{name}{kind}"

    def _make_room(self) -> None:
        while len(self._voices) > 1 and sum(voice.bytes for voice in self._voices.values()) > self.budget:
            self._voices.popitem(last=False)
