"""What the flows ask of a pool, whoever is behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models.sampling import Sampling
from models.wire import Done, Progress

Tell = Callable[[Progress], None]


@dataclass(frozen=True)
class Wish:
    """One text to generate; the same wish always yields the same text."""

    base: Path
    checkpoint: Path | None  # None: the base alone
    prompt: str
    seed: int
    sampling: Sampling


class GenerationFailed(Exception):
    """A wish that the worker could not fulfil; `kind` is "checkpoint", "base", "memory", "bug" or "worker"."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


class Pool(Protocol):
    """Generates texts; every wish ends in exactly one answer or one GenerationFailed."""

    async def generate(self, wish: Wish) -> Done: ...

    async def close(self) -> None: ...


# Carries out the run in a folder, telling of its progress; raises TrainingInterrupted or TrainingFailed.
Train = Callable[[Path, Tell], Awaitable[None]]

# The folder of a base by the name that the configuration gives it; may download, raises BaseUnavailable.
FindBase = Callable[[str], Path]
