"""What the engine asks of a device: a model, and slots in which running texts keep what the model has read of them.

Two do it: `cpu` (ONNX Runtime, matrices in 8 bits) and `gpu` (torch). On either no row's result depends on which other
rows are computed with it, so the same seed gives the same text alone or in any batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.engine.shape import GPT2Config

ROWS = 32  # texts of one model that are computed together at most
SLICE = 16  # of an adapter's rank: products of other widths add up in another order

# Low-rank differences by the name of the weight they add to, e.g. "h.0.attn.c_attn": A (in, rank) and B (rank, out),
# already scaled. That of "wte", (vocabulary, rank) and (rank, width), counts where tokens are read and where they are
# predicted.
LowRank = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]

Logits = NDArray[np.float32]


class Slots(Protocol):
    """Room for ROWS texts at most, the first ones in use."""

    def put(self, slot: int, low_rank: LowRank) -> None:
        """Empties a slot and gives it an adapter."""

    def read(self, first: int, texts: Sequence[Sequence[int]], wanted: Sequence[int] | None = None) -> Logits:
        """Reads texts of one length into the slots from `first` on, which are empty: (texts, wanted, vocabulary), what
        comes after the tokens at the places that are wanted, after the last one if none are named."""

    def step(self, tokens: Sequence[int]) -> Logits:
        """Reads one token more in each of the first slots: (slots, vocabulary), what comes next. The array is
        overwritten by the next call."""

    def copy(self, source: int, to: int) -> None:
        """Another slot with the same adapter takes over what one has read."""

    def move(self, source: int, to: int) -> None:
        """Another slot takes over the adapter too."""


class Model(Protocol):
    """The weights of a base or a whole model on a device."""

    config: GPT2Config
    bytes: int  # of memory

    def slots(self, count: int = ROWS) -> Slots: ...
