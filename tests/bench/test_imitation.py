"""A whole table on two invented people and a tiny base, with real trainings."""

import gzip
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.imitation import FIGURES, main

PEOPLE = {
    "tea_jo": (["kettle", "toast", "butter", "crumbs", "saucer", "teapot", "spoon", "honey", "biscuit", "milk"], "."),
    "sea_kim": (["GULLS", "HARBOUR", "WAVES", "FOGHORN", "ANCHOR", "TIDE", "PIER", "STORM", "SAILS", "ROPE"], "!!!"),
}
SYSTEMS = ("base", "huggingtweets", "quick", "markov", "real")


@pytest.fixture(scope="module")
def timelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("timelines")
    for handle, (words, mark) in PEOPLE.items():
        rng = random.Random(handle)
        with gzip.open(folder / f"{handle}.jsonl.gz", "wt", encoding="utf-8") as file:
            for number in range(120):
                text = f"{' '.join(rng.choices(words, k=rng.randint(5, 9)))} {number}{mark}"
                said = {
                    "id": str(1_000 + number),
                    "text": text,
                    "created_at": f"2025-01-01T{number // 60:02}:{number % 60:02}:00Z",
                }
                file.write(json.dumps({**said, "author_handle": handle}) + "\n")
    return folder


@pytest.fixture(scope="module")
def measure(timelines: Path, tiny_base: Path) -> Callable[..., Any]:
    def run(file: Path, *arguments: str, systems: str = ",".join(SYSTEMS)) -> Any:
        common = ["--timelines", str(timelines), "--base", str(tiny_base), "--device", "cpu", "--threads", "1"]
        main([*common, "--tweets", "6", "--systems", systems, "--json", str(file), *arguments])
        return json.loads(file.read_text("utf-8"))

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, measure: Callable[..., Any]) -> tuple[Path, Path, Any]:
    """The folder of the trainings, the file, and what stands in it."""
    folder = tmp_path_factory.mktemp("imitation")
    return folder / "work", folder / "table.json", measure(folder / "table.json", "--work", str(folder / "work"))


def rows_of(table: Any, system: str) -> list[Any]:
    return [row for row in table["rows"] if row["system"] == system]


@pytest.mark.long
def test_every_author_and_system_has_a_row_with_every_figure(finished: tuple[Path, Path, Any]) -> None:
    _, _, table = finished
    assert [(row["author"], row["system"]) for row in table["rows"]] == [
        (author, system) for author in sorted(PEOPLE) for system in SYSTEMS
    ]
    assert all(row.keys() == {"author", "system", "error", "made_with", *FIGURES} for row in table["rows"])
    assert {row["error"] for row in table["rows"]} == {None}
    assert table["settings"]["authors"] == sorted(PEOPLE)
    assert not any(word in json.dumps(table) for words, _ in PEOPLE.values() for word in words)  # no texts


@pytest.mark.long
def test_the_figures_are_of_a_kind_with_what_they_measure(finished: tuple[Path, Path, Any]) -> None:
    _, _, table = finished
    for real in rows_of(table, "real"):
        assert (real["attribution"], real["exact"], real["verbatim"]) == (1.0, 0.0, 0.0)
        assert real["bits_per_byte"] is real["seconds"] is real["train_seconds"] is None
    for base, quick, theirs in zip(*(rows_of(table, name) for name in ("base", "quick", "huggingtweets")), strict=True):
        assert quick["bits_per_byte"] < base["bits_per_byte"]
        assert quick["checkpoint_bytes"] < theirs["checkpoint_bytes"]
        assert base["held_out_bytes"] == quick["held_out_bytes"] == theirs["held_out_bytes"]
        assert base["train_seconds"] is None
        assert base["made"] == quick["made"] == theirs["made"] == 6
        assert min(quick[name] for name in ("train_seconds", "fixed_seconds", "seconds", "tokens_per_second")) > 0
        assert theirs["made_with"]["sampling"]["top_k"] == 50
    for markov in rows_of(table, "markov"):
        assert markov["bits_per_byte"] is None
        assert markov["made"] <= 6


