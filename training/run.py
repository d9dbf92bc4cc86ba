"""A training run is a folder: what was asked, the corpus, states to resume from, the checkpoint, the results.

run.json            recipe, seed, weights, base, threads, fingerprint
corpus/             train.jsonl, held_out.jsonl
state-000123/       weights, optimiser and random state after that many steps; the newest two are kept
progress.jsonl      a line per report
checkpoint/         the result; appears by one rename, with a manifest
results.json        the measured figures; written before the checkpoint appears
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from training.corpus import Corpus, write_corpus
from training.recipe import Recipe


@dataclass(frozen=True)
class Spec:
    """run.json: all that decides the weights, besides the corpus. `weights` are the handles' shares of a mix."""

    recipe: Recipe
    seed: int
    handles: tuple[str, ...]
    weights: tuple[float, ...]
    base: str  # the name that the configuration gave
    base_folder: str
    device: str
    threads: int  # fixed for the whole run: another number would change sums, and with them the weights
    fingerprint: str

    def same_work(self, other: Spec) -> bool:
        """Whether a run begun as this one can go on as the other; the threads stay those of the beginning."""
        return replace(other, threads=self.threads) == self


def begin(folder: Path, spec: Spec, corpus: Corpus) -> None:
    """Makes the run folder; run.json comes last, so a folder without it was never begun."""
    if folder.exists():
        shutil.rmtree(folder)
    write_corpus(corpus, folder / "corpus")
    write_json(folder / "run.json", asdict(spec))


def begun(folder: Path) -> bool:
    return (folder / "run.json").is_file()


def read_spec(folder: Path) -> Spec:
    """Reads run.json."""
    raw: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    recipe = Recipe(**{**raw["recipe"], "betas": tuple(raw["recipe"]["betas"])})
    return Spec(**{**raw, "recipe": recipe, "handles": tuple(raw["handles"]), "weights": tuple(raw["weights"])})


def report(folder: Path, **facts: object) -> None:
    """Appends one line to progress.jsonl."""
    with open(folder / "progress.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")


def results(folder: Path) -> Mapping[str, Any] | None:
    """The figures of a finished run; None while its checkpoint is not there."""
    if not (folder / "checkpoint").is_dir():
        return None
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


def write_json(path: Path, value: object) -> None:
    """Replaces the file as a whole, so that a reader sees the old or the new one."""
    fresh = path.with_suffix(".new")
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
