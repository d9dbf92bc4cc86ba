"""The bundled base can be made again: from the allowed lines only, resumable, and a plain GPT-2 at the end."""

import random
import re
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import zstandard
from tokenizers import Tokenizer

from models.engine.gpt2 import GPT2
from models.engine.tokenizer import marks_of
from models.engine.voices import load_base
from training.engine import pretrain
from training.engine.base import write_base, write_card
from training.engine.pretrain import Batches, Settings, start_model
from training.engine.rows import casual, make_rows, row_texts
from training.engine.text import GROUPS, make_tokenizer, read_sources, shuffled, texts, tokenise

SETTINGS = Settings(
    vocab_size=300,
    n_layer=2,
    n_embd=32,
    n_head=2,
    n_positions=64,
    longest_row=64,
    tokens=2048,
    batch_tokens=128,
    warmup=0.1,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five groups of forty lines; of books the first half is in copyright somewhere."""
    rows = []
    for group in GROUPS:
        lines = [f"the {group} line number {number} says hello to the {number * 7 % 11} gulls" for number in range(40)]
        packed = zstandard.ZstdCompressor().compress("".join(f"{line}\n" for line in lines).encode())
        (tmp_path / f"{group}.txt.zst").write_bytes(packed)
        first = 1
        if group == "books":
            rows.append(
                f"| {group} | some/old | {'a' * 40} | CC0 **(US only: author died 1970)** | all | 0.1 | 20 | 1 | 20 |"
            )
            first = 21
        rows.append(f"| {group} | some/{group} | {'b' * 40} | CC0 (LICENSE) | all | 0.1 | 40 | {first} | 40 |")
    (tmp_path / "SOURCES.md").write_text("| group | repository |\n|---|---|\n" + "\n".join(rows), encoding="utf-8")
    return tmp_path


def prepared(folder: Path, work: Path) -> tuple[Tokenizer, Batches, torch.Tensor]:
    tokenizer = make_tokenizer(folder, work / "tokenizer.json", SETTINGS.vocab_size, SETTINGS.seed)
    stream, held_out = tokenise(folder, tokenizer, work, SETTINGS.seed)
    rows = make_rows(folder, tokenizer, work, SETTINGS.seed, SETTINGS.longest_row)
    return tokenizer, Batches(stream, *rows, SETTINGS), held_out


def test_a_row_is_one_text_alone_or_a_message_and_its_answer(folder: Path, tmp_path: Path) -> None:
    tokenizer, batches, _ = prepared(folder, tmp_path)
    marks = marks_of(tokenizer)
    pairs = 0
    for start, end in pairwise(batches.starts):
        row = batches.rows[start:end].tolist()
        assert row[0] == marks.end
        assert row[-1] == marks.end or len(row) == SETTINGS.longest_row + 1  # a long one is cut
        assert marks.end not in row[1:-1]
        assert row.count(marks.reply) <= 1
        pairs += marks.reply in row
    assert 0 < pairs < len(batches.starts) // 2


def test_what_is_held_out_stands_in_no_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.engine.rows.HELD_OUT_EVERY", 10)
    monkeypatch.setattr("training.engine.rows.casual", lambda text, rng: text)
    lines = list(texts(folder, 1))
    held_out = {lines[index] for index in shuffled(len(lines), 1)[::10]}
    used = {text for row in row_texts(folder, 1) for text in row if text is not None}
    assert used
    assert used.isdisjoint(held_out)


def test_casual_writing_keeps_the_words() -> None:
    rng = random.Random(3)
    line = "We saw the old lighthouse near Penzance today."
    made = [casual(line, rng) for _ in range(300)]
    assert made.count(line) > 150
    for sign in ("#", "@"):
        assert any(sign in text for text in made)
    for text in made:
        assert re.sub(r"[#@]", "", text).lower().startswith(line.lower().removesuffix("."))


def test_lines_in_copyright_elsewhere_are_left_out(folder: Path) -> None:
    chosen = list(texts(folder, seed=1))
    assert len(chosen) == 4 * 40 + 20
    assert next(line for line in chosen if "books line number" in line).startswith("the books line number 20 ")


def test_a_killed_pre_training_goes_on_to_the_same_weights(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, batches, held_out = prepared(folder, tmp_path)
    (tmp_path / "whole").mkdir()
    (tmp_path / "halves").mkdir()
    whole = pretrain.train(start_model(SETTINGS, None), batches, held_out, tmp_path / "whole", SETTINGS)

    taken = Batches.at

    def killed(self: Batches, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        if step == 9:
            raise KeyboardInterrupt
        return taken(self, step)

    monkeypatch.setattr(pretrain, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(Batches, "at", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain.train(start_model(SETTINGS, None), batches, held_out, tmp_path / "halves", SETTINGS)
    monkeypatch.setattr(Batches, "at", taken)
    resumed = pretrain.train(start_model(SETTINGS, None), batches, held_out, tmp_path / "halves", SETTINGS)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_the_result_is_a_plain_gpt2_with_a_card_that_names_its_text(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, GPT2LMHeadModel

    _, batches, held_out = prepared(folder, tmp_path)
    model = pretrain.train(start_model(SETTINGS, None), batches, held_out, tmp_path, SETTINGS).eval()
    out = tmp_path / "base"
    write_base(model, tmp_path / "tokenizer.json", out, asdict(SETTINGS))
    write_card(out, model.config, read_sources((folder / "SOURCES.md").read_text()), 1.5)

    base = load_base(out, lambda folder: GPT2.load(folder).eval())
    ids = torch.tensor([[base.marks.end, *AutoTokenizer.from_pretrained(out).encode("the gulls say hello")]])
    theirs = GPT2LMHeadModel.from_pretrained(out, dtype=torch.float32).eval()(ids).logits
    assert torch.allclose(base.model.logits(base.model(ids)), theirs, atol=1e-4)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "some/dialogue" in card
    assert "some/old" not in card


def test_without_text_it_says_so_and_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        pretrain.main(["--text", str(tmp_path / "none"), "--out", str(tmp_path / "o"), "--work", str(tmp_path / "w")])
    assert ended.value.code == 1
    assert "no text to pre-train on" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
    assert not (tmp_path / "w").exists()
