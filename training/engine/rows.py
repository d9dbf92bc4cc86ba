"""Rows of tokens for pre-training, laid out as tweets and replies are: each text alone, so no document sees another.

A row is `END text END`, or `END message REPLY answer END` for two neighbouring lines of a talk. Some texts are given
the surface of casual writing, which openly licensed text lacks: lower case, #words, @names, emoji, no full stop.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from models.engine.tokenizer import marks_of
from models.prompt import tweet_tokens
from training.engine.text import HELD_OUT_EVERY, lines_with_sources, shuffled

PAIRED = {"dialogue": 0.5, "speech": 0.35, "blogs": 0.05, "books": 0.1, "sentences": 0.0}  # shares of the lines
UNRELATED = 0.25  # of the pairs that share no content word are kept: an answer takes up what was said
CONTENT = re.compile(r"[a-z]{5,}")
WORD = re.compile(r"(?<= )[a-z]{4,}(?=[ ,.!?])")
NAME = re.compile(r"(?<= )[A-Z][a-z]{2,}(?=[ ,.!?])")
EMOJI = "😂❤😍😊🙏👍🎉🔥😭💕✨🥰😉💪👏🙌😘💙🤔😁☺💯🎶😀🚀👀🌟🇺🇸💖😎🤣💜✅🎄☀🏆👉🎂💔🙄😳📸🎵🌎"


def casual(text: str, rng: random.Random) -> str:
    """The text as somebody might type it into a phone; two times in three as it is."""
    if rng.random() < 0.65:
        return text
    if rng.random() < 0.3:
        text = marked(text, WORD, "#", rng)
    if rng.random() < 0.15:
        text = marked(text, NAME, "@", rng)
    if rng.random() < 0.35 and text.endswith("."):
        text = text[:-1] + rng.choice(("", "", "", "!", "!!", "...", "…", "!!!"))
    if rng.random() < 0.15:
        text += " #" + "".join(word.capitalize() for word in rng.sample(CONTENT.findall(text) or ["so"], 1))
    if rng.random() < 0.2:
        text += " " + rng.choice(EMOJI) * rng.choice((1, 1, 1, 2, 3))
    if rng.random() < 0.3:
        text = text.lower()
    elif rng.random() < 0.04:
        text = text.upper()
    return text


def marked(text: str, what: re.Pattern[str], sign: str, rng: random.Random) -> str:
    """Puts the sign before one of the words that match."""
    found = list(what.finditer(text))
    if not found:
        return text
    at = rng.choice(found).start()
    return text[:at] + sign + text[at:]


def related(message: str, answer: str) -> bool:
    """Whether the two share a content word."""
    return not set(CONTENT.findall(message)).isdisjoint(CONTENT.findall(answer))


def row_texts(folder: Path, seed: int) -> Iterator[tuple[str | None, str]]:
    """(message or None, text) of every row, in the order of the files; what progress is measured on is left out."""
    rng = random.Random(f"{seed} rows")
    lines = list(lines_with_sources(folder, seed))
    held_out = set(shuffled(len(lines), seed)[::HELD_OUT_EVERY])
    for index, (line, source) in enumerate(lines):
        if index in held_out or rng.random() >= source.worth:
            continue
        before = lines[index - 1] if index and index - 1 not in held_out else ("", None)
        paired = before[1] is source and rng.random() < PAIRED[source.group]
        if paired and (rng.random() < UNRELATED or related(before[0], line)):
            yield casual(before[0], rng), casual(line, rng)
        else:
            yield None, casual(line, rng)


def make_rows(folder: Path, tokenizer: Tokenizer, work: Path, seed: int, longest: int) -> tuple[Tensor, Tensor]:
    """All rows end to end (int16) and where each begins, one more entry being the end; kept in `work`."""
    path = work / "rows.safetensors"
    if not path.exists():
        marks = marks_of(tokenizer)
        chosen = list(row_texts(folder, seed))
        random.Random(seed).shuffle(chosen)
        parts: list[Tensor] = []
        for start in range(0, len(chosen), 10_000):
            batch = chosen[start : start + 10_000]
            texts = tokenizer.encode_batch([text for _, text in batch])
            messages = tokenizer.encode_batch([message or "" for message, _ in batch])
            for (message, _), text, answered in zip(batch, texts, messages, strict=True):
                row, _ = tweet_tokens(text.ids, marks, longest, is_reply=message is not None, message=answered.ids)
                parts.append(torch.tensor(row, dtype=torch.int16))
        lengths = torch.tensor([0, *map(len, parts)])
        save_file({"rows": torch.cat(parts), "starts": lengths.cumsum(0)}, path)
    held = load_file(path)
    return held["rows"], held["starts"]


def plan_rows(starts: Sequence[int], budget: int, seed: int) -> list[list[int]]:
    """Batches of the numbers of rows of like length, `budget` tokens with padding at most, in random order."""
    rng = random.Random(f"{seed} batches")
    order = list(range(len(starts) - 1))
    rng.shuffle(order)
    lengths = [after - start for start, after in pairwise(starts)]
    batches: list[list[int]] = []
    for at in range(0, len(order), 8192):
        batch: list[int] = []
        for row in sorted(order[at : at + 8192], key=lengths.__getitem__):
            if batch and (len(batch) + 1) * lengths[row] > budget:
                batches.append(batch)
                batch = []
            batch.append(row)
        if batch:
            batches.append(batch)
    rng.shuffle(batches)
    return batches
