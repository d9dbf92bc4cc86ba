"""What the flows ask of a pool, whoever is behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models.sampling import Sampling
from models.wire import Done, Item, Progress, Scored

Tell = Callable[[Progress], None]
Hear = Callable[[str], None]  # is given what a text has grown by


@dataclass(frozen=True)
class Wish:
    """One text to generate; the same wish always yields the same text, or its beginning when its time is over."""

    base: Path
    checkpoint: Path | None  # None: the base alone
    prompt: str
    seed: int
    sampling: Sampling
    message: str | None = None  # what is replied to, "" if it is not known; None: the text is no reply
    seconds: float | None = None  # from asking on, after which it is ended with what it has; None: no limit
    person: str = ""  # who asks, for a fair order; "": the bot itself


@dataclass(frozen=True)
class ScoreWish:
    """A few texts of which a voice is to say how likely it finds them; the worker reads them in one go."""

    base: Path
    checkpoint: Path | None
    items: tuple[Item, ...]
    person: str = ""


class GenerationFailed(Exception):
    """A wish that the worker could not fulfil; `kind` is "checkpoint", "base", "memory", "deadline", "bug" or
    "worker"."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


class Pool(Protocol):
    """Generates and scores texts; every wish ends in exactly one answer or one GenerationFailed."""

    async def generate(self, wish: Wish) -> Done: ...

    async def stream(self, wish: Wish, hear: Hear) -> Done: ...

    async def score(self, wish: ScoreWish) -> Scored: ...

    async def close(self) -> None: ...


# Carries out the run in a folder, telling of its progress; raises TrainingInterrupted or TrainingFailed.
Train = Callable[[Path, Tell], Awaitable[None]]

# The folder of a base by the name that the configuration gives it; may download, raises BaseUnavailable.
FindBase = Callable[[str], Path]
