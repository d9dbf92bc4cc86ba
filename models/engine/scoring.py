"""Scoring: how likely a voice finds texts that are given to it."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from models.engine.voices import Voice
from models.prompt import tweet_tokens
from models.wire import Item, Score, Scored


def score(request: Score, voice: Voice) -> Scored:
    """Reads each text alone, without padding: what it scores cannot depend on the others."""
    found = [nats_and_tokens(item, voice) for item in request.items]
    return Scored(request.id, [nats for nats, _ in found], [tokens for _, tokens in found])


def nats_and_tokens(item: Item, voice: Voice) -> tuple[float, int]:
    """-log p of a text and the end behind it, given that it is a reply if it is one, and how many tokens that are."""
    is_reply = item.message is not None
    row, _ = tweet_tokens(
        voice.tokens(item.text),
        voice.marks,
        voice.model.config.n_positions,
        is_reply=is_reply,
        message=voice.tokens(item.message or ""),
    )
    first = row.index(voice.marks.reply) + 1 if is_reply else 1
    device = voice.model.wte.weight.device
    hidden = voice.model(torch.tensor([row[:-1]], device=device), low_rank=voice.low_rank)[0, first - 1 :]
    # The head in 32 bits, whatever the model computes in: GPT-2's logits are near -100, where bf16 has steps of 0.5.
    logits = voice.model.logits(hidden.float()[None], voice.low_rank)[0]
    nats = F.cross_entropy(logits, torch.tensor(row[first:], device=device), reduction="sum").item()
    return nats, len(row) - first
