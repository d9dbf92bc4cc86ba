"""The counted model of bytes gives the probabilities of the textbook, and stands beside a base on the same bytes."""

import gzip
import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
import zstandard
from tokenizers import Tokenizer

from bench import base_quality
from bench.characters import SYMBOLS, Characters
from models.checkpoint import sha256
from models.engine.gpt2 import GPT2
from tests.factories import make_base, sentences

TEXTS = [*sentences(40), "a", "", "né", "the the the the"]
UNSEEN = ["the kettle sings no more", "zebra ☂", "", "a\nb", "a"]


@pytest.mark.parametrize("context", [1, 2, 4, 6])
def test_probabilities_are_those_of_dictionaries_and_add_up_to_one(context: int) -> None:
    model, plain = Characters.learn(TEXTS, context), Dictionaries(TEXTS, context)
    for start in ("", "t", "the", "the kettle ", "né", "zebra", "a", "q\n"):
        found = model.following(start)
        assert found.sum() == pytest.approx(1.0, abs=1e-6)
        assert (found > 0).all()
        expected = [plain.probability(["<", *start.encode()], symbol) for symbol in [*range(256), ">"]]
        assert found == pytest.approx(expected, rel=1e-5)
    assert model.bits(UNSEEN) == pytest.approx(sum(map(plain.bits, UNSEEN)), rel=1e-6)


def test_a_text_is_read_alone() -> None:
    model = Characters.learn(TEXTS)
    apart = [model.bits([text]) for text in UNSEEN]
    assert model.bits(UNSEEN) == pytest.approx(sum(apart))
    assert model.bits(UNSEEN[::-1]) == pytest.approx(sum(apart))


def test_nothing_learnt_is_the_uniform_distribution() -> None:
    assert Characters.learn([]).following("any") == pytest.approx(np.full(SYMBOLS, 1 / SYMBOLS))


def test_what_was_saved_is_what_is_loaded(tmp_path: Path) -> None:
    model = Characters.learn(TEXTS)
    model.save(tmp_path / "model.npz")
    assert Characters.load(tmp_path / "model.npz").bits(UNSEEN) == model.bits(UNSEEN)
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_both_models_are_scored_on_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, timelines = tmp_path / "text", tmp_path / "timelines"
    lines = sentences(600)
    write_text(text, lines)
    timelines.mkdir()
    tweets = [f"@fox the umbrella owes me {n} loaves" if n % 2 else f"a lamp hums {n} songs ☂" for n in range(30)]
    with gzip.open(timelines / "moth.jsonl.gz", "wt", encoding="utf-8") as file:
        for n, tweet in enumerate(tweets):
            print(json.dumps({"id": str(n + 1), "text": tweet, "author_handle": "moth"}), file=file)
    base = make_base(tmp_path / "base")
    arguments = f"--timelines {timelines} --text {text} --base {base} --work {tmp_path / 'work'} --json"
    base_quality.main([*arguments.split(), str(tmp_path / "first.json")])
    found = json.loads((tmp_path / "first.json").read_text())
    assert found["base"] == sha256(base / "model.safetensors")

    # The newest tenth: three texts, each with a byte for its end, replies without a mark.
    held_out = [tweet.removeprefix("@fox ") for tweet in tweets[-3:]]
    size = sum(len(tweet.encode()) + 1 for tweet in held_out)
    moth = found["authors"]["moth"]
    assert (moth["texts"], moth["bytes"]) == (3, size)
    # What pre-training holds out is not counted: two of 600 lines.
    learnt, unseen = base_quality.split(lines)
    assert (len(learnt), len(unseen)) == (598, 2)
    assert sorted([*learnt, *unseen]) == sorted(lines)
    assert found["characters"]["texts"] == 598
    assert moth["characters"] == pytest.approx(Characters.learn(learnt).bits(held_out) / size)
    assert found["held_out_lines"]["texts"] == 2
    assert found["mean"] == found["total"] == moth
    assert found["held_out_lines"]["characters"] < moth["characters"] < moth["base"]  # random weights know nothing
    assert moth["base"] == pytest.approx(sum(bits_of_base(base, text) for text in held_out) / size, rel=1e-4)

    # What was counted once is found again.
    assert "Counting" in capsys.readouterr().err
    base_quality.main([*arguments.split(), str(tmp_path / "second.json")])
    assert "Counting" not in capsys.readouterr().err
    assert json.loads((tmp_path / "second.json").read_text()) == found


