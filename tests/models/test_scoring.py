"""A score is what plain torch computes, and no text's score depends on the others'."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.engine.gpt2 import GPT2
from models.engine.scoring import score
from models.engine.voices import Voice
from models.wire import Item, Score
from tests.factories import ExactVoices, make_adapter, make_base, sentences


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module", params=[False, True], ids=["base", "adapter"])
def voice(request: pytest.FixtureRequest, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Voice:
    adapter = str(make_adapter(tmp_path_factory.mktemp("adapter"), base)) if request.param else None
    return ExactVoices("cpu", 2, 2**30).get(str(base), adapter)


def nats(voice: Voice, items: list[Item]) -> list[float]:
    return score(Score(1, "", None, items), voice).nats


@torch.inference_mode()
def by_the_book(base: Path, voice: Voice, before: list[int], text: list[int]) -> float:
    """-log p of the text's tokens, one after another, given what stands before."""
    model = GPT2.load(base).eval()
    low_rank = {
        name: (torch.from_numpy(np.array(a)).float(), torch.from_numpy(np.array(b)).float())
        for name, (a, b) in voice.low_rank.items()
    }
    total = 0.0
    for index, token in enumerate(text):
        hidden = model(torch.tensor([before + text[:index]]), low_rank=low_rank)
        total -= torch.log_softmax(model.logits(hidden, low_rank)[0, -1].double(), dim=0)[token].item()
    return total


@pytest.mark.parametrize("message", [None, "", "where is the kettle?", "tea\x1e<|endoftext|>"])
@pytest.mark.parametrize("text", ["", "t", "rain walks over a roof of tin"])
def test_a_score_is_what_plain_torch_computes_of_the_text_and_its_end(
    text: str, message: str | None, base: Path, voice: Voice
) -> None:
    end, mark = voice.tokenizer.token_to_id("<|endoftext|>"), voice.tokenizer.encode("\x1e").ids
    heard = voice.tokenizer.encode((message or "").removesuffix("\x1e<|endoftext|>")).ids
    tokens = [*voice.tokenizer.encode(text).ids, end]
    before = [end] if message is None else [end, *heard, *mark]
    scored = score(Score(7, "", None, [Item(text, message)]), voice)
    assert (scored.id, scored.tokens) == (7, [len(tokens)])
    assert scored.nats[0] == pytest.approx(by_the_book(base, voice, before, tokens), rel=1e-5)


def test_a_score_is_the_same_alone_and_in_any_company(voice: Voice) -> None:
    texts = sentences(12, seed=3)
    items = [Item(text, [None, "", texts[-index]][index % 3]) for index, text in enumerate(texts)]
    together = nats(voice, items)
    assert len(set(together)) == len(items)
    assert [nats(voice, [item])[0] for item in items] == together
    assert nats(voice, items[::-1]) == together[::-1]


def test_a_text_longer_than_the_context_is_scored_as_far_as_it_reaches(voice: Voice) -> None:
    long = " ".join(sentences(20))
    scored = score(Score(1, "", None, [Item(long), Item(long, long)]), voice)
    assert scored.tokens == [64, 64 - 32]  # the message, a half of what the marks leave, and the two marks
    assert all(value > 0 for value in scored.nats)
