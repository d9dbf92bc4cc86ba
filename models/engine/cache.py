"""The key/value cache of one batch: a fixed number of rows, each as far along as its own text."""

from __future__ import annotations

import torch
from torch import Tensor

from models.engine.gpt2 import GPT2Config

STRIDE = 64  # attention reads whole strides of positions; a multiple keeps shapes, and with them sums, few and fixed


class Cache:
    """Keys and values (layers, rows, heads, capacity, head size); `lengths` says how much of each row is filled."""

    def __init__(self, config: GPT2Config, rows: int, device: torch.device, dtype: torch.dtype) -> None:
        shape = (config.n_layer, rows, config.n_head, 2 * STRIDE, config.n_embd // config.n_head)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.lengths = [0] * rows
        self.rows = torch.arange(rows, device=device)

    def reserve(self, length: int) -> None:
        """Makes room for rows of `length` positions, by doubling."""
        while self.keys.shape[3] < length:
            # Both or none: memory may run out between the two.
            keys = torch.cat([self.keys, torch.zeros_like(self.keys)], dim=3)
            values = torch.cat([self.values, torch.zeros_like(self.values)], dim=3)
            self.keys, self.values = keys, values

    def prefill(self, row: int, length: int) -> Prefill:
        """The attention of one row's prompt, which fills positions 0 to length - 1 of that row."""
        self.reserve(length)
        self.lengths[row] = length
        return Prefill(self, row)

    def step(self) -> Step:
        """The attention of one further position of every row; call `advance` for the rows that are in use."""
        self.reserve(max(self.lengths) + 1)
        return Step(self)

    def advance(self, row: int) -> None:
        self.lengths[row] += 1

    def free(self, row: int) -> None:
        """Empties a row: a value that is not a number would reach whoever comes next, for 0 * nan is nan."""
        self.lengths[row] = 0
        self.values[:, row] = 0.0


class Prefill:
    """Attends within one prompt, alone, so that its result depends on the prompt alone."""

    def __init__(self, cache: Cache, row: int) -> None:
        self.cache, self.row = cache, row

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        length = key.shape[2]
        self.cache.keys[layer, self.row, :, :length] = key[0]
        self.cache.values[layer, self.row, :, :length] = value[0]
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)


class Step:
    """Attends from one new position a row to all that the row holds.

    Written as two batched products: torch's fused attention splits the work over rows and heads in a way that
    makes a row's sums depend on how many neighbours it has; measured, see docs/experiments.md.
    """

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        device = cache.keys.device
        self.at = torch.tensor(cache.lengths, device=device)
        self.span = -(-(max(cache.lengths) + 1) // STRIDE) * STRIDE
        places = torch.arange(self.span, device=device)
        self.hidden = (places > self.at[:, None])[:, None, None, :]  # (rows, 1, 1, span)

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        cache = self.cache
        cache.keys[layer, cache.rows, :, self.at] = key[:, :, 0]
        cache.values[layer, cache.rows, :, self.at] = value[:, :, 0]
        keys, values = cache.keys[layer, :, :, : self.span], cache.values[layer, :, :, : self.span]
        scores = (query @ keys.transpose(-1, -2)) * query.shape[-1] ** -0.5
        weights = torch.softmax(scores.masked_fill(self.hidden, -torch.inf).float(), dim=-1).to(values.dtype)
        return weights @ values
