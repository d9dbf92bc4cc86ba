"""Matrices in 8 bits: a quarter of the memory to read, and sums of whole numbers, which are exact in any order."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST = 127  # -128 would fit too; without it positive and negative numbers reach equally far
SMALLEST = 1e-30  # a row whose values are all the same still has a step to divide by


class Int8(nn.Module):
    """A float matrix (out, in) held as int8 `numbers` times one `step` a row; it stands where the float weight stood.

    x is rounded to 8 bits as well, row by row: its least value and whole steps above that. So no row's result depends
    on other rows, not by a bit: the sums are exact, and all else is done number by number, one rounding at a time.
    Steps that reach equally far up and down would be cheaper, and small models lose most by them: what leaves a GELU
    is nearly all on one side (Dettmers et al. 2022, "LLM.int8()", table 1).
    """

    numbers: Tensor  # (out, in)
    step: Tensor  # (out)
    total: Tensor  # (out), the sum of each row's numbers

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        weight = weight.detach().float()
        step = weight.abs().amax(dim=1).clamp_(min=SMALLEST).div_(LARGEST)
        # A row's numbers side by side: as GPT-2 stores its projections, (in, out), products take half as long again.
        numbers = (weight / step[:, None]).round_().to(torch.int8).contiguous()
        self.register_buffer("numbers", numbers)
        self.register_buffer("step", step)
        self.register_buffer("total", numbers.sum(dim=1, dtype=torch.int32).float())

    def forward(self, x: Tensor) -> Tensor:
        """x @ weight.T: (..., in) -> (..., out)."""
        rows = x.reshape(-1, x.shape[-1])
        least = rows.amin(dim=1, keepdim=True)
        step = (rows.amax(dim=1, keepdim=True) - least).clamp_(min=SMALLEST).div_(255)
        steps = (rows - least).div_(step).round_().to(torch.uint8)
        sums = torch._int_mm(steps, self.numbers.t())
        found = sums.to(x.dtype).mul_(step).add_(least * self.total).mul_(self.step)
        return found.view(*x.shape[:-1], -1)

    def rows(self, ids: Tensor) -> Tensor:
        """The rows of the matrix that `ids` name: (...) -> (..., in)."""
        return F.embedding(ids, self.numbers) * self.step[ids][..., None]

    @property
    def device(self) -> torch.device:
        return self.numbers.device

    @property
    def dtype(self) -> torch.dtype:
        """What it reads and answers in, not what it is held in."""
        return self.step.dtype
