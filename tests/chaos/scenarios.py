"""The scenarios of `make chaos`, by id: each is a function that runs one and says what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory


@dataclass(frozen=True)
class Asked:
    """How much is to be run, and by which seed."""

    quick: bool
    seed: int
    processes: int = 2


@dataclass(frozen=True)
class Outcome:
    """What one scenario showed: the figure is for people, `wrong` holds what the oracle says against it."""

    criterion: str
    figure: str
    runs: int
    duplicates: int = 0
    silent_losses: int = 0
    wrong: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return self.runs > 0 and not (self.duplicates or self.silent_losses or self.wrong)

    def as_json(self, name: str) -> dict[str, object]:
        return {
            "id": name,
            "criterion": self.criterion,
            "figure": self.figure,
            "ok": self.ok,
            "runs": self.runs,
            "duplicates": self.duplicates,
            "silent_losses": self.silent_losses,
        }


def scratch() -> TemporaryDirectory[str]:
    """A folder for data directories: in memory where there is such a place, for a process that is killed loses nothing
    of what it wrote there either, and thousands of commits need not wait for a disk."""
    memory = Path("/dev/shm")
    return TemporaryDirectory(prefix="chaos-", dir=memory if os.access(memory, os.W_OK) else None)


Scenario = Callable[[Asked], Outcome]
SCENARIOS: dict[str, Scenario] = {}


def scenario(name: str) -> Callable[[Scenario], Scenario]:
    """Registers a function as the scenario of this id; a module that holds some is named in `__main__`."""

    def register(run: Scenario) -> Scenario:
        assert name not in SCENARIOS
        SCENARIOS[name] = run
        return run

    return register
