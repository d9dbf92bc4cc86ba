"""Lays out a corpus as the batches of a whole training: a function of the corpus, the recipe and the seed alone."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from tokenizers import Tokenizer
from torch import Tensor

from models.prompt import Marks, tweet_tokens
from training.corpus import Piece
from training.engine.loss import IGNORED
from training.recipe import Recipe

Row = tuple[list[int], int]  # tokens, unpadded, and the index of the first one that is to be predicted
Rows = list[Row]  # those of one batch
MOST_REPEATS = 4.0  # of a small handle's tweets within one epoch of a mix; more would be learnt by heart


@dataclass(frozen=True)
class Text:
    """A tweet as tokens, with the characters it had, and what it answers, as far as that is known."""

    tokens: list[int]
    characters: int
    reply: bool = False
    message: Sequence[int] = ()

    def row(self, marks: Marks, n_positions: int) -> Row:
        return tweet_tokens(self.tokens, marks, n_positions, is_reply=self.reply, message=self.message)


Texts = Mapping[str, Sequence[Text]]  # by handle


@dataclass(frozen=True)
class Plan:
    """Every batch in order, and after how many batches each epoch and each member's training end."""

    batches: list[Rows]
    epoch_ends: tuple[int, ...]
    member_ends: tuple[int, ...]


def tokenise(pieces: Sequence[Piece], tokenizer: Tokenizer, handles: Sequence[str]) -> dict[str, list[Text]]:
    """Every text as tokens, by handle, in the order of `handles`, which is that of the weights; one may have none."""
    encoded = tokenizer.encode_batch([piece.text for piece in pieces])
    messages = tokenizer.encode_batch([piece.message or "" for piece in pieces])
    found: dict[str, list[Text]] = {handle: [] for handle in handles}
    for piece, encoding, message in zip(pieces, encoded, messages, strict=True):
        found[piece.handle].append(Text(encoding.ids, len(piece.text), piece.reply, message.ids))
    return found


def make_plan(
    texts: Texts, weights: Sequence[float], recipe: Recipe, seed: int, marks: Marks, n_positions: int
) -> Plan:
    """Plans all epochs of all members; `weights` are the wanted shares of the handles of `texts`, in its order."""
    if recipe.layout == "blocks":
        return plan_blocks(texts, recipe, random.Random(seed), marks.end, n_positions)
    sizes = [sum(len(text.tokens) for text in own) for own in texts.values()]
    repeats = mix_repeats(sizes, weights)
    batches: list[Rows] = []
    epoch_ends, member_ends = [], []
    for member in range(recipe.members):
        rng = random.Random(seed + member)
        for number in range(math.ceil(recipe.epochs)):
            chosen = [
                text
                for own, times in zip(texts.values(), repeats, strict=True)
                for text in repeated(newest(own, recipe.epochs - number), times, rng)
            ]
            rng.shuffle(chosen)
            batches += bucketed([text.row(marks, n_positions) for text in chosen], recipe.batch_tokens, rng)
            epoch_ends.append(len(batches))
        member_ends.append(len(batches))
    return Plan(batches, tuple(epoch_ends), tuple(member_ends))


def newest(texts: Sequence[Text], share: float) -> Sequence[Text]:
    """The last of texts that stand oldest first; all of them from a share of 1 on."""
    return texts if share >= 1.0 else texts[len(texts) - math.ceil(share * len(texts)) :]


def mix_repeats(sizes: Sequence[int], weights: Sequence[float]) -> list[float]:
    """How often each handle's tweets stand in one epoch, so that its share of the tokens is its share of the weights
    and an epoch is as long as all tweets together; a small handle is repeated MOST_REPEATS times at most."""
    total, scale = sum(sizes), sum(weights)
    wanted = [weight / scale * total / max(1, size) for size, weight in zip(sizes, weights, strict=True)]
    return [min(MOST_REPEATS, times) for times in wanted]


def repeated(texts: Sequence[Text], times: float, rng: random.Random) -> list[Text]:
    """All texts as often as the whole part of `times` says, and a random choice of them for the fraction."""
    whole = int(times)
    return [*texts] * whole + rng.sample(texts, round((times - whole) * len(texts)))


def bucketed(rows: Rows, budget: int, rng: random.Random) -> list[Rows]:
    """Batches of rows of like length, each of at most `budget` tokens with its padding, in random order."""
    stretch = 64 * max(1, budget // 32)  # sorting within stretches only keeps the batches of an epoch varied
    batches: list[Rows] = []
    for start in range(0, len(rows), stretch):
        batch: Rows = []
        for row in sorted(rows[start : start + stretch], key=length):
            if batch and (len(batch) + 1) * length(row) > budget:
                batches.append(batch)
                batch = []
            batch.append(row)
        batches.append(batch)
    rng.shuffle(batches)
    return batches


def length(row: Row) -> int:
    return len(row[0])


def plan_blocks(texts: Texts, recipe: Recipe, rng: random.Random, end: int, n_positions: int) -> Plan:
    """huggingtweets' layout: all epochs one after another, end-of-text before, between and after tweets, cut into
    blocks without regard to tweets, the last incomplete one dropped; small handles are repeated up to the largest."""
    largest = max(characters(own) for own in texts.values())
    filled = [repeated_up_to(largest, own, rng) for own in texts.values()]
    stream = [end]
    for _ in range(int(recipe.epochs)):
        for own in filled:
            for text in rng.sample(own, len(own)):
                stream += [*text.tokens, end]
    block = min(recipe.batch_tokens, n_positions)
    blocks: list[Rows] = [[(stream[at : at + block], 1)] for at in range(0, len(stream) - block + 1, block)]
    rng.shuffle(blocks)  # its trainer drew them in random order
    return Plan(blocks, (len(blocks),), (len(blocks),))


def repeated_up_to(largest: int, texts: Sequence[Text], rng: random.Random) -> list[Text]:
    """All texts, again and again in one random order, until they have `largest` characters; the original drew which
    ones are repeated once, for all epochs."""
    order = rng.sample(texts, len(texts))
    rounds = -(-largest // max(1, characters(texts)))
    reached = accumulate((text.characters for text in order * rounds), initial=0)
    return [text for text, before in zip(order * rounds, reached, strict=False) if before < largest]


def characters(texts: Sequence[Text]) -> int:
    return sum(text.characters for text in texts)


def padded(rows: Rows, device: str) -> tuple[Tensor, Tensor]:
    """Rows -> inputs and targets (rows, longest - 1), targets shifted by one, and IGNORED before the first token that
    is to be predicted and where a row has ended."""
    longest = max(map(length, rows)) - 1
    inputs = torch.zeros(len(rows), longest, dtype=torch.long)
    targets = torch.full((len(rows), longest), IGNORED)
    for index, (tokens, first) in enumerate(rows):
        inputs[index, : len(tokens) - 1] = torch.tensor(tokens[:-1])
        targets[index, first - 1 : len(tokens) - 1] = torch.tensor(tokens[first:])
    return inputs.to(device), targets.to(device)
