"""Cross-entropy of next tokens, in chunks, so that logits over the whole vocabulary never stand in memory at once."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.engine.gpt2 import GPT2, LowRank
from models.engine.shape import EMBEDDING

IGNORED = -100  # a target that does not count: padding
CHUNK = 512  # rows of logits at a time: with 8,192 tokens of vocabulary they nearly stay in the processor's cache


def next_token_nll(model: GPT2, hidden: Tensor, targets: Tensor, low_rank: LowRank | None = None) -> Tensor:
    """Summed negative log-likelihood in nats of `targets` (batch, time) given `hidden` (batch, time, width), for
    training; padding costs nothing."""
    counted = targets.reshape(-1) != IGNORED
    rows, wanted = hidden.reshape(-1, hidden.shape[-1])[counted], targets.reshape(-1)[counted]
    weight, difference = model.wte.weight, None
    if low_rank is not None and (pair := low_rank.get(EMBEDDING)) is not None:
        # h (W + A B)' = [h, h B'] [W, A]': one product more narrow columns, and W needs no gradient.
        difference, b = pair
        rows = torch.cat([rows, (rows @ b.mT).to(rows.dtype)], dim=1)
    total: Tensor = HeadNll.apply(rows, weight, difference, wanted)
    return total


def token_nll(model: GPT2, hidden: Tensor, targets: Tensor, low_rank: LowRank | None = None) -> Tensor:
    """The same without gradients for each token, (batch, time); 0 where the target is ignored."""
    flat, wanted = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1)
    parts = [
        F.cross_entropy(model.logits(rows[None], low_rank)[0].float(), want, reduction="none", ignore_index=IGNORED)
        for rows, want in zip(flat.split(CHUNK), wanted.split(CHUNK), strict=True)
    ]
    return torch.cat(parts).view(targets.shape)


class HeadNll(torch.autograd.Function):
    """The head and its loss in one. The gradient of cross-entropy is the softmax less the target, so each chunk's
    gradients are made while its logits are at hand: nothing of the size of the vocabulary is kept or made twice
    (the idea of Hsu et al. 2024, "Liger Kernel", here in plain torch)."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, difference: Tensor | None, wanted: Tensor) -> Tensor:
        """rows (n, width + rank), weight (vocabulary, width), difference (vocabulary, rank) or None with rank 0, wanted
        (n,) -> the summed loss."""
        d_rows = torch.empty_like(rows)
        d_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        d_difference = torch.zeros_like(difference) if difference is not None else None
        width = weight.shape[1]
        weight = weight if difference is None else torch.cat([weight, difference.to(weight.dtype)], dim=1)
        total = rows.new_zeros((), dtype=torch.float32)
        for part, want, d_part in zip(rows.split(CHUNK), wanted.split(CHUNK), d_rows.split(CHUNK), strict=True):
            log_p = F.linear(part, weight).float().log_softmax(dim=1)
            total -= log_p.gather(1, want[:, None]).sum()
            gradient = log_p.exp_()
            gradient.scatter_add_(1, want[:, None], gradient.new_full((len(want), 1), -1.0))
            d_part.copy_(gradient @ weight)
            if d_weight is not None:
                d_weight += gradient.t() @ part[:, :width]
            if d_difference is not None:
                d_difference += gradient.t() @ part[:, width:]
        ctx.save_for_backward(d_rows, d_weight, d_difference)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return *(None if part is None else part * gradients[0] for part in ctx.saved_tensors), None
