"""GPT-2 in torch, for a GPU. Every step computes all slots, in use or not, and adapters in slices of one width: matrix
products of one fixed shape give a row the same bits whoever its neighbours are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.engine.gpt2 import GPT2
from models.engine.gpt2 import LowRank as TorchLowRank
from models.engine.shape import GPT2Config
from models.engine.slots import ROWS, SLICE, Logits, LowRank

STRIDE = 64  # attention reads whole strides of positions; a multiple keeps shapes, and with them sums, few and fixed


class GpuModel:
    """As Model says."""

    def __init__(self, model: GPT2) -> None:
        self.model, self.config = model, model.config
        self.bytes = sum(weight.numel() * weight.element_size() for weight in model.state_dict().values())

    @classmethod
    def load(cls, base: Path, device: str, dtype: torch.dtype = torch.bfloat16) -> GpuModel:
        """Reads a base's folder; raises ValueError when weights are missing or of the wrong shape."""
        return cls(GPT2.load(base, device, dtype).eval())

    def slots(self, count: int = ROWS) -> GpuSlots:
        return GpuSlots(self.model, count)


class GpuSlots:
    """As Slots says."""

    def __init__(self, model: GPT2, count: int) -> None:
        self.model, self.count = model, count
        weight = model.wte.weight
        self.device, self.dtype = weight.device, weight.dtype
        self.cache = Cache(model.config, count, self.device, self.dtype)
        self.adapters = Adapters(count)
        self._own: list[TorchLowRank] = [{} for _ in range(count)]

    def put(self, slot: int, low_rank: LowRank) -> None:
        """As Slots says."""
        self.cache.free(slot)
        self._own[slot] = {
            name: (self._tensor(np.asarray(a)), self._tensor(np.asarray(b))) for name, (a, b) in low_rank.items()
        }
        self.adapters.put(slot, self._own[slot])

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device, self.dtype)

    @torch.no_grad()
    def read(self, first: int, texts: Sequence[Sequence[int]], wanted: Sequence[int] | None = None) -> Logits:
        """As Slots says."""
        found = []
        for slot, text in enumerate(texts, first):
            ids = torch.tensor([list(text)], device=self.device)
            hidden = self.model(ids, attend=self.cache.prefill(slot, len(text)), low_rank=self._own[slot])
            found.append(self._logits(hidden[:, [len(text) - 1] if wanted is None else list(wanted)], self._own[slot]))
        return np.concatenate(found)

    @torch.no_grad()
    def step(self, tokens: Sequence[int]) -> Logits:
        """As Slots says."""
        ids = torch.tensor([*tokens, *[0] * (self.count - len(tokens))], device=self.device)[:, None]
        positions = torch.tensor(self.cache.lengths, device=self.device)[:, None]
        hidden = self.model(ids, positions, self.cache.step(), self.adapters.low_rank)
        for slot in range(len(tokens)):
            self.cache.advance(slot)
        return self._logits(hidden, self.adapters.low_rank)[: len(tokens), 0]

    def _logits(self, hidden: Tensor, low_rank: TorchLowRank) -> Logits:
        # The head in 32 bits, whatever else is in 16: GPT-2's logits are near -100, where bf16 has steps of 0.5.
        found: Logits = self.model.logits(hidden.float(), low_rank).cpu().numpy()
        return found

    def copy(self, source: int, to: int) -> None:
        """As Slots says."""
        self.cache.copy(source, to)

    def move(self, source: int, to: int) -> None:
        """As Slots says."""
        self.copy(source, to)
        self._own[to] = self._own[source]
        self.adapters.put(to, self._own[to])


class Adapters:
    """The adapters of a batch's rows, of whatever ranks: slices of each weight's pair, (slices, count, in, SLICE) and
    (slices, count, SLICE, out), zero where a row has none or a smaller one.

    Zeros may change the bits of a product that they widen, but a slice of zeros only adds nothing to what is there.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._stacks: dict[str, tuple[Tensor, Tensor]] = {}
        self._counts: list[dict[str, int]] = [{} for _ in range(self.count)]  # the slices of each row's own
        self.low_rank: TorchLowRank = {}  # as many slices as the widest row has now

    def put(self, row: int, low_rank: TorchLowRank) -> None:
        """Gives a row its adapter instead of the one before."""
        counts = {name: -(-a.shape[1] // SLICE) for name, (a, _) in low_rank.items()}
        for name, count in counts.items():
            self._reserve(name, count, *low_rank[name])
        for name, (stacked_a, stacked_b) in self._stacks.items():
            stacked_a[:, row] = 0.0
            stacked_b[:, row] = 0.0
            if name in low_rank:
                whole_a, whole_b = low_rank[name]
                for part, (a, b) in enumerate(zip(whole_a.split(SLICE, 1), whole_b.split(SLICE), strict=True)):
                    stacked_a[part, row, :, : len(b)] = a
                    stacked_b[part, row, : len(b)] = b
        self._counts[row] = counts
        self._narrow()

    def _reserve(self, name: str, count: int, a: Tensor, b: Tensor) -> None:
        more = count - (len(self._stacks[name][0]) if name in self._stacks else 0)
        if more > 0:
            fresh = a.new_zeros(more, self.count, len(a), SLICE), b.new_zeros(more, self.count, SLICE, b.shape[1])
            if name in self._stacks:
                fresh = torch.cat([self._stacks[name][0], fresh[0]]), torch.cat([self._stacks[name][1], fresh[1]])
            self._stacks[name] = fresh

    def _narrow(self) -> None:
        widest = {name: max(counts.get(name, 0) for counts in self._counts) for name in self._stacks}
        self.low_rank = {name: (a[: widest[name]], b[: widest[name]]) for name, (a, b) in self._stacks.items()}


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

    def copy(self, source: int, to: int) -> None:
        for held in (self.keys, self.values):
            held[:, to] = held[:, source]
        self.lengths[to] = self.lengths[source]

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