def test_the_mean_weighs_authors_and_the_total_weighs_bytes() -> None:
    results = [base_quality.Result(1, 100, 2.0, 3.0), base_quality.Result(2, 300, 4.0, 4.0)]
    assert base_quality.mean(results) == base_quality.Result(3, 400, 3.0, 3.5)
    assert base_quality.total(results) == base_quality.Result(3, 400, 3.5, 3.75)


def test_without_the_text_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="nothing to compare with"):
        base_quality.main(["--timelines", str(tmp_path), "--text", str(tmp_path)])


def bits_of_base(folder: Path, text: str) -> float:
    """By the base, one text alone: END text END, the first END given."""
    model = GPT2.load(folder).eval()
    ids = torch.tensor([0, *Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids, 0])
    with torch.no_grad():
        told = model.logits(model(ids[None, :-1]))[0].log_softmax(dim=-1)
    return -float(told[torch.arange(len(ids) - 1), ids[1:]].sum()) / math.log(2)


def write_text(folder: Path, lines: list[str]) -> None:
    """A folder of pre-training text: all lines in the last group, and none in the others but one that is left out."""
    folder.mkdir()
    rows = []
    for group in ("dialogue", "sentences", "blogs", "speech", "books"):
        own = lines if group == "books" else ["left out"]
        licence = "CC0" if group == "books" else "public domain, US only"
        (folder / f"{group}.txt.zst").write_bytes(zstandard.compress("".join(f"{line}\n" for line in own).encode()))
        rows.append(f"| {group} | a/b | 0 | {licence} | all | 1 | {len(own)} | 1 | {len(own)} |")
    (folder / "SOURCES.md").write_text("\n".join(rows), encoding="utf-8")


class Dictionaries:
    """The same model as the textbook has it: "<" begins a text, ">" ends it, and every sum is written out."""

    def __init__(self, texts: list[str], context: int) -> None:
        self.longest = context + 1
        occurrences: Counter[tuple[object, ...]] = Counter()
        lefts: dict[tuple[object, ...], set[object]] = defaultdict(set)
        for text in texts:
            row = ["<", *text.encode(), ">"]
            for end in range(2, len(row) + 1):
                for length in range(1, min(self.longest, end) + 1):
                    gram = tuple(row[end - length : end])
                    occurrences[gram] += 1
                    if end > length:
                        lefts[gram].add(row[end - length - 1])
        self.counts = {
            gram: times if len(gram) == self.longest or gram[0] == "<" else len(lefts[gram])
            for gram, times in occurrences.items()
        }
        self.after: dict[tuple[object, ...], list[int]] = defaultdict(list)
        for gram, count in self.counts.items():
            self.after[gram[:-1]].append(count)
            assert gram != ("<",)
        self.taken = {length: self.discounts(length) for length in range(1, self.longest + 1)}

    def discounts(self, length: int) -> tuple[float, ...]:
        n = Counter(count for gram, count in self.counts.items() if len(gram) == length)
        if n[1] and n[2] and n[3]:
            y = n[1] / (n[1] + 2 * n[2])
            wanted = (1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3])
            if min(wanted) > 0:
                return (0.0, *wanted)
        return (0.0, 0.5, 1.0, 1.5)

    def probability(self, history: list[object], symbol: object) -> float:
        context = tuple(history[max(0, len(history) - self.longest + 1) :])
        return self.interpolated(context, symbol)

    def interpolated(self, context: tuple[object, ...], symbol: object) -> float:
        shorter = self.interpolated(context[1:], symbol) if context else 1 / 257
        if not self.after[context]:
            return shorter
        taken = self.taken[len(context) + 1]
        total = sum(self.after[context])
        count = self.counts.get((*context, symbol), 0)
        rest = sum(taken[min(3, other)] for other in self.after[context]) / total
        return (count - taken[min(3, count)]) / total + rest * shorter

    def bits(self, text: str) -> float:
        row = ["<", *text.encode(), ">"]
        return -sum(math.log2(self.probability(row[:at], row[at])) for at in range(1, len(row)))