@pytest.mark.long
def test_the_summary_is_the_means_and_ratios_of_the_rows(finished: tuple[Path, Path, Any]) -> None:
    _, _, table = finished
    quick, theirs = rows_of(table, "quick"), rows_of(table, "huggingtweets")
    mean = sum(row["bits_per_byte"] for row in quick) / 2
    assert table["summary"]["means"]["quick"]["bits_per_byte"] == pytest.approx(mean)
    against = table["summary"]["against_huggingtweets"]["quick"]
    spent = [sum(row["train_seconds"] for row in rows) for rows in (quick, theirs)]
    assert against["train_seconds_ratio"] == pytest.approx(spent[0] / spent[1])
    lower = sum(one["bits_per_byte"] < other["bits_per_byte"] for one, other in zip(quick, theirs, strict=True))
    assert (against["authors"], against["bits_per_byte_better"]) == (2, lower)
    assert table["summary"]["against_huggingtweets"]["markov"]["bits_per_byte_ratio"] is None


@pytest.mark.long
def test_no_training_saw_a_held_out_text(finished: tuple[Path, Path, Any], timelines: Path) -> None:
    work, _, _ = finished
    for handle in PEOPLE:
        with gzip.open(timelines / f"{handle}.jsonl.gz", "rt", encoding="utf-8") as file:
            newest = [json.loads(line)["text"] for line in file][-12:]
        for system in ("huggingtweets", "quick"):
            corpus = work / f"{handle}-{system}" / "corpus"
            seen = (corpus / "train.jsonl").read_text("utf-8") + (corpus / "held_out.jsonl").read_text("utf-8")
            assert seen.count("\n") == 108
            assert not any(text in seen for text in newest)


@pytest.mark.long
def test_a_table_goes_on_where_it_was(
    finished: tuple[Path, Path, Any], measure: Callable[..., Any], tmp_path: Path
) -> None:
    work, _, table = finished
    file = tmp_path / "table.json"
    kept = [{**row, "seconds": -1.0} for row in table["rows"] if row["system"] != "real"]
    file.write_text(json.dumps({**table, "rows": kept}), "utf-8")
    again = measure(file, "--work", str(work))
    assert {row["seconds"] for row in again["rows"] if row["system"] != "real"} == {-1.0}
    assert rows_of(again, "real") == rows_of(table, "real")
    with pytest.raises(SystemExit, match=r"other settings \(seed\)"):
        measure(file, "--seed", "5")
    # Other sampling makes the rows anew that it changes, and no others; trainings are taken as they are.
    warmer = measure(file, "--work", str(work), "--temperature", "1.5", systems="quick,huggingtweets")
    assert all(row["seconds"] > 0 for row in rows_of(warmer, "quick"))
    assert {row["seconds"] for row in rows_of(warmer, "huggingtweets")} == {-1.0}
    assert [row["train_seconds"] for row in rows_of(warmer, "quick")] == [
        row["train_seconds"] for row in rows_of(table, "quick")
    ]


@pytest.mark.long
def test_the_product_speaks_with_the_checkpoint_of_standard(measure: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    table = measure(file, "--authors", "tea_jo", "--limit", "60", systems="standard,product")
    standard, product = table["rows"]
    assert product["error"] is None
    assert product["made"] > 0
    assert product["refused"] == 0.0  # only what moderation accepts is handed out
    for figure in ("train_seconds", "checkpoint_bytes", "bits_per_byte"):
        assert product[figure] == standard[figure]
    assert product["attribution"] is None  # of one author alone nobody can be told apart
    assert table["settings"]["limit"] == 60


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--authors", "tea_joe"], r'no timeline of "tea_joe" \(did you mean "tea_jo"\?\)'),
        (["--systems", "standrad"], 'There is no system "standrad": choose of base, huggingtweets'),
        (["--timelines", os.devnull], "holds no timelines"),
        (["--base", "./nowhere"], "there is no such folder"),
        (["--temperature", "-1"], "temperature"),
        (["--limit", "5"], "has only 5 usable tweets"),
    ],
)
def test_a_mistake_is_told_before_anything_is_made(
    measure: Callable[..., Any], tmp_path: Path, arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit, match=said):
        measure(tmp_path / "table.json", *arguments)
    assert not (tmp_path / "table.json").exists()
