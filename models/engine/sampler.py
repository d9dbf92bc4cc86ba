"""Draws the next token of a row, with its own settings and its own stream of random numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.prompt import Marks
from models.sampling import Sampling

Floats = NDArray[np.float32]

MASK = 2**64 - 1
HEAD = 512  # tokens that are put in order; more only where these are not enough
ONE = 2**44  # probability 1, counted in whole numbers


def uniform(seed: int, counter: int) -> float:
    """A number in [0, 1) that depends on the seed and the counter alone, so a row's luck never depends on its
    neighbours. SplitMix64's finalizer over both (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
    generators")."""
    z = (mix((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & MASK) + counter * 0x9E3779B97F4A7C15) & MASK
    return (mix(z) >> 11) / float(1 << 53)


def mix(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


@dataclass(frozen=True)
class Draw:
    """What a row's next token depends on besides its logits."""

    sampling: Sampling
    seed: int
    generated: int  # tokens drawn so far; also the counter of the random stream
    text: Sequence[int] = ()  # the request's own text so far, its prompt and what was drawn, without marks
    bad_words: Sequence[Sequence[int]] = ()  # the tokens of each


def draw_token(logits: Floats, draw: Draw, marks: Marks) -> int:
    """A row's logits (vocabulary), which are overwritten -> the id of its next token, by temperature, top-k, then top-p
    (Holtzman et al. 2020, "The curious case of neural text degeneration"), then the inverse of the cumulative
    distribution over the tokens in order, the likeliest first and of equal ones the lower id.

    The reply mark is never drawn: whether a text is a reply is settled before it begins.
    """
    _penalise_repetition(logits, draw)
    _forbid_bad_words(logits, draw)
    if draw.generated < draw.sampling.min_tokens:
        logits[marks.end] = -np.inf
    logits[marks.reply] = -np.inf
    logits /= np.float32(draw.sampling.temperature)
    return _draw(logits, draw)


def _penalise_repetition(row: Floats, draw: Draw) -> None:
    """Makes the tokens that a text holds already less likely, each once however often it stands there (Keskar et al.
    2019, "CTRL"); a logit below zero is multiplied where one above is divided, as transformers does it."""
    penalty = draw.sampling.repetition_penalty
    if penalty != 1.0 and draw.text:
        held = np.unique(draw.text)
        row[held] = np.where(row[held] < 0, row[held] * penalty, row[held] / penalty)


def _forbid_bad_words(row: Floats, draw: Draw) -> None:
    """Rules out every token that would complete a bad word."""
    for *before, last in draw.bad_words:
        if not before or list(draw.text[-len(before) :]) == before:
            row[last] = -np.inf


def _draw(scaled: Floats, draw: Draw) -> int:
    """The token of one row. Only as many of the likeliest as are needed are put in order."""
    vocabulary = len(scaled)
    most = scaled.max()
    if not np.isfinite(most):  # a model gone mad: the softmax of such a row says nothing
        return int(np.argmax(np.nan_to_num(scaled, nan=-np.inf)))
    likelihood = np.exp(scaled - most)
    everything = likelihood.sum(dtype=np.float64)
    limit = min(draw.sampling.top_k or vocabulary, vocabulary)
    wanted = min(max(HEAD, draw.sampling.top_k), vocabulary)
    while True:
        tokens = _first(scaled, wanted)
        # In whole numbers, whose sums are exact: they do not depend on how many tokens are looked at.
        shares = np.rint(likelihood[tokens].astype(np.float64) / everything * ONE).astype(np.int64)
        reached = shares[:limit].cumsum()
        total = int(reached[-1]) if limit < vocabulary else ONE
        enough = max(math.ceil(draw.sampling.top_p * total), 1)
        if len(tokens) >= limit or (limit == vocabulary and reached[-1] >= enough) or len(tokens) == vocabulary:
            break
        wanted = min(wanted * 8, vocabulary)
    kept = int(np.searchsorted(reached, enough)) + 1
    reached = reached[:kept]
    mass = int(reached[-1])
    # Luck just below 1 times the mass can round to all of it.
    target = min(int(uniform(draw.seed, draw.generated) * mass), mass - 1)
    return int(tokens[int(np.searchsorted(reached, target, side="right"))])


def _first(scaled: Floats, count: int) -> NDArray[np.intp]:
    """The ids of the `count` likeliest tokens in order, of equal ones the lower id first; all that equal the last one
    come with it."""
    if count < len(scaled):
        least = np.partition(scaled, len(scaled) - count)[len(scaled) - count]
        tokens = np.flatnonzero(scaled >= least)
    else:
        tokens = np.arange(len(scaled))
    found: NDArray[np.intp] = tokens[np.argsort(-scaled[tokens], kind="stable")]
    return found
