"""How well a model predicts held-out texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from models.engine.gpt2 import GPT2, LowRank
from models.prompt import Marks, tweet_tokens
from training.corpus import Piece
from training.engine.data import Rows, Text, length, padded
from training.engine.loss import token_nll


@dataclass(frozen=True)
class HeldOut:
    """Texts as tokens, with the bytes they stand for."""

    rows: Rows
    tokens: int  # predicted tokens, the end of each text included, and the mark of a reply whose message is not there
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


def held_out_rows(
    pieces: Sequence[Piece], tokenizer: Tokenizer, marks: Marks, n_positions: int, *, replies: bool = True
) -> HeldOut:
    """Tokenises held-out texts; each is read alone, as when it is generated. A reply is read after the message that it
    answers, or with `replies` off as if it were none."""
    encodings = tokenizer.encode_batch([piece.text for piece in pieces])
    messages = tokenizer.encode_batch([piece.message or "" if replies else "" for piece in pieces])
    rows, tokens, size = [], 0, 0
    for piece, encoding, message in zip(pieces, encodings, messages, strict=True):
        marked = piece.reply and replies
        row, first = Text(encoding.ids, len(piece.text), marked, message.ids).row(marks, n_positions)
        rows.append((row, first))
        tokens += len(row) - first
        # Byte-level tokens are spelt with a character a byte: so what is cut off a long text is not counted either.
        scored = len(row) - first - (marked and not message.ids)
        size += sum(len(token) for token in encoding.tokens[:scored]) + (scored > len(encoding.ids))
    return HeldOut(sorted(rows, key=length), tokens, size)


def evaluate(model: GPT2, held_out: HeldOut, low_rank: LowRank | None = None) -> Score:
    """Scores the model with dropout off; raises ZeroDivisionError when nothing is held out."""
    nats = math.fsum(row_nats(model, held_out.rows, low_rank))
    return Score(nats / held_out.tokens, nats / math.log(2) / held_out.bytes)


@torch.no_grad()
def row_nats(model: GPT2, rows: Rows, low_rank: LowRank | None = None, batch: int = 32) -> list[float]:
    """-ln p in nats of what is to be predicted of each row, with dropout off."""
    was_training = model.training
    model.eval()
    device = str(model.wte.weight.device)
    found: list[float] = []
    for start in range(0, len(rows), batch):
        inputs, targets = padded(rows[start : start + batch], device)
        nats = token_nll(model, model(inputs, low_rank=low_rank), targets, low_rank)
        found += nats.sum(dim=1).tolist()
    model.train(was_training)
    return found


def either_way(model: GPT2, texts: Sequence[Sequence[int]], marks: Marks, low_rank: LowRank | None = None) -> float:
    """-ln p in nats of texts that are written, be it as tweets or as replies: p(text) is the sum of both ways. So all
    models are scored on the same bytes, whether they tell the two apart or not."""
    n_positions = model.config.n_positions
    ways = [
        row_nats(model, [tweet_tokens(text, marks, n_positions, is_reply=is_reply) for text in texts], low_rank)
        for is_reply in (False, True)
    ]
    return -torch.logaddexp(*(-torch.tensor(way, dtype=torch.float64) for way in ways)).sum().item()
