"""What the machine could do at most, and how near to that a step of the engine comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

READ_BYTES = 2**29  # far more than any cache holds
SIDE = 2048  # of the square matrices that are multiplied
BEST_OF = 5  # a limit is what the machine reaches, not what it has in the mean
WEIGHT_BYTES = {"cpu": 1, "cuda": 2}  # as the engine holds its matrices: int8, bf16


def machine(device: str) -> dict[str, Any]:
    """Read bandwidth in GB/s and matrix products in GFLOP/s (int8: operations), by torch in its threads."""
    numbers = torch.ones(READ_BYTES // 4, device=device)
    matrix = numbers.view(-1, SIDE)
    read = READ_BYTES / min(fastest(numbers.sum), fastest(partial(torch.mv, matrix, matrix[0]))) / 1e9
    rates: dict[str, float] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        square = torch.randn(SIDE, SIDE, device=device).to(dtype)
        rates[name] = 2 * SIDE**3 / fastest(partial(torch.mm, square, square)) / 1e9
    whole = torch.randint(-127, 127, (SIDE, SIDE), dtype=torch.int8, device=device)
    rates["int8"] = 2 * SIDE**3 / fastest(partial(torch._int_mm, whole, whole)) / 1e9
    return {"read_gb_s": read, "gflops": rates}


def fastest(work: Callable[[], torch.Tensor]) -> float:
    """The seconds of the best of several, after one that does not count."""
    found = []
    for _ in range(BEST_OF + 1):
        began = time.monotonic()
        if work().is_cuda:
            torch.cuda.synchronize()
        found.append(time.monotonic() - began)
    return min(found[1:])


def least_ms(weights: int, rows: int, limits: dict[str, Any], device: str) -> float:
    """The least that a step of so many rows could take: to read every weight once, or to multiply them all with every
    row at the highest rate that the machine showed, whichever is longer."""
    reading = weights * WEIGHT_BYTES[device] / limits["read_gb_s"]
    computing = 2 * weights * rows / max(limits["gflops"].values())
    return float(max(reading, computing)) / 1e6
