"""The voices a worker can speak with: bases, adapters and whole models, loaded on demand, least recently used out."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from models.checkpoint import Checkpoint, DamagedCheckpoint, read_checkpoint, sha256
from models.engine.gpt2 import GPT2, low_rank_pairs
from models.engine.tokenizer import load_tokenizer, marks_of
from models.prompt import Marks, without_marks


class BaseProblem(ValueError):
    """A base folder that cannot be loaded."""


@dataclass(frozen=True)
class Base:
    """A pretrained model with its tokenizer; `sha256` is that of its weights."""

    model: GPT2
    tokenizer: Tokenizer
    marks: Marks
    sha256: str


@dataclass(frozen=True)
class Voice:
    """What one request speaks with; `low_rank` holds A (in, rank) and B (rank, out), already scaled."""

    model: GPT2
    tokenizer: Tokenizer
    marks: Marks
    low_rank: dict[str, tuple[Tensor, Tensor]]
    bytes: int

    def tokens(self, text: str) -> list[int]:
        """The tokens of what somebody wrote."""
        ids: list[int] = self.tokenizer.encode(without_marks(text)).ids
        return ids


def load_base(folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> Base:
    """Loads a base folder, with its matrices in 8 bits if `dtype` is torch.int8; raises BaseProblem."""
    try:
        model = GPT2.load(folder, device, dtype).eval()
        tokenizer = load_tokenizer(folder)
        marks = marks_of(tokenizer)
    except Exception as error:
        raise BaseProblem(f"{folder}: {error}") from error
    return Base(model, tokenizer, marks, sha256(folder / "model.safetensors"))


def read_low_rank(folder: Path, checkpoint: Checkpoint) -> dict[str, tuple[Tensor, Tensor]]:
    """adapter.safetensors -> (A, B * alpha / rank) by the name of the weight."""
    return low_rank_pairs(load_file(folder / "adapter.safetensors"), checkpoint.alpha / checkpoint.rank)


class Voices:
    """Keeps bases for good and checkpoints up to `budget` bytes, the least recently used going first."""

    def __init__(self, device: str, dtype: torch.dtype, budget: int) -> None:
        self.device, self.dtype, self.budget = device, dtype, budget
        self._bases: dict[str, Base] = {}
        self._voices: OrderedDict[tuple[str, str], Voice] = OrderedDict()

    def get(self, base: str, checkpoint: str | None) -> Voice:
        """Loads or finds a voice; raises BaseProblem or DamagedCheckpoint."""
        if checkpoint is None:
            held = self._base(base)
            return Voice(held.model, held.tokenizer, held.marks, {}, 0)
        key = (base, checkpoint)
        if key not in self._voices:
            self._voices[key] = self._load(Path(base), Path(checkpoint))
            self._make_room()
        self._voices.move_to_end(key)
        return self._voices[key]

    def _base(self, folder: str) -> Base:
        if folder not in self._bases:
            self._bases[folder] = load_base(Path(folder), self.device, self.dtype)
        return self._bases[folder]

    def _load(self, base: Path, folder: Path) -> Voice:
        checkpoint = read_checkpoint(folder)
        if checkpoint.kind == "model":
            whole = load_base(folder, self.device, self.dtype)
            size = sum(weight.numel() * weight.element_size() for weight in whole.model.state_dict().values())
            return Voice(whole.model, whole.tokenizer, whole.marks, {}, size)
        held = self._base(str(base))
        if held.sha256 != checkpoint.base_sha256:
            raise DamagedCheckpoint(f"it was trained on another version of the base {checkpoint.base}")
        try:
            pairs = read_low_rank(folder, checkpoint)
        except Exception as error:  # safetensors has no base class for what it raises
            raise DamagedCheckpoint(str(error)) from error
        dtype = held.model.wte.weight.dtype
        low_rank = {name: (a.to(self.device, dtype), b.to(self.device, dtype)) for name, (a, b) in pairs.items()}
        size = sum(part.numel() * part.element_size() for pair in low_rank.values() for part in pair)
        return Voice(held.model, held.tokenizer, held.marks, low_rank, size)

    def _make_room(self) -> None:
        while len(self._voices) > 1 and sum(voice.bytes for voice in self._voices.values()) > self.budget:
            self._voices.popitem(last=False)
