"""A training run is a folder: what was asked, the corpus, states to resume from, the checkpoint, the results.

run.json            recipe, seed, weights, base and its sha256, threads, fingerprint
corpus/             train.jsonl, held_out.jsonl
state-000123/       weights, optimiser, members that are done and random state after that many steps; the newest two
progress.jsonl      a line per report
checkpoint/         the result; appears by one rename, with a manifest
results.json        the measured figures; written before the checkpoint appears
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from training.corpus import Corpus, write_corpus
from training.recipe import Recipe

STOPPED = 75  # the trainer's exit status: stopped on request, go on later (sysexits.h, EX_TEMPFAIL)


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
    base_sha256: str  # of its model.safetensors: the folder may move, and may come to hold another version

    def same_work(self, other: Spec) -> bool:
        """Whether a run begun as this one can go on as the other: see `go_on`. The threads stay those of the beginning;
        where the base lies and what computes are of this attempt only."""
        return replace(other, base_folder=self.base_folder, device=self.device, threads=self.threads) == self


def folder_of(data: Path, run_id: int) -> Path:
    """Folders are named by number: nothing that a person wrote becomes a path."""
    return data / "runs" / str(run_id)


def begin(folder: Path, spec: Spec, corpus: Corpus) -> None:
    """Makes the run folder; run.json comes last, so a folder without it was never begun."""
    if folder.exists():
        shutil.rmtree(folder)
    write_corpus(corpus, folder / "corpus")
    write_json(folder / "run.json", asdict(spec))


def go_on(folder: Path, spec: Spec) -> None:
    """Makes a begun run of the `same_work` use this attempt's base folder and device; its threads stay."""
    held = read_spec(folder)
    write_json(folder / "run.json", asdict(replace(held, base_folder=spec.base_folder, device=spec.device)))


def begun(folder: Path) -> bool:
    return (folder / "run.json").is_file()


def read_spec(folder: Path) -> Spec:
    """Reads run.json."""
    raw: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    chosen = {"recipe": _read_recipe(raw["recipe"]), "handles": tuple(raw["handles"]), "weights": tuple(raw["weights"])}
    # A run of before the base's sha256 was written is the same work as none, so it is begun anew.
    return Spec(**{"base_sha256": "", **raw, **chosen})


def _read_recipe(raw: Mapping[str, Any]) -> Recipe:
    """The recipe of a run that another version may have begun: what that trained still speaks, but is no same work."""
    known = {field.name for field in fields(Recipe)}
    read = {name: value for name, value in raw.items() if name in known}
    name = raw["name"] if raw.keys() == known else f"{raw['name']} of another version"
    return Recipe(**{**read, "name": name, "betas": tuple(raw["betas"])})


def report(folder: Path, **facts: object) -> None:
    """Appends one line to progress.jsonl."""
    with open(folder / "progress.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(without_nan(facts), allow_nan=False) + "\n")


def results(folder: Path) -> Mapping[str, Any] | None:
    """The figures of a finished run; None while its checkpoint is not there."""
    if not (folder / "checkpoint").is_dir():
        return None
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return found


def drop_states(folder: Path) -> None:
    """Removes what a run would go on from, once it is finished or given up; most of its bytes are here."""
    for state in folder.glob("state[-.]*"):  # state.new is one that was being written
        shutil.rmtree(state)


def write_json(path: Path, value: object) -> None:
    """Replaces the file as a whole, so that a reader sees the old or the new one. NaN and infinity become null."""
    fresh = path.with_suffix(".new")
    with open(fresh, "w", encoding="utf-8") as file:
        json.dump(without_nan(value), file, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)


def without_nan(value: object) -> object:
    """The value with None for every number that JSON cannot say: those of a training that went astray."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: without_nan(held) for key, held in value.items()}
    return [without_nan(held) for held in value] if isinstance(value, list | tuple) else value
