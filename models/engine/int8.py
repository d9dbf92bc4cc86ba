"""Matrices in 8 bits: a quarter of the memory to read, and sums of whole numbers, which are exact in any order."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST = 127  # -128 would fit too; without it positive and negative numbers reach equally far
SMALLEST = 1e-30  # a row of zeros still has a step to divide by


def step_of(rows: Tensor) -> Tensor:
    """By what each row's values (rows, in) are to be divided to lie between -127 and 127: (rows, 1)."""
    return rows.abs().amax(dim=1, keepdim=True).clamp_(min=SMALLEST).div_(LARGEST)


class Int8(nn.Module):
    """A float matrix (out, in) held as int8 `numbers` times one `step` a row; it stands where the float weight stood.

    x is rounded to 8 bits as well, with a step for each of its rows. So no row's result depends on other rows, not by a
    bit: the sums are exact, and all else is done number by number, one rounding at a time.
    """

    numbers: Tensor  # (out, in)
    step: Tensor  # (out)
    excess: Tensor  # (out), what the sums are too large by because x is moved up by 128 to be unsigned

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        weight = weight.detach().float()
        step = step_of(weight)
        # A row's numbers side by side: as GPT-2 stores its projections, (in, out), products take half as long again.
        numbers = (weight / step).round_().to(torch.int8).contiguous()
        self.register_buffer("numbers", numbers)
        self.register_buffer("step", step[:, 0].contiguous())
        self.register_buffer("excess", 128 * numbers.sum(dim=1, dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        """x @ weight.T: (..., in) -> (..., out)."""
        rows = x.reshape(-1, x.shape[-1])
        step = step_of(rows)
        # Rounded by cutting off, half a step further up; unsigned, because that is the product the processor has.
        sums = torch._int_mm((rows / step).add_(128.5).to(torch.uint8), self.numbers.t()).sub_(self.excess)
        return sums.to(x.dtype).mul_(step).mul_(self.step).view(*x.shape[:-1], -1)

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
