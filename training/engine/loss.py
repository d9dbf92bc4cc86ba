"""Cross-entropy of next tokens, in chunks, so that logits over the whole vocabulary never stand in memory at once."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from models.engine.gpt2 import GPT2

IGNORED = -100  # a target that does not count: padding


def next_token_nll(model: GPT2, hidden: Tensor, targets: Tensor, chunk: int = 2048) -> Tensor:
    """Summed negative log-likelihood in nats of `targets` (batch, time) given `hidden` (batch, time, width)."""
    flat, wanted = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1)

    def part(rows: Tensor, want: Tensor) -> Tensor:
        return F.cross_entropy(model.logits(rows).float(), want, reduction="sum", ignore_index=IGNORED)

    total = flat.new_zeros((), dtype=hidden.dtype).float()
    for rows, want in zip(flat.split(chunk), wanted.split(chunk), strict=True):
        # Recomputing a chunk's logits in the backward pass costs one product and saves (chunk x vocabulary) floats.
        total = total + (checkpoint(part, rows, want, use_reentrant=False) if rows.requires_grad else part(rows, want))
    return total
