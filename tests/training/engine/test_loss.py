"""The chunked loss against torch's plain cross-entropy, values and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.engine.gpt2 import EMBEDDING, GPT2, GPT2Config
from training.engine.loss import CHUNK, IGNORED, next_token_nll, token_nll

VOCABULARY, WIDTH, RANK = 97, 16, 3


def model() -> GPT2:
    return GPT2(GPT2Config(VOCABULARY, 64, WIDTH, 1, 2)).initialise(torch.Generator().manual_seed(1))


def hidden_and_targets() -> tuple[Tensor, Tensor]:
    """More rows than one chunk holds, some of them padding."""
    generator = torch.Generator().manual_seed(2)
    shape = (4, CHUNK // 3)
    targets = torch.randint(0, VOCABULARY, shape, generator=generator)
    targets[1, 5:] = IGNORED
    return torch.randn(*shape, WIDTH, generator=generator, requires_grad=True), targets


def pair() -> tuple[nn.Parameter, nn.Parameter]:
    generator = torch.Generator().manual_seed(3)
    return (
        nn.Parameter(torch.randn(VOCABULARY, RANK, generator=generator)),
        nn.Parameter(torch.randn(RANK, WIDTH, generator=generator)),
    )


def plain(hidden: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    return F.cross_entropy((hidden @ weight.T).flatten(0, 1), targets.flatten(), reduction="sum", ignore_index=IGNORED)


def test_it_is_cross_entropy_with_its_gradients_when_all_weights_are_trained() -> None:
    trained, (hidden, targets) = model(), hidden_and_targets()
    weight = trained.wte.weight
    expected = torch.autograd.grad(plain(hidden, targets, weight) / 7, [hidden, weight])
    loss = next_token_nll(trained, hidden, targets)
    assert loss.item() == pytest.approx(plain(hidden, targets, weight).item(), rel=1e-5)
    torch.testing.assert_close(torch.autograd.grad(loss / 7, [hidden, weight]), expected)


def test_a_low_rank_difference_of_the_head_gets_its_gradients_and_the_frozen_head_none() -> None:
    trained, (hidden, targets) = model().requires_grad_(False), hidden_and_targets()
    a, b = pair()
    expected = torch.autograd.grad(plain(hidden, targets, trained.wte.weight + a @ b), [hidden, a, b])
    loss = next_token_nll(trained, hidden, targets, {EMBEDDING: (a, b)})
    torch.testing.assert_close(torch.autograd.grad(loss, [hidden, a, b]), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("differs", [False, True])
def test_token_by_token_it_sums_to_the_same_and_padding_is_nothing(differs: bool) -> None:
    scored, (hidden, targets) = model(), hidden_and_targets()
    low_rank = {EMBEDDING: pair()} if differs else None
    with torch.no_grad():
        tokens = token_nll(scored, hidden, targets, low_rank)
        assert tokens.shape == targets.shape
        assert not tokens[targets == IGNORED].any()
        assert tokens.sum().item() == pytest.approx(next_token_nll(scored, hidden, targets, low_rank).item(), rel=1e-5)
