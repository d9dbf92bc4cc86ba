"""The fast sampler draws what a plain slow one would, and as often as the probabilities say."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    MinLengthLogitsProcessor,
    NoBadWordsLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from models.engine.sampler import HEAD, MASK, ONE, Draw, draw_token, mix, uniform
from models.prompt import Marks
from models.sampling import HUGGINGTWEETS, Sampling

END = 0
SEEDS = st.integers(0, 2**63)


def drawn_of(logits: Tensor, draws: Sequence[Draw]) -> list[int]:
    """Draws with the likeliest token of all behind the others: the reply mark, which must not change anything."""
    with_mark = torch.cat([logits, torch.full((len(draws), 1), 99.0)], dim=1)
    marks = Marks(END, reply=logits.shape[1])
    return [draw_token(row, draw, marks) for row, draw in zip(with_mark.numpy(), draws, strict=True)]


def nucleus(logits: list[float], sampling: Sampling, generated: int, top_p: float) -> dict[int, float]:
    """The tokens that may be drawn, the likeliest first, and their probabilities among themselves: by the book."""
    if generated < sampling.min_tokens:
        logits = [-math.inf if token == END else value for token, value in enumerate(logits)]
    scaled = [value / sampling.temperature for value in logits]
    order = sorted(range(len(logits)), key=lambda token: -scaled[token])[: sampling.top_k or len(logits)]
    weights = {token: math.exp(scaled[token] - scaled[order[0]]) for token in order}
    total = math.fsum(weights.values())
    kept: dict[int, float] = {}
    for token in order:
        if kept and math.fsum(kept.values()) >= top_p * total:
            break
        kept[token] = weights[token]
    return {token: weight / math.fsum(kept.values()) for token, weight in kept.items()}


def allowed(kept: dict[int, float], luck: float) -> set[int]:
    """The token whose stretch of the cumulative distribution holds `luck`, and both where it is on a border."""
    found, reached = set(), 0.0
    for token, probability in kept.items():
        if reached - 1e-5 <= luck <= reached + probability + 1e-5 and probability > 0:
            found.add(token)
        reached += probability
    return found


def by_full_sort(logits: Tensor, draw: Draw) -> int:
    """What a row of logits draws when its whole vocabulary is put in order, with the marks already out of it."""
    scaled = logits / draw.sampling.temperature
    values = scaled.tolist()
    order = sorted(range(len(values)), key=lambda token: (-values[token], token))
    # In 32 bits as the sampler has them, but for their sum.
    likelihood = np.exp(scaled.numpy() - scaled.max().item())
    shares = [round(p * ONE) for p in (likelihood.astype(np.float64) / likelihood.sum(dtype=np.float64)).tolist()]
    limit = min(draw.sampling.top_k or len(order), len(order))
    enough = draw.sampling.top_p * (ONE if limit == len(order) else sum(shares[token] for token in order[:limit]))
    kept, mass = [], 0
    for token in order[:limit]:
        if kept and mass >= enough:
            break
        kept.append(token)
        mass += shares[token]
    target = min(int(uniform(draw.seed, draw.generated) * mass), mass - 1)
    for token in kept:
        target -= shares[token]
        if target < 0:
            return token
    raise AssertionError("luck is less than 1")


SETTINGS = st.builds(
    Sampling,
    temperature=st.floats(0.05, 10.0),
    top_p=st.floats(0.0, 1.0),
    top_k=st.integers(0, 12),
    min_tokens=st.integers(0, 3),
)
ROW = st.tuples(st.lists(st.floats(-8, 8, width=16), min_size=9, max_size=9), SETTINGS, SEEDS, st.integers(0, 5))


@settings(deadline=None)  # the machine may be busy
@given(st.lists(ROW, min_size=1, max_size=4))
def test_every_row_draws_what_a_plain_slow_sampler_draws(rows: list[tuple[list[float], Sampling, int, int]]) -> None:
    draws = [Draw(sampling, seed, generated) for _, sampling, seed, generated in rows]
    drawn = drawn_of(torch.tensor([logits for logits, _, _, _ in rows]), draws)
    for token, (logits, sampling, seed, generated) in zip(drawn, rows, strict=True):
        # Where sums end exactly at top_p, 32 bits may fall on either side.
        tolerated = set()
        for top_p in (sampling.top_p - 1e-5, sampling.top_p, sampling.top_p + 1e-5):
            tolerated |= allowed(nucleus(logits, sampling, generated, top_p), uniform(seed, generated))
        assert token in tolerated


WIDE_SETTINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.3, 1.0, 4.0]),
    top_p=st.sampled_from([0.0, 0.5, 0.9, 0.95, 0.999, 1.0]),
    top_k=st.sampled_from([0, 0, 1, 50, HEAD - 1, HEAD, HEAD + 1, 900, 5000]),
    min_tokens=st.just(0),
)
# How far the logits are apart, in what steps (0: none; steps make ties), and where the luck comes from.
WIDE_ROW = st.tuples(
    st.sampled_from([0.0, 0.5, 2.0, 6.0]), st.sampled_from([0.0, 0.01, 0.5, 3.0]), WIDE_SETTINGS, SEEDS
)


@settings(deadline=None, max_examples=80)  # the machine may be busy
@given(st.sampled_from([HEAD - 1, HEAD, HEAD + 1, 700, 3000]), st.lists(WIDE_ROW, min_size=1, max_size=8), SEEDS)
def test_looking_at_the_likeliest_only_draws_what_a_full_sort_draws_whoever_the_neighbours_are(
    vocabulary: int, rows: list[tuple[float, float, Sampling, int]], seed: int
) -> None:
    noise = torch.randn(len(rows), vocabulary, generator=torch.Generator().manual_seed(seed))
    for row, (spread, step, _, _) in enumerate(rows):
        noise[row] *= spread
        if step:
            noise[row] = (noise[row] / step).round() * step
    draws = [Draw(sampling, luck, 3) for _, _, sampling, luck in rows]
    drawn = drawn_of(noise, draws)
    unreplied = torch.cat([noise, torch.full((len(rows), 1), -torch.inf)], dim=1)
    assert drawn == [by_full_sort(logits, draw) for logits, draw in zip(unreplied, draws, strict=True)]
    assert drawn == [drawn_of(noise[row : row + 1], [draw])[0] for row, draw in enumerate(draws)]


@pytest.mark.parametrize("luck", range(20))
def test_of_equal_tokens_the_lower_ids_come_first_though_they_do_not_all_fit(luck: int) -> None:
    """2,000 tokens in three classes; the middle one, of 1,500 equal ones, reaches over the border of the head."""
    logits = torch.tensor([1.0, 2.0, 3.0, 2.0]).repeat(500)[None]
    for sampling in (Sampling(top_p=0.6), Sampling(top_p=1.0, top_k=700), Sampling(top_p=0.2), Sampling(top_k=100)):
        draw = Draw(sampling, luck, 1)
        unreplied = torch.cat([logits[0], torch.tensor([-torch.inf])])
        assert drawn_of(logits.clone(), [draw]) == [by_full_sort(unreplied, draw)]


def test_a_row_that_is_no_number_draws_some_token_and_disturbs_no_other() -> None:
    logits = torch.randn(3, 1000, generator=torch.Generator().manual_seed(1))
    draws = [Draw(Sampling(), seed, 2) for seed in range(3)]
    expected = drawn_of(logits.clone(), draws)
    logits[1] = torch.nan
    drawn = drawn_of(logits, draws)
    assert (drawn[0], drawn[2]) == (expected[0], expected[2])
    assert 0 <= drawn[1] <= 1000


@settings(deadline=None)  # the machine may be busy
@given(SEEDS, st.floats(0.1, 5.0))
def test_top_k_of_one_and_a_tiny_top_p_take_the_likeliest(seed: int, temperature: float) -> None:
    logits = torch.tensor([[0.0, 1.0, 3.0, 2.9], [4.0, 1.0, 3.0, 2.9]])
    for sampling in (Sampling(temperature, 1.0, 1, min_tokens=0), Sampling(temperature, 0.0, 0, min_tokens=0)):
        assert drawn_of(logits.clone(), [Draw(sampling, seed, 0)] * 2) == [2, 0]


@settings(deadline=None)  # the machine may be busy
@given(SEEDS)
def test_the_end_is_not_drawn_before_its_time(seed: int) -> None:
    logits = torch.tensor([[50.0, 0.0, 0.0]])
    sampling = Sampling(min_tokens=3)
    drawn = [drawn_of(logits.clone(), [Draw(sampling, seed, generated)])[0] for generated in range(5)]
    assert END not in drawn[:3]
    assert drawn[3:] == [END, END]


def uniform_reaching(number: int, seed: int) -> int:
    """The counter at which the generator of `seed` yields these 64 bits: every step of it can be undone."""

    def unshift(z: int, by: int) -> int:
        undone = z
        for _ in range(64 // by + 1):
            undone = z ^ (undone >> by)
        return undone

    z = unshift(number, 31)
    z = unshift(z * pow(0x94D049BB133111EB, -1, 2**64) & MASK, 27)
    z = unshift(z * pow(0xBF58476D1CE4E5B9, -1, 2**64) & MASK, 30)
    assert mix(z) == number
    start = mix((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & MASK)
    return (z - start) * pow(0x9E3779B97F4A7C15, -1, 2**64) & MASK


@pytest.mark.parametrize("sampling", [Sampling(top_p=0.5), Sampling(top_k=2, top_p=1.0)])
def test_the_greatest_luck_still_draws_a_token_that_may_be_drawn(sampling: Sampling) -> None:
    counter = uniform_reaching(MASK, seed=5)
    assert 1.0 - 2**-53 <= uniform(5, counter) < 1.0
    logits = torch.tensor([[-20.0, 3.0, 3.0, 1.0, -30.0, -40.0]])
    last = list(nucleus(logits[0].tolist(), sampling, 1, sampling.top_p))[-1]
    assert drawn_of(logits.clone(), [Draw(sampling, 5, counter)]) == [last]


@settings(deadline=None)  # the machine may be busy
@given(SEEDS, st.integers(0, 2**32))
def test_luck_is_at_least_nought_and_less_than_one(seed: int, counter: int) -> None:
    assert 0.0 <= uniform(seed, counter) < 1.0


def test_luck_differs_by_seed_and_by_counter() -> None:
    assert len({uniform(seed, counter) for seed in range(100) for counter in range(100)}) == 10_000
    assert uniform(1, 2) != uniform(2, 1)


def test_luck_is_spread_evenly_over_neighbouring_seeds_and_counters_and_in_pairs() -> None:
    grid = [[uniform(seed, counter) for counter in range(50)] for seed in range(400)]
    cells = [0] * 20
    pairs = [0] * 100
    for row in grid:
        for luck in row:
            cells[int(luck * 20)] += 1
    for lines in (grid, list(zip(*grid, strict=True))):
        for line in lines:
            for one, next_one in pairwise(line):
                pairs[int(one * 10) * 10 + int(next_one * 10)] += 1
    assert chisquare(cells).pvalue > 0.001
    assert chisquare(pairs).pvalue > 0.001


@settings(deadline=None)  # the machine may be busy
@given(
    st.lists(st.floats(-8, 8, width=16), min_size=9, max_size=9),
    st.lists(st.integers(1, 8), max_size=12),
    st.floats(0.5, 3.0),
    st.lists(st.lists(st.integers(1, 8), min_size=1, max_size=3), max_size=4),
    SEEDS,
)
def test_penalties_and_bad_words_are_those_of_transformers(
    logits: list[float], text: list[int], penalty: float, bad_words: list[list[int]], seed: int
) -> None:
    steps: list[LogitsProcessor] = [RepetitionPenaltyLogitsProcessor(penalty)] if text else []
    if bad_words:
        steps.append(NoBadWordsLogitsProcessor(bad_words))
    expected = LogitsProcessorList(steps)(torch.tensor([text], dtype=torch.long), torch.tensor([logits]))
    plain, strict = Sampling(top_p=1.0), Sampling(top_p=1.0, repetition_penalty=penalty)
    assert drawn_of(torch.tensor([logits] * 2), [Draw(strict, seed, 1, text, bad_words), Draw(plain, seed, 1)]) == (
        drawn_of(torch.cat([expected, torch.tensor([logits])]), [Draw(plain, seed, 1)] * 2)
    )


def counts(logits: list[float], sampling: Sampling, generated: int, draws: int = 20_000) -> list[int]:
    found = [0] * len(logits)
    for start in range(0, draws, 2000):
        rows = torch.tensor([logits]).repeat(2000, 1)
        for token in drawn_of(rows, [Draw(sampling, start + row, generated) for row in range(2000)]):
            found[token] += 1
    return found


@pytest.mark.parametrize(
    "sampling", [Sampling(top_p=1.0), Sampling(0.7, 0.8), Sampling(1.5, 1.0, 5), Sampling(1.0, 0.9, 6, min_tokens=4)]
)
def test_tokens_are_drawn_as_often_as_the_probabilities_say(sampling: Sampling) -> None:
    logits = [0.3, 2.0, -1.0, 1.0, 0.0, 1.5, -0.5, 0.8]
    found = counts(logits, sampling, generated=3)
    expected = nucleus(logits, sampling, 3, sampling.top_p)
    assert {token for token, count in enumerate(found) if count} == set(expected)
    assert chisquare([found[token] for token in expected], [20_000 * p for p in expected.values()]).pvalue > 0.001


@pytest.mark.parametrize("top_p", [0.5, 0.97])
def test_a_large_vocabulary_is_drawn_from_as_the_probabilities_say(top_p: float) -> None:
    """Once the likeliest 512 are enough, once they are not."""
    logits = (torch.randn(1000, generator=torch.Generator().manual_seed(4)) * 1.2).tolist()
    sampling = Sampling(top_p=top_p, min_tokens=0)
    expected = nucleus(logits, sampling, 0, top_p)
    assert (len(expected) < HEAD) == (top_p < 0.9)
    found = counts(logits, sampling, 0, draws=6000)
    assert sum(found[token] for token in expected) == 6000
    # Few draws of single rare tokens: tens of neighbours in the order together.
    tokens = list(expected)
    groups = [tokens[start : start + 20] for start in range(0, len(tokens), 20)]
    observed = [sum(found[token] for token in group) for group in groups]
    assert chisquare(observed, [6000 * sum(expected[token] for token in group) for group in groups]).pvalue > 0.001


@pytest.mark.parametrize("generated", [0, 8, 9])
def test_the_originals_settings_draw_what_transformers_would_for_it(generated: int) -> None:
    """Its `min_length=10` and `max_length=160` count the end-of-text that stands before."""
    assert HUGGINGTWEETS.max_tokens + 1 == 160
    logits = torch.randn(200, generator=torch.Generator().manual_seed(3)) * 2
    logits[END] = 6.0
    steps = LogitsProcessorList([MinLengthLogitsProcessor(10, END), TopKLogitsWarper(50), TopPLogitsWarper(0.95)])
    before = torch.ones(1, 1 + generated, dtype=torch.long)
    expected = torch.softmax(steps(before, logits[None].clone()), dim=-1)[0].double()
    found = torch.tensor(counts(logits.tolist(), HUGGINGTWEETS, generated), dtype=torch.double)
    kept = expected > 0
    assert 10 < kept.sum() <= 50
    assert bool(kept[END]) == (generated == 9)
    assert found[~kept].sum() == 0
    expected = expected[kept] / expected[kept].sum() * found.sum()
    assert chisquare(found[kept].numpy(), expected.numpy()).pvalue > 0.001
