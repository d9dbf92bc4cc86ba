"""Draws the next token of every row at once, each row with its own settings and its own stream of random numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.prompt import Marks
from models.sampling import Sampling

MASK = 2**64 - 1
HEAD = 512  # tokens of each row that are put in order; the others only where these are not enough
ONE = 2**44  # probability 1, counted in whole numbers
BINS, BINS_PER_NAT = 4096, 64  # the likeliest tokens of a row spread over about 30 nats


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
    text: Sequence[int] = ()  # the request's own text so far, its prompt and what was drawn, without marks
    bad_words: Sequence[Sequence[int]] = ()  # the tokens of each


def draw_tokens(logits: Tensor, draws: Sequence[Draw], marks: Marks) -> list[int]:
    """Logits (rows, vocabulary) -> one token id per row, by temperature, top-k, then top-p (Holtzman et al. 2020,
    "The curious case of neural text degeneration"), then the inverse of the cumulative distribution over the tokens in
    order, the likeliest first and of equal ones the lower id.

    The reply mark is never drawn: whether a text is a reply is settled before it begins.
    """
    logits = logits.float()
    _penalise_repetition(logits, draws)
    _forbid_bad_words(logits, draws)
    too_early = [row for row, draw in enumerate(draws) if draw.generated < draw.sampling.min_tokens]
    logits[too_early, marks.end] = -torch.inf
    logits[:, marks.reply] = -torch.inf
    scaled = logits / torch.tensor([[draw.sampling.temperature] for draw in draws], device=logits.device)
    probabilities = torch.softmax(scaled, dim=-1)
    chosen, settled = _draw(*_head(scaled, HEAD), probabilities, draws)
    # A token is the same whichever way it is found, so each row may go its own way.
    further = [row for row, found in enumerate(settled.tolist()) if not found]
    if further and scaled.is_cuda:
        all_of_them = _head(scaled[further], scaled.shape[-1])
        chosen[further], _ = _draw(*all_of_them, probabilities[further], [draws[row] for row in further])
    elif further:
        for row in further:
            chosen[row] = _draw_from_all(scaled[row], probabilities[row], draws[row])
    found: list[int] = chosen.tolist()
    return found


def _penalise_repetition(logits: Tensor, draws: Sequence[Draw]) -> None:
    """Makes the tokens that a row's text holds already less likely, each once however often it stands there (Keskar et
    al. 2019, "CTRL"); a logit below zero is multiplied where one above is divided, as transformers does it."""
    rows: list[int] = []
    tokens: list[int] = []
    penalties: list[float] = []
    for row, draw in enumerate(draws):
        if draw.sampling.repetition_penalty != 1.0:
            held = set(draw.text)
            rows += [row] * len(held)
            tokens += held
            penalties += [draw.sampling.repetition_penalty] * len(held)
    if rows:
        found, penalty = logits[rows, tokens], torch.tensor(penalties, device=logits.device)
        logits[rows, tokens] = torch.where(found < 0, found * penalty, found / penalty)


def _forbid_bad_words(logits: Tensor, draws: Sequence[Draw]) -> None:
    """Rules out every token that would complete a bad word."""
    rows, tokens = [], []
    for row, draw in enumerate(draws):
        for *before, last in draw.bad_words:
            if not before or list(draw.text[-len(before) :]) == before:
                rows.append(row)
                tokens.append(last)
    if rows:
        logits[rows, tokens] = -torch.inf


def _head(scaled: Tensor, most: int) -> tuple[Tensor, Tensor]:
    """The first tokens of every row in order, (rows, n), `most` at most, and how many of these are surely the first
    ones, (rows, 1): of tokens that equal the last one taken, others may have been left out."""
    vocabulary = scaled.shape[-1]
    if most >= vocabulary:
        tokens = torch.sort(scaled, dim=-1, descending=True, stable=True).indices
        return tokens, torch.full((len(scaled), 1), vocabulary, device=scaled.device)
    values, tokens = torch.topk(scaled, most, dim=-1)
    sure = (values > values[:, -1:]).sum(dim=-1, keepdim=True)
    # By id first, then by value without changing the order of equals.
    tokens, order = torch.sort(tokens, dim=-1)
    order = torch.sort(values.gather(-1, order), dim=-1, descending=True, stable=True).indices
    return tokens.gather(-1, order), sure


def _draw(tokens: Tensor, sure: Tensor, probabilities: Tensor, draws: Sequence[Draw]) -> tuple[Tensor, Tensor]:
    """The token drawn of each row, and whether the first `sure` of its `tokens` were enough to tell, both (rows,)."""

    def column(values: list[float] | list[int]) -> Tensor:
        dtype = torch.float64 if isinstance(values[0], float) else torch.int64
        return torch.tensor(values, dtype=dtype, device=tokens.device).view(-1, 1)

    vocabulary = probabilities.shape[-1]
    limit = column([_limit(draw, vocabulary) for draw in draws])
    top_p = column([float(draw.sampling.top_p) for draw in draws])
    luck = column([uniform(draw.seed, draw.generated) for draw in draws])
    rank = torch.arange(tokens.shape[-1], device=tokens.device)
    shares = _shares(probabilities.gather(-1, tokens)).masked_fill(rank >= limit, 0)
    reached = shares.cumsum(dim=-1)
    enough = (top_p * torch.where(limit < vocabulary, reached[:, -1:], ONE)).clamp(min=1)
    surely = (shares * (rank < sure)).sum(dim=-1, keepdim=True)
    complete = (limit <= sure) | ((limit == vocabulary) & (surely >= enough)) | (reached[:, -1:] == 0)
    mass = (shares * (reached - shares < enough)).sum(dim=-1, keepdim=True)
    # A nucleus that goes on beyond these tokens weighs what it must, or all there is, and at most one token more, which
    # is no likelier than the last one here, but for a rounding: mostly that is enough to tell.
    everything = probabilities.sum(dim=-1, keepdim=True, dtype=torch.float64) * ONE - vocabulary  # less the roundings
    least = torch.where(complete, mass, enough.minimum(everything)).long()
    last = shares.gather(-1, (sure - 1).clamp(min=0))
    most = torch.where(complete, mass, enough.ceil().long() + last + (last >> 16))
    place, latest = (
        # Luck just below 1 times the mass can round to all of it.
        (reached <= (luck * mass).long().minimum(mass - 1)).sum(dim=-1, keepdim=True)
        for mass in (least, most)
    )
    settled = complete | ((limit == vocabulary) & (place == latest) & (latest < sure))
    return tokens.gather(-1, place.clamp(max=len(rank) - 1))[:, 0], settled[:, 0]


def _draw_from_all(scaled: Tensor, probabilities: Tensor, draw: Draw) -> int:
    """What `_draw` finds with a row's whole vocabulary in order, several times faster on a CPU: the tokens are put into
    bins of falling likelihood, and only the bins in which something is decided are put in order."""
    bins = ((scaled.max() - scaled) * BINS_PER_NAT).clamp(max=BINS - 1).long()
    shares = _shares(probabilities)
    reached = torch.bincount(bins, weights=shares.double(), minlength=BINS).long().cumsum(0)

    def inside(place: int) -> tuple[Tensor, Tensor]:
        """A bin's tokens in order, and the sum of all shares up to and with each of them."""
        tokens = (bins == place).nonzero()[:, 0]
        tokens = tokens[torch.sort(scaled[tokens], descending=True, stable=True).indices]
        return tokens, shares[tokens].cumsum(0) + (reached[place - 1] if place else 0)

    total, limit = ONE, _limit(draw, len(scaled))
    if limit < len(scaled):
        counted = torch.bincount(bins, minlength=BINS).cumsum(0)
        place = int((counted < limit).sum())
        _, sums = inside(place)
        total = int(sums[limit - 1 - (int(counted[place - 1]) if place else 0)])
    enough = max(math.ceil(draw.sampling.top_p * total), 1)
    mass = int(reached[-1])
    if mass >= enough:
        _, sums = inside(int((reached < enough).sum()))
        mass = int(sums[int((sums < enough).sum())])
    target = min(int(uniform(draw.seed, draw.generated) * mass), mass - 1)
    tokens, sums = inside(int((reached <= target).sum()))
    return int(tokens[int((sums <= target).sum())])


def _limit(draw: Draw, vocabulary: int) -> int:
    return min(draw.sampling.top_k or vocabulary, vocabulary)


def _shares(probabilities: Tensor) -> Tensor:
    """Probabilities in whole numbers, whose sums are exact: they do not depend on how many tokens are looked at, on the
    order of summation, or on the neighbours."""
    return (probabilities.double().nan_to_num() * ONE).round().long()
