"""Held-out figures are what their definitions say."""

import math
import re
from pathlib import Path

import pytest
import torch

from models.engine.gpt2 import GPT2
from models.engine.tokenizer import load_tokenizer, marks_of
from tests.factories import VOCABULARY, make_base, sentences
from training.corpus import Piece
from training.engine.evaluate import HeldOut, Score, either_way, evaluate, held_out_rows, row_nats


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


def held_out(base: Path, *texts: str, n_positions: int = 64) -> HeldOut:
    tokenizer = load_tokenizer(base)
    return held_out_rows([Piece("jo", text) for text in texts], tokenizer, marks_of(tokenizer), n_positions)


def test_a_model_that_knows_nothing_needs_log_v_bits_for_every_token(base: Path) -> None:
    model = GPT2.load(base)
    with torch.no_grad():
        model.wte.weight.zero_()
    texts = [*sentences(40), "été 🦊"]
    tokenizer = load_tokenizer(base)
    tokens = sum(len(tokenizer.encode(text).ids) + 1 for text in texts)  # the end of each is predicted as well
    size = sum(len(text.encode()) + 1 for text in texts)
    held = held_out(base, *texts)
    assert (held.tokens, held.bytes) == (tokens, size)
    score = evaluate(model, held)
    assert score.loss == pytest.approx(math.log(VOCABULARY), rel=1e-5)
    assert score.bits_per_byte == pytest.approx(math.log2(VOCABULARY) * tokens / size, rel=1e-5)
    assert score.perplexity == pytest.approx(VOCABULARY, rel=1e-4)


def test_the_loss_is_the_mean_over_all_tokens_of_texts_read_alone(base: Path) -> None:
    model = GPT2.load(base)
    held = held_out(base, *sentences(50))
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for row, _ in held.rows:
            logits = model.logits(model(torch.tensor([row[:-1]])))[0].log_softmax(-1)
            total -= sum(logits[place, token].item() for place, token in enumerate(row[1:]))
            count += len(row) - 1
    for batch in (1, 7, 32):
        assert sum(row_nats(model, held.rows, batch=batch)) / held.tokens == pytest.approx(total / count, rel=1e-5)
    assert evaluate(model, held).loss == pytest.approx(total / count, rel=1e-5)


def test_dropout_is_off_while_scoring_and_back_on_afterwards(base: Path) -> None:
    model = GPT2.load(base).train()
    held = held_out(base, *sentences(10))
    assert evaluate(model, held) == evaluate(model, held)
    assert model.training
    assert evaluate(model.eval(), held) == evaluate(model, held)
    assert not model.training


@pytest.mark.parametrize("spare", [-5, -1, 0, 1])
def test_only_the_bytes_that_were_scored_are_counted(spare: int, base: Path) -> None:
    tokenizer = load_tokenizer(base)
    end = marks_of(tokenizer).end
    text = "🦊 seven small loaves for été, " * 9
    ids = tokenizer.encode(text).ids
    held = held_out(base, text, n_positions=len(ids) + spare)
    ((row, _),) = held.rows
    assert row == [end, *ids, end][: len(ids) + spare + 1]
    assert held.tokens == len(row) - 1
    scored = sum(len(tokenizer.id_to_token(token)) for token in ids[: len(ids) + spare])  # a character a byte
    assert held.bytes == scored + (spare > 0)
    assert spare < 0 or scored == len(text.encode())


def test_an_end_of_text_written_out_in_a_text_counts_as_the_bytes_it_is(base: Path) -> None:
    held = held_out(base, "tea<|endoftext|>toast")
    assert held.bytes == len("tea<|endoftext|>toast") + 1


ANSWER = Piece("jo", "seven small loaves", True, "how many do we bake")


@pytest.mark.parametrize(
    ("replies", "layout"),
    [
        (True, "{end}{message}{reply}|{text}{end}"),
        (False, "{end}|{text}{end}"),
    ],
)
def test_a_reply_is_laid_out_as_its_reader_can_and_always_for_the_same_bytes(
    replies: bool, layout: str, base: Path
) -> None:
    tokenizer = load_tokenizer(base)
    end = marks_of(tokenizer).end
    marks = marks_of(tokenizer)
    held = held_out_rows([ANSWER], tokenizer, marks, 64, replies=replies)
    ((row, first),) = held.rows
    message, text = tokenizer.encode(ANSWER.message).ids, tokenizer.encode(ANSWER.text).ids
    parts = {"{end}": [end], "{message}": message, "{reply}": [marks.reply], "{text}": text}
    before, after = (
        [token for part in re.findall(r"{\w+}", half) for token in parts[part]] for half in layout.split("|")
    )
    assert (row[:first], row[first:]) == (before, after)
    assert held.bytes == len(ANSWER.text.encode()) + 1
    assert held.tokens == len(after)


@pytest.mark.parametrize("message", ["tea", None])
@pytest.mark.parametrize("replies", [True, False])
@pytest.mark.parametrize("spare", [-1, 0, 1])
def test_what_is_cut_off_a_long_reply_is_not_counted(
    spare: int, replies: bool, message: str | None, base: Path
) -> None:
    tokenizer = load_tokenizer(base)
    text = "🦊 seven small loaves for été, " * 9
    before = 1 + len(tokenizer.encode(message or "").ids) if replies else 0
    ids = tokenizer.encode(text).ids
    piece = Piece("jo", text, True, message)
    held = held_out_rows([piece], tokenizer, marks_of(tokenizer), len(ids) + before + spare, replies=replies)
    scored = sum(len(tokenizer.id_to_token(token)) for token in ids[: len(ids) + spare])
    assert held.bytes == scored + (spare > 0)


def test_nothing_held_out_cannot_be_scored(base: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        evaluate(GPT2.load(base), held_out(base))


def test_perplexity_is_the_exponential_of_the_loss() -> None:
    assert Score(2.0, 1.0).perplexity == pytest.approx(math.e**2)


@pytest.mark.parametrize("loss", [1e4, math.inf, math.nan])
def test_a_loss_beyond_all_bounds_has_an_infinite_perplexity(loss: float) -> None:
    assert Score(loss, 1.0).perplexity == math.inf


def test_either_way_counts_a_text_as_tweet_and_as_reply(base: Path) -> None:
    model, marks = GPT2.load(base).eval(), marks_of(load_tokenizer(base))
    texts = [[5, 6, 7], [9, 4]]
    expected = 0.0
    with torch.no_grad():
        for text in texts:
            ways = []
            for start in ([marks.end], [marks.end, marks.reply]):
                row = [*start, *text, marks.end]
                log_p = model.logits(model(torch.tensor([row[:-1]])))[0].log_softmax(-1)
                ways.append(sum(log_p[place, token].item() for place, token in enumerate(row[1:])))
            expected -= math.log(math.exp(ways[0]) + math.exp(ways[1]))
    assert either_way(model, texts, marks) == pytest.approx(expected, rel=1e-5)
