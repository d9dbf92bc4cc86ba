"""A plan is a function of corpus, recipe and seed, and holds every text as often as it should."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import training.engine.loss
from models.engine.gpt2 import GPT2
from models.engine.tokenizer import load_tokenizer, marks_of
from models.prompt import Marks
from tests.factories import make_base, sentences
from training.corpus import Piece
from training.engine.data import (
    MOST_REPEATS,
    Plan,
    Rows,
    Text,
    bucketed,
    length,
    make_plan,
    mix_repeats,
    padded,
    tokenise,
)
from training.engine.loss import IGNORED, next_token_nll
from training.recipe import Recipe, recipe_named

END, REPLY = 0, 31
MARKS = Marks(END, REPLY)
STANDARD, ORIGINAL = recipe_named("standard"), recipe_named("huggingtweets")
ROWS = st.lists(st.tuples(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 5)), max_size=80)
SIZES = st.lists(st.integers(1, 10_000), min_size=1, max_size=5)


def texts(count: int, first: int = 1, seed: int = 0, characters: int = 3, longest: int = 6) -> list[Text]:
    """Different texts: the first token of each is its own, and a token stands for `characters` characters."""
    rng = random.Random(seed)
    found = []
    for token in range(first, first + count):
        tokens = [token] + [1000 + rng.randrange(50) for _ in range(rng.randrange(longest))]
        found.append(Text(tokens, characters * len(tokens)))
    return found


# --- Mixing handles ---------------------------------------------------------------------------------------------------


@settings(deadline=None)  # the machine may be busy
@given(SIZES)
def test_weights_like_the_sizes_repeat_nothing_and_drop_nothing(sizes: list[int]) -> None:
    assert mix_repeats(sizes, sizes) == pytest.approx([1.0] * len(sizes))


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(st.integers(1, 10_000), st.floats(0.01, 100)), min_size=1, max_size=5))
def test_shares_of_tokens_are_shares_of_weights_unless_too_many_repeats_would_be_needed(
    handles: list[tuple[int, float]],
) -> None:
    sizes, weights = [size for size, _ in handles], [weight for _, weight in handles]
    repeats = mix_repeats(sizes, weights)
    assert all(0 < times <= MOST_REPEATS for times in repeats)
    for size, weight, times in zip(sizes, weights, repeats, strict=True):
        if times < MOST_REPEATS:
            assert times * size == pytest.approx(sum(sizes) * weight / sum(weights))
        else:
            assert times * size <= sum(sizes) * weight / sum(weights) * (1 + 1e-9)


def test_an_epoch_of_a_mix_holds_the_shares_that_were_asked_for() -> None:
    plan = make_plan({"jo": texts(30), "al": texts(90, 31)}, [1.0, 1.0], replace(STANDARD, epochs=3.0), 5, MARKS, 64)
    for epoch in epochs(plan):
        tokens = Counter("jo" if row[1] <= 30 else "al" for batch in epoch for row, _ in batch for _ in row[1:-1])
        assert tokens["jo"] / tokens.total() == pytest.approx(0.5, abs=0.05)
        seen = Counter(row[1] for batch in epoch for row, _ in batch)
        assert {seen[token] for token in range(1, 31)} <= {1, 2, 3}  # whole repeats, and once more by chance
        assert max(seen[token] for token in range(31, 121)) == 1


def epochs(plan: Plan) -> list[list[Rows]]:
    ends = [0, *plan.epoch_ends]
    return [plan.batches[start:end] for start, end in pairwise(ends)]


# --- Rows -------------------------------------------------------------------------------------------------------------


@settings(deadline=None)  # the machine may be busy
@given(ROWS, st.integers(1, 100), st.integers())
def test_bucketing_loses_nothing_and_keeps_within_the_budget(rows: Rows, budget: int, seed: int) -> None:
    batches = bucketed(rows, budget, random.Random(seed))
    assert sorted(row for batch in batches for row in batch) == sorted(rows)
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(map(length, batch)) <= budget
        assert batch


def test_bucketing_puts_rows_of_like_length_together() -> None:
    rng = random.Random(1)
    rows = [([1] * rng.randrange(3, 60), 1) for _ in range(1000)]
    batches = bucketed(rows, 1024, rng)
    padding = sum(len(batch) * max(map(length, batch)) for batch in batches) / sum(map(length, rows))
    assert padding < 1.15
    lengths = [length(batch[0]) for batch in batches]
    assert lengths != sorted(lengths)


def test_every_text_stands_once_in_every_epoch_between_two_ends() -> None:
    own = texts(200)
    plan = make_plan({"jo": own}, [1.0], replace(STANDARD, batch_tokens=64), 3, MARKS, 64)
    assert len(plan.epoch_ends) == STANDARD.epochs
    assert plan.epoch_ends[-1] == len(plan.batches)
    orders = []
    for epoch in epochs(plan):
        rows = [row for batch in epoch for row in batch]
        assert sorted(rows) == sorted(([END, *text.tokens, END], 1) for text in own)
        orders.append(rows)
    assert orders[0] != orders[1]


def test_a_reply_stands_after_what_it_answers_and_of_that_nothing_is_learnt() -> None:
    tweet, lone = Text([5, 6, 7], 9), Text([8], 3, reply=True)
    answer = Text([9, 10], 6, reply=True, message=[11, 12, 13])
    plan = make_plan({"jo": [tweet, lone, answer]}, [1.0], replace(STANDARD, epochs=1.0), 3, MARKS, 64)
    rows = sorted(row for batch in plan.batches for row in batch)
    assert rows == [
        ([END, 5, 6, 7, END], 1),
        ([END, 11, 12, 13, REPLY, 9, 10, END], 5),
        ([END, REPLY, 8, END], 1),  # that it is a reply is learnt, where nothing says so
    ]


def test_blocks_know_no_replies() -> None:
    own = [Text([5, 6, 7], 9, reply=True, message=[11, 12])] * 20
    assert {token for tweet in tweets(stream_of({"jo": own})) for token in tweet} == {5, 6, 7}


def test_a_long_message_leaves_the_reply_its_room() -> None:
    answer = Text(list(range(1, 40)), 99, reply=True, message=[50] * 500)
    tokens, first = answer.row(MARKS, 64)
    assert len(tokens) == 65
    assert tokens[first:] == list(range(1, 1 + 65 - first))
    assert len(tokens) - first > 30
    assert set(tokens[1 : first - 1]) == {50}


def test_a_part_of_an_epoch_takes_the_newest_of_each_handle() -> None:
    jo, al = texts(40), texts(20, 101)
    recipe = replace(STANDARD, epochs=1.25)
    whole, part = epochs(make_plan({"jo": jo, "al": al}, [2.0, 1.0], recipe, 3, MARKS, 64))
    assert sum(len(batch) for batch in whole) == 60
    newest = [row for batch in part for row in batch]
    assert sorted(newest) == sorted(([END, *text.tokens, END], 1) for text in [*jo[-10:], *al[-5:]])


def test_a_post_longer_than_the_context_is_cut_to_it() -> None:
    long = Text(list(range(1, 200)), 900)
    plan = make_plan({"jo": [long, *texts(5, 300)]}, [1.0], replace(STANDARD, epochs=1.0), 3, MARKS, 64)
    longest = max((row for batch in plan.batches for row in batch), key=length)
    assert longest == ([END, *range(1, 65)], 1)
    inputs, _ = padded([longest], "cpu")
    assert inputs.shape == (1, 64)


@pytest.mark.parametrize("recipe", [STANDARD, ORIGINAL], ids=lambda recipe: recipe.name)
def test_a_plan_is_a_function_of_the_seed_and_leaves_the_texts_alone(recipe: object) -> None:
    handles = {"jo": texts(50), "al": texts(20, 51)}
    before = {handle: list(own) for handle, own in handles.items()}
    plans = [make_plan(handles, [1, 1], recipe, seed, MARKS, 64) for seed in (1, 1, 2)]  # type: ignore[arg-type]
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]
    assert handles == before


# --- Blocks, as the original cut them ---------------------------------------------------------------------------------


def stream_of(handles: dict[str, list[Text]], seed: int = 4) -> list[int]:
    """The whole text before it is cut: in blocks of one token it is counted, then it is one block."""

    def blocks(tokens: int) -> list[Rows]:
        return make_plan(
            handles, [1.0] * len(handles), replace(ORIGINAL, batch_tokens=tokens), seed, MARKS, 10**9
        ).batches

    (((stream, first),),) = blocks(len(blocks(1)))
    assert first == 1
    return stream


def tweets(stream: Sequence[int]) -> list[tuple[int, ...]]:
    """Cuts a stream at its ends of text."""
    assert stream[0] == stream[-1] == END
    found: list[list[int]] = [[]]
    for token in stream[1:-1]:
        if token == END:
            found.append([])
        else:
            found[-1].append(token)
    return [tuple(tweet) for tweet in found]


def test_four_epochs_are_laid_out_one_after_another_each_freshly_shuffled() -> None:
    own = texts(60)
    laid_out = tweets(stream_of({"jo": own}))
    assert len(laid_out) == 4 * 60
    passes = [laid_out[start : start + 60] for start in range(0, 240, 60)]
    for one in passes:
        assert sorted(one) == sorted(tuple(text.tokens) for text in own)
    assert len(set(map(tuple, passes))) == 4


def test_blocks_are_cut_without_regard_to_tweets_and_only_the_last_incomplete_one_is_dropped() -> None:
    own = {"jo": texts(60)}
    stream = stream_of(own)
    plan = make_plan(own, [1.0], replace(ORIGINAL, batch_tokens=37), 4, MARKS, 1024)
    blocks = [stream[start : start + 37] for start in range(0, len(stream), 37)]
    assert len(blocks[-1]) < 37
    assert all(len(batch) == 1 for batch in plan.batches)
    found = [batch[0][0] for batch in plan.batches]
    assert sorted(found) == sorted(blocks[:-1])
    assert found != blocks[:-1]  # the original's trainer took them in random order
    assert plan.epoch_ends == (len(found),)
    assert len(found) == len(stream) // 37


def test_a_block_is_never_longer_than_the_context() -> None:
    plan = make_plan({"jo": texts(60)}, [1.0], ORIGINAL, 4, MARKS, 64)
    assert {length(row) for batch in plan.batches for row in batch} == {64}


def test_small_handles_are_repeated_until_their_characters_match_the_largest() -> None:
    # By tokens `al` would be the largest; by characters, which count, it is `jo`.
    handles = {"jo": texts(50, 1, 1, characters=9), "al": texts(80, 51, 2, characters=3), "cy": texts(7, 131, 3)}
    largest = sum(text.characters for text in handles["jo"])
    assert sum(len(text.tokens) for text in handles["al"]) > sum(len(text.tokens) for text in handles["jo"])
    by_tokens = {tuple(text.tokens): text for own in handles.values() for text in own}
    laid_out = [by_tokens[tweet] for tweet in tweets(stream_of(handles))]
    section = {handle: [text for text in laid_out if text in own] for handle, own in handles.items()}
    per_epoch = {handle: len(found) // 4 for handle, found in section.items()}
    at = 0
    for epoch in range(4):
        for handle, own in handles.items():  # appended handle after handle, not interleaved
            part = laid_out[at : at + per_epoch[handle]]
            at += per_epoch[handle]
            assert part == section[handle][epoch * per_epoch[handle] : (epoch + 1) * per_epoch[handle]]
            times = Counter(tuple(text.tokens) for text in part)
            assert len(times) == len(own)
            assert max(times.values()) - min(times.values()) <= 1
            size = sum(text.characters for text in part)
            assert largest <= size < largest + max(text.characters for text in own)
    assert at == len(laid_out)
    assert per_epoch["jo"] == 50


# --- Padding ----------------------------------------------------------------------------------------------------------


def test_padding_is_no_target() -> None:
    inputs, targets = padded([([0, 5, 6, 0], 1), ([0, 7, 0], 1)], "cpu")
    assert inputs.tolist() == [[0, 5, 6], [0, 7, 0]]
    assert targets.tolist() == [[5, 6, 0], [7, 0, IGNORED]]


def test_what_stands_before_the_first_token_to_be_learnt_is_no_target() -> None:
    inputs, targets = padded([([0, 5, 6, REPLY, 7, 0], 4), ([0, REPLY, 8, 0], 1)], "cpu")
    assert inputs.tolist() == [[0, 5, 6, REPLY, 7], [0, REPLY, 8, 0, 0]]
    assert targets.tolist() == [[IGNORED, IGNORED, IGNORED, 7, 0], [REPLY, 8, 0, IGNORED, IGNORED]]


def test_the_loss_of_an_answer_is_that_of_its_own_tokens_given_the_message(tmp_path: Path) -> None:
    model = GPT2.load(make_base(tmp_path)).eval()
    row = [0, 50, 51, 52, REPLY, 60, 61, 0]
    inputs, targets = padded([(row, 5), ([0, 60, 0], 1)], "cpu")
    with torch.no_grad():
        logits = model.logits(model(torch.tensor([row[:-1]])))[0].log_softmax(-1)
        of_answer = -sum(logits[place, row[place + 1]].item() for place in (4, 5, 6))
        alone = next_token_nll(model, model(inputs[1:, :2]), targets[1:, :2]).item()
        assert next_token_nll(model, model(inputs), targets).item() == pytest.approx(of_answer + alone, rel=1e-5)


@pytest.mark.parametrize("chunk", [1, 5, 2048])
def test_the_loss_of_padded_rows_is_the_sum_of_the_rows_alone(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training.engine.loss, "CHUNK", chunk)
    model = GPT2.load(make_base(tmp_path)).eval()
    rows = [([0, *range(5, 5 + size), 0], 1 + size // 5) for size in (1, 4, 9, 30)]

    def loss(some: Rows) -> torch.Tensor:
        inputs, targets = padded(some, "cpu")
        return next_token_nll(model, model(inputs), targets)

    together = loss(rows)
    together.backward()
    gradient, model.wte.weight.grad = model.wte.weight.grad, None
    apart = torch.stack([loss([row]) for row in rows]).sum()
    apart.backward()
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(gradient, model.wte.weight.grad, rtol=1e-4, atol=1e-4)


def test_tokenising_keeps_handles_order_and_characters(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_base(tmp_path))
    pieces = [Piece("jo", text) for text in sentences(3)] + [Piece("al", "été 🦊")]
    found = tokenise(pieces, tokenizer, ["al", "jo"])
    assert list(found) == ["al", "jo"]
    assert [tokenizer.decode(text.tokens) for text in found["jo"]] == sentences(3)
    assert [text.characters for text in (*found["jo"], *found["al"])] == [*map(len, sentences(3)), 5]


def test_a_message_is_tokenised_apart_from_its_answer(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_base(tmp_path))
    pieces = [Piece("jo", "seven loaves", True, "how many"), Piece("jo", "no", True), Piece("jo", "my moth")]
    found = tokenise(pieces, tokenizer, ["jo"])["jo"]
    assert [(text.reply, tokenizer.decode(list(text.message))) for text in found] == [
        (True, "how many"),
        (True, ""),
        (False, ""),
    ]
    assert [text.tokens for text in found] == [tokenizer.encode(piece.text).ids for piece in pieces]


@pytest.mark.parametrize("recipe", [STANDARD, ORIGINAL], ids=lambda recipe: recipe.name)
def test_a_handle_without_texts_leaves_the_others_a_plan(recipe: Recipe, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(make_base(tmp_path))
    end = marks_of(tokenizer).end
    pieces = [Piece("jo", text) for text in sentences(30)]
    found = tokenise(pieces, tokenizer, ["al", "jo"])
    assert (found["al"], len(found["jo"])) == ([], 30)
    plan = make_plan(found, [1.0, 1.0], recipe, 1, Marks(end, REPLY), 64)
    assert plan.batches
    assert plan.epoch_ends[-1] == len(plan.batches)
