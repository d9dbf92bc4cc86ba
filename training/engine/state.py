"""The state of a training on disk: written whole or not at all, and enough of it to go on as if nothing happened."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.checkpoint import DamagedCheckpoint, publish, verify, write_manifest

KEPT = 2  # states; the older one is there in case the newest cannot be read


@dataclass
class Position:
    """How far a training has come."""

    step: int = 0
    seconds: float = 0.0  # from the first optimiser step on, over all attempts
    tokens: int = 0
    losses: list[float] = field(default_factory=list)  # held-out loss after each epoch


def save_state(run: Path, position: Position, tensors: dict[str, Tensor]) -> None:
    """Adds the random state to `tensors`, writes state-<step> and drops all but the newest states."""
    final = run / f"state-{position.step:06d}"
    fresh = run / "state.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    save_file(
        {name: tensor.contiguous() for name, tensor in {**tensors, **random_state()}.items()},
        fresh / "tensors.safetensors",
    )
    (fresh / "position.json").write_text(json.dumps(asdict(position)), encoding="utf-8")
    write_manifest(fresh)
    publish(fresh, final)
    for old in sorted(run.glob("state-*"))[:-KEPT]:
        shutil.rmtree(old)


def load_state(run: Path, device: str) -> tuple[Position, dict[str, Tensor]] | None:
    """The newest whole state, whose random state is put back; None when there is none."""
    for folder in sorted(run.glob("state-*"), reverse=True):
        try:
            verify(folder)
        except DamagedCheckpoint:
            shutil.rmtree(folder)  # or it would count as one of the newest
            continue
        tensors = load_file(folder / "tensors.safetensors")
        torch.set_rng_state(tensors.pop("rng.cpu"))
        if "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors.pop("rng.cuda"))
        position = Position(**json.loads((folder / "position.json").read_text(encoding="utf-8")))
        return position, {name: tensor.to(device) for name, tensor in tensors.items()}
    return None


def random_state() -> dict[str, Tensor]:
    found = {"rng.cpu": torch.get_rng_state()}
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        found["rng.cuda"] = torch.cuda.get_rng_state()
    return found
