"""Draws the next token of every row at once, each row with its own settings and its own stream of random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.prompt import Marks
from models.sampling import Sampling

MASK = 2**64 - 1


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
    """What one row's next token depends on besides its logits."""

    sampling: Sampling
    seed: int
    generated: int  # tokens drawn so far; also the counter of the random stream


def draw_tokens(logits: Tensor, draws: Sequence[Draw], marks: Marks) -> list[int]:
    """Logits (rows, vocabulary) -> one token id per row, by temperature, top-k, then top-p (Holtzman et al. 2020,
    "The curious case of neural text degeneration"), then the inverse of the cumulative distribution.

    The reply mark is never drawn: whether a text is a reply is settled before it begins.
    """
    logits = logits.float()
    rows = len(draws)

    def column(values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=logits.device).view(rows, 1)

    too_early = [row for row, draw in enumerate(draws) if draw.generated < draw.sampling.min_tokens]
    logits[too_early, marks.end] = -torch.inf
    logits[:, marks.reply] = -torch.inf
    scaled = logits / column([draw.sampling.temperature for draw in draws])
    ordered, tokens = torch.sort(scaled, dim=-1, descending=True, stable=True)
    vocabulary = ordered.shape[-1]
    rank = torch.arange(vocabulary, device=logits.device)
    limit = column([float(draw.sampling.top_k or vocabulary) for draw in draws])
    probabilities = torch.softmax(ordered.masked_fill(rank >= limit, -torch.inf), dim=-1)
    before = torch.cumsum(probabilities, dim=-1) - probabilities
    beyond = (before >= column([draw.sampling.top_p for draw in draws])) & (rank > 0)
    kept = probabilities.masked_fill(beyond, 0.0)
    reached = torch.cumsum(kept, dim=-1)
    luck = column([uniform(draw.seed, draw.generated) for draw in draws])
    place = (reached <= luck * reached[:, -1:]).sum(dim=-1, keepdim=True)
    # Luck just below 1 rounds to 1 in 32 bits: then it is the last token kept, not the last of the vocabulary.
    place = place.minimum((kept > 0).sum(dim=-1, keepdim=True) - 1).clamp(min=0)
    chosen: list[int] = tokens.gather(-1, place).flatten().tolist()
    return chosen
