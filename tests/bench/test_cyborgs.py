"""Cyborgs of invented people on a tiny base, with real trainings."""

import argparse
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.authors import Author
from bench.cyborgs import averaged, label, labelled, main, pairs, predict_labelled
from bench.systems import Bench, Reader, predict, reader_of
from training.corpus import Corpus, Piece

PEOPLE = {
    "tea_jo": ["kettle", "toast", "butter", "crumbs", "saucer", "teapot", "spoon", "honey", "biscuit", "milk"],
    "sea_kim": ["GULLS", "HARBOUR", "WAVES", "FOGHORN", "ANCHOR", "TIDE", "PIER", "STORM", "SAILS", "ROPE"],
    "sum_lee": ["1234", "5678", "9012", "3456", "7890", "plus", "minus", "times", "equals", "zero"],
}


@pytest.fixture(scope="module")
def timelines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("timelines")
    for handle, words in PEOPLE.items():
        rng = random.Random(handle)
        with gzip.open(folder / f"{handle}.jsonl.gz", "wt", encoding="utf-8") as file:
            for number in range(100):
                text = f"{' '.join(rng.choices(words, k=rng.randint(5, 9)))} {number}"
                made = f"2025-01-01T{number // 60:02}:{number % 60:02}:00Z"
                said = {"id": str(1_000 + number), "text": text, "created_at": made, "author_handle": handle}
                file.write(json.dumps(said) + "\n")
    return folder


@pytest.fixture(scope="module")
def reader(tiny_base: Path) -> Reader:
    return reader_of(None, Bench("tiny", tiny_base, device="cpu"))


@pytest.fixture(scope="module")
def rows(timelines: Path, tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("cyborgs") / "rows.json"
    common = ["--timelines", str(timelines), "--base", str(tiny_base), "--device", "cpu", "--threads", "1"]
    main([*common, "--pairs", "tea_jo+sea_kim", "--tweets", "6", "--json", str(file)])
    assert not any(word in file.read_text("utf-8") for word in PEOPLE["tea_jo"])  # no texts
    return {row["system"]: row for row in json.loads(file.read_text("utf-8"))["rows"]}


@pytest.mark.long
def test_a_pair_has_a_row_of_each_way(rows: dict[str, Any]) -> None:
    assert list(rows) == ["base", "own", "trained", "labelled", "averaged", "real"]
    for system in ("own", "trained", "labelled"):
        assert rows[system]["bits_per_byte"] < rows["base"]["bits_per_byte"]
        assert rows[system]["train_seconds"] > 0
    assert rows["averaged"]["train_seconds"] is None
    for row in rows.values():
        if row["system"] != "real":
            assert row["bits_per_byte"] == pytest.approx(sum(row["bits_per_byte_of"]) / 2)
    for system in ("trained", "averaged"):
        assert sum(rows[system]["attribution"].values()) == pytest.approx(1.0)
    assert rows["real"]["attribution"] == {"first": 0.5, "second": 0.5, "neither": 0.0}


def random_reader(reader: Reader, seed: int) -> Reader:
    draw = torch.Generator().manual_seed(seed)
    size = reader.model.config
    shapes = {"wte": (size.vocab_size, 3, size.n_embd), "h.0.attn.c_attn": (size.n_embd, 4, 3 * size.n_embd)}
    low_rank = {
        name: (torch.randn(n_in, rank, generator=draw), torch.randn(rank, n_out, generator=draw))
        for name, (n_in, rank, n_out) in shapes.items()
    }
    return Reader(reader.model, reader.tokenizer, reader.marks, low_rank)


def test_an_average_is_the_weighted_sum_of_the_differences(reader: Reader) -> None:
    one, two = random_reader(reader, 1), random_reader(reader, 2)
    mixed = averaged([one, two], (0.25, 0.75))
    for name, (a, b) in mixed.low_rank.items():
        parts = [held.low_rank[name][0] @ held.low_rank[name][1] for held in (one, two)]
        torch.testing.assert_close(a @ b, 0.25 * parts[0] + 0.75 * parts[1])
    jo = author(["rain walks over the roof", "my moth counts buttons"])
    alike = averaged([one, one], (0.5, 0.5))
    assert predict(alike, jo)["bits_per_byte"] == pytest.approx(predict(one, jo)["bits_per_byte"], rel=1e-4)


def author(texts: list[str]) -> Author:
    return Author("jo", (), tuple(Piece("jo", text) for text in texts), (), ())


def test_the_label_is_given_and_not_counted(reader: Reader) -> None:
    texts = ["rain walks over the roof", "sieben Füchse 🦊"]
    plain, after = predict(reader, author(texts)), predict_labelled(reader, author(texts))
    assert after["held_out_bytes"] == plain["held_out_bytes"] == sum(len(text.encode()) + 1 for text in texts)
    # The chain rule: what the whole costs beyond the text is the label's, the same before every text.
    of_label = []
    for text in texts:
        whole, alone = predict(reader, author([f"{label('jo')} {text}"])), predict_labelled(reader, author([text]))
        bits = [found["bits_per_byte"] * found["held_out_bytes"] for found in (whole, alone)]
        of_label.append(bits[0] - bits[1])
    assert of_label[0] > 0
    assert of_label[0] == pytest.approx(of_label[1], rel=1e-4)


def test_every_text_gets_its_own_speaker() -> None:
    corpus = labelled(Corpus((Piece("jo", "tea", reply=True, message="what?"),), (Piece("kim", "sea"),)))
    assert corpus == Corpus((Piece("jo", "@jo: tea", reply=True, message="what?"),), (Piece("kim", "@kim: sea"),))


@pytest.mark.parametrize("said", ["a", "a+b+c", "a+A", "a+", "a+b,"])
def test_what_is_no_pair_is_refused(said: str) -> None:
    assert pairs("a+@b,c+d") == (("a", "b"), ("c", "d"))
    with pytest.raises(argparse.ArgumentTypeError, match="no pair"):
        pairs(said)


def test_nobody_is_a_stranger_to_oneself(timelines: Path, tiny_base: Path) -> None:
    with pytest.raises(SystemExit, match="stranger"):
        main(["--timelines", str(timelines), "--pairs", "tea_jo+sea_kim", "--stranger", "TEA_JO"])
