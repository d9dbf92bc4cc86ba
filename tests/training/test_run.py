"""A run folder says all that decides the weights, and when it is done."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from training import run
from training.corpus import Corpus, Piece, read_corpus
from training.recipe import PRESETS, recipe_named

CORPUS = Corpus((Piece("jo", "one two three"),), (Piece("jo", "four five six"),))
SPEC = run.Spec(
    recipe=recipe_named("standard"),
    seed=7,
    handles=("jo", "al"),
    weights=(1.0, 0.5),
    base="tiny",
    base_folder="/base",
    device="cpu",
    threads=2,
    fingerprint=CORPUS.fingerprint,
    base_sha256="5a",
)


@pytest.mark.parametrize("name", [*PRESETS, "standard-full"])
def test_a_spec_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    spec = replace(SPEC, recipe=recipe_named(name))
    run.begin(tmp_path / "run", spec, CORPUS)
    assert run.begun(tmp_path / "run")
    assert run.read_spec(tmp_path / "run") == spec
    assert read_corpus(tmp_path / "run" / "corpus") == CORPUS


def test_beginning_anew_leaves_nothing_of_what_was_there(tmp_path: Path) -> None:
    run.begin(tmp_path / "run", SPEC, CORPUS)
    (tmp_path / "run" / "state-000001").mkdir()
    run.report(tmp_path / "run", step=1)
    run.begin(tmp_path / "run", SPEC, CORPUS)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"corpus", "run.json"}


def test_a_folder_without_its_spec_was_never_begun(tmp_path: Path) -> None:
    assert not run.begun(tmp_path / "run")
    run.begin(tmp_path / "run", SPEC, CORPUS)
    (tmp_path / "run" / "run.json").unlink()
    assert not run.begun(tmp_path / "run")


def test_place_device_and_threads_may_differ_between_two_attempts_at_the_same_work() -> None:
    assert SPEC.same_work(replace(SPEC, base_folder="/other", device="cuda", threads=8))
    for other in (
        replace(SPEC, seed=8),
        replace(SPEC, weights=(1.0, 1.0)),
        replace(SPEC, recipe=recipe_named("quick")),
        replace(SPEC, base_sha256="other"),
        replace(SPEC, fingerprint="0"),
    ):
        assert not SPEC.same_work(other)


def test_going_on_takes_the_new_place_and_device_but_the_old_threads(tmp_path: Path) -> None:
    run.begin(tmp_path, SPEC, CORPUS)
    run.go_on(tmp_path, replace(SPEC, base_folder="/moved", device="cuda", threads=8))
    assert run.read_spec(tmp_path) == replace(SPEC, base_folder="/moved", device="cuda")
    assert read_corpus(tmp_path / "corpus") == CORPUS


def test_a_run_that_never_said_which_base_it_began_with_is_no_same_work(tmp_path: Path) -> None:
    run.begin(tmp_path, SPEC, CORPUS)
    facts = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    del facts["base_sha256"]
    run.write_json(tmp_path / "run.json", facts)
    assert not run.read_spec(tmp_path).same_work(SPEC)


def test_the_run_of_another_version_can_be_read_and_is_no_same_work(tmp_path: Path) -> None:
    run.begin(tmp_path, SPEC, CORPUS)
    facts = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    for change in ({"a_field_of_old": True}, {"members": None}):
        recipe = {name: value for name, value in {**facts["recipe"], **change}.items() if value is not None}
        run.write_json(tmp_path / "run.json", {**facts, "recipe": recipe})
        read = run.read_spec(tmp_path)
        assert (read.recipe.method, read.recipe.rank, read.handles) == ("adapter", 16, ("jo", "al"))
        assert not read.same_work(SPEC)


def test_a_run_is_found_by_its_number(tmp_path: Path) -> None:
    assert run.folder_of(tmp_path, 12) == tmp_path / "runs" / "12"


def test_dropping_the_states_leaves_the_rest(tmp_path: Path) -> None:
    run.begin(tmp_path, SPEC, CORPUS)
    for name in ("state-000001", "state-000012", "state.new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tensors.safetensors").write_bytes(b"weights")
    run.drop_states(tmp_path)
    run.drop_states(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"corpus", "run.json"}


def test_there_are_no_results_before_the_checkpoint_stands(tmp_path: Path) -> None:
    run.write_json(tmp_path / "results.json", {"steps": 3})
    assert run.results(tmp_path) is None
    (tmp_path / "checkpoint").mkdir()
    assert run.results(tmp_path) == {"steps": 3}


def test_reports_are_lines_that_add_up(tmp_path: Path) -> None:
    run.report(tmp_path, step=1, loss=0.5)
    run.report(tmp_path, step=2, loss=None)
    lines = (tmp_path / "progress.jsonl").read_text(encoding="utf-8").splitlines()
    assert list(map(json.loads, lines)) == [{"step": 1, "loss": 0.5}, {"step": 2, "loss": None}]


def test_numbers_that_json_cannot_say_are_null(tmp_path: Path) -> None:
    facts = {"loss": float("nan"), "all": [1.5, float("inf"), (-float("inf"), 2)], "n": 3, "b": True, "s": "NaN"}
    expected = {"loss": None, "all": [1.5, None, [None, 2]], "n": 3, "b": True, "s": "NaN"}
    run.write_json(tmp_path / "facts.json", facts)
    run.report(tmp_path, **facts)
    for name in ("facts.json", "progress.jsonl"):
        assert json.loads((tmp_path / name).read_text(encoding="utf-8"), parse_constant=pytest.fail) == expected


def test_a_json_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    run.write_json(path, {"long": "x" * 1000})
    run.write_json(path, [1])
    assert json.loads(path.read_text(encoding="utf-8")) == [1]
    assert [found.name for found in tmp_path.iterdir()] == ["facts.json"]
