"""A counted model of bytes: n-grams with interpolated modified Kneser-Ney smoothing, the peer of a small base.

Chen and Goodman 1998, "An empirical study of smoothing techniques for language modeling", section 3: three discounts
of each order's own, and below the highest order counts of different left neighbours instead of occurrences. What
begins a text has no left neighbour, so there occurrences are counted in every order. Below the single bytes lies the
uniform distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

END = 256  # a text's end, and what stands before its first byte
SYMBOLS = 257
BITS = 9  # of one symbol in a key
CONTEXT = 6  # bytes that are looked back at; (CONTEXT + 1) * BITS must fit into 64

Keys = NDArray[np.uint64]  # n-grams as numbers, the newest symbol in the lowest bits
Numbers = NDArray[Any]


@dataclass(frozen=True)
class Order:
    """All n-grams of one length. p(symbol | context) = direct + rest * p(symbol | context without its oldest symbol);
    direct is 0 for an n-gram that is not there, and rest is 1 for a context that is not there."""

    grams: Keys  # sorted
    direct: Numbers  # of each of them
    contexts: Keys  # sorted
    rest: Numbers  # of each of them


class Characters:
    """`orders` go from the single symbol up."""

    def __init__(self, orders: Sequence[Order]) -> None:
        self.orders = tuple(orders)

    @classmethod
    def learn(cls, texts: Sequence[str], context: int = CONTEXT) -> Characters:
        """Counts the texts, each read alone; `context` is 1 to 6 bytes. Takes about 30 bytes of memory a byte."""
        stream, history = joined(texts)
        orders = []
        grams, counts = tallied(keys(stream, np.flatnonzero(history >= context), context + 1))
        # A short text gives no n-gram of the highest order; what begins one is counted as it occurs in all orders.
        for length in range(context + 1, 0, -1):
            if length <= context:
                opening = np.flatnonzero(history == length - 1) if length > 1 else np.empty(0, np.int64)
                opened, occurred = tallied(keys(stream, opening, length))
                followed, neighbours = tallied(grams & np.uint64((1 << length * BITS) - 1))
                order = np.argsort(np.concatenate([followed, opened]), kind="stable")
                grams = np.concatenate([followed, opened])[order]
                counts = np.concatenate([neighbours, occurred])[order]
            orders.append(smoothed(grams, counts))
        return cls(orders[::-1])

    def probabilities(self, stream: Numbers, history: Numbers, places: Numbers) -> Numbers:
        """Of the symbol at each of the `places`, after what stands before it in its text."""
        found = np.full(len(places), 1.0 / SYMBOLS)
        for length, order in enumerate(self.orders, start=1):
            deep = np.flatnonzero(history[places] >= length - 1)
            grams = keys(stream, places[deep], length)
            rest = looked_up(order.contexts, order.rest, grams >> np.uint64(BITS), 1.0)
            found[deep] = looked_up(order.grams, order.direct, grams, 0.0) + rest * found[deep]
        return found

    def bits(self, texts: Sequence[str]) -> float:
        """What all texts need together, each read alone, the end of each one included."""
        stream, history = joined(texts)
        places = np.flatnonzero(history > 0)
        return float(-np.log2(self.probabilities(stream, history, places)).sum())

    def following(self, start: str) -> Numbers:
        """The probabilities of all symbols after the `start` of a text."""
        stream, _ = joined([start])
        rows = np.tile(stream, (SYMBOLS, 1))
        rows[:, -1] = np.arange(SYMBOLS)
        places = np.arange(1, SYMBOLS + 1) * len(stream) - 1
        return self.probabilities(rows.ravel(), np.tile(np.arange(len(stream)), SYMBOLS), places)

    def save(self, path: Path) -> None:
        arrays = {f"{name}{at}": held for at, order in enumerate(self.orders) for name, held in vars(order).items()}
        fresh = path.with_suffix(".new.npz")
        np.savez(fresh, **arrays)
        fresh.replace(path)

    @classmethod
    def load(cls, path: Path) -> Characters:
        with np.load(path) as held:
            names = ("grams", "direct", "contexts", "rest")
            return cls([Order(*(held[f"{name}{at}"] for name in names)) for at in range(len(held.files) // len(names))])


def joined(texts: Sequence[str]) -> tuple[Numbers, Numbers]:
    """END text END text ... END as symbols, and how many symbols of its own text (the END before it counted, its own
    for an END) stand before each one; 0 for the first END."""
    raw = [text.encode() for text in texts]
    ends = np.cumsum([0, *(len(text) + 1 for text in raw)])
    stream = np.full(ends[-1] + 1, END, np.uint16)
    inside = np.ones(len(stream), bool)
    inside[ends] = False
    stream[inside] = np.frombuffer(b"".join(raw), np.uint8)
    lengths = np.diff(ends)
    history = np.zeros(len(stream), np.int32)
    history[1:] = np.arange(1, len(stream), dtype=np.int64) - np.repeat(ends[:-1], lengths)
    return stream, history


def keys(stream: Numbers, places: Numbers, length: int) -> Keys:
    """The n-grams of that length that end at the places."""
    found = np.zeros(len(places), np.uint64)
    for back in range(length - 1, -1, -1):
        found <<= np.uint64(BITS)
        found |= stream[places - back]
    return found


def tallied(grams: Keys) -> tuple[Keys, Numbers]:
    """The different n-grams, sorted, and how often each is there; sorts what it is given in place."""
    grams.sort()
    first = np.flatnonzero(np.concatenate([[True], grams[1:] != grams[:-1]])) if len(grams) else np.empty(0, np.int64)
    return grams[first], np.diff(first, append=len(grams))


def smoothed(grams: Keys, counts: Numbers) -> Order:
    """Takes the discounts off and gives what they add up to, in each context, to the shorter context."""
    taken = discounts(counts)[np.minimum(counts, 3)]
    owners = grams >> np.uint64(BITS)
    contexts, sizes = tallied(owners)  # sorted already: one run of n-grams for each context
    first = np.cumsum(sizes) - sizes
    totals = np.add.reduceat(counts, first) if len(counts) else counts
    rest = np.add.reduceat(taken, first) / totals if len(counts) else taken
    direct = (counts - taken) / np.repeat(totals, sizes)
    return Order(grams, direct.astype(np.float32), contexts, rest.astype(np.float32))


def discounts(counts: Numbers) -> Numbers:
    """What is taken off a count of 0, 1, 2, and 3 or more; 0, 0.5, 1 and 1.5 where too few n-grams are rare to
    tell."""
    n1, n2, n3, n4 = (int((counts == times).sum()) for times in (1, 2, 3, 4))
    if not n1 or not n2 or not n3:
        return np.array([0.0, 0.5, 1.0, 1.5])
    share = n1 / (n1 + 2 * n2)
    wanted = np.array([0.0, 1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3])
    if not (wanted[1:] > 0).all():
        return np.array([0.0, 0.5, 1.0, 1.5])
    return wanted


def looked_up(sorted_keys: Keys, values: Numbers, wanted: Keys, default: float) -> Numbers:
    """The value of each wanted key; `default` for one that is not there."""
    if not len(sorted_keys):
        return np.full(len(wanted), default)
    at = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return np.where(sorted_keys[at] == wanted, values[at], default).astype(np.float64)
