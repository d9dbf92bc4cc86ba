"""How well a model predicts held-out texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from models.engine.gpt2 import GPT2, LowRank
from models.prompt import tweet_tokens
from training.corpus import Piece
from training.engine.data import padded
from training.engine.loss import next_token_nll


@dataclass(frozen=True)
class HeldOut:
    """Texts as tokens, with the bytes they stand for."""

    rows: list[list[int]]
    tokens: int  # predicted tokens, the end of each text included
    bytes: int  # UTF-8 bytes of the texts, and one for the end of each


@dataclass(frozen=True)
class Score:
    """loss: mean negative log-likelihood in nats a token. bits_per_byte: the same sum in bits over the bytes of the
    texts, each text's end counted as one byte, so models with other tokenizers can be compared."""

    loss: float
    bits_per_byte: float

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss) if self.loss < 700.0 else math.inf  # exp(710) is more than a float holds


def held_out_rows(pieces: Sequence[Piece], tokenizer: Tokenizer, end: int, n_positions: int) -> HeldOut:
    """Tokenises held-out texts; each is read alone, after an end-of-text token, as when it is generated."""
    encodings = tokenizer.encode_batch([piece.text for piece in pieces])
    rows = [tweet_tokens(encoding.ids, end, n_positions) for encoding in encodings]
    # Byte-level tokens are spelt with a character a byte: so what is cut off a long text is not counted either.
    size = sum(len(token) for encoding in encodings for token in encoding.tokens[:n_positions])
    size += sum(len(encoding.ids) < n_positions for encoding in encodings)
    return HeldOut(sorted(rows, key=len), sum(len(row) - 1 for row in rows), size)


@torch.no_grad()
def evaluate(model: GPT2, held_out: HeldOut, low_rank: LowRank | None = None, batch: int = 32) -> Score:
    """Scores the model with dropout off; raises ZeroDivisionError when nothing is held out."""
    was_training = model.training
    model.eval()
    device = str(model.wte.weight.device)
    nats = 0.0
    for start in range(0, len(held_out.rows), batch):
        inputs, targets = padded(held_out.rows[start : start + batch], device)
        nats += next_token_nll(model, model(inputs, low_rank=low_rank), targets).item()
    model.train(was_training)
    return Score(nats / held_out.tokens, nats / math.log(2) / held_out.bytes)
