"""Scoring: how likely a voice finds texts that are given to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.engine.voices import Voice
from models.prompt import tweet_tokens
from models.wire import Item, Score, Scored


def score(request: Score, voice: Voice) -> Scored:
    found = nats_and_tokens(request.items, voice)
    return Scored(request.id, [nats for nats, _ in found], [tokens for _, tokens in found])


def nats_and_tokens(items: Sequence[Item], voice: Voice) -> list[tuple[float, int]]:
    """-log p of each text and the end behind it, given that it is a reply if it is one, and how many tokens that are.
    Each is read alone, without padding: what it scores cannot depend on the others."""
    slots = voice.model.slots(1)
    slots.put(0, voice.low_rank)
    found = []
    for item in items:
        is_reply = item.message is not None
        row, _ = tweet_tokens(
            voice.tokens(item.text),
            voice.marks,
            voice.model.config.n_positions,
            is_reply=is_reply,
            message=voice.tokens(item.message or ""),
        )
        first = row.index(voice.marks.reply) + 1 if is_reply else 1
        wanted = range(first - 1, len(row) - 1)
        logits = slots.read(0, [row[:-1]], wanted)[0].astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        log_p = logits[np.arange(len(wanted)), row[first:]] - np.log(np.exp(logits).sum(axis=1))
        found.append((-float(log_p.sum()), len(wanted)))
    return found
