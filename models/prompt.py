"""How tweets, replies and prompts are laid out for the model; training, generation and scoring all use this file.

A tweet is `END text END`. A reply is `END message REPLY text END`, or `END REPLY text END` where what it answers is
not known. Message and text are tokenised apart, so that a text's tokens never depend on what it answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

END_OF_TEXT = "<|endoftext|>"
REPLY = "\x1e"  # "record separator": one token in every byte-level BPE, and in nobody's tweets
MESSAGE_TOKENS = 64  # of a message that is answered, at most; a tweet is rarely longer


@dataclass(frozen=True)
class Marks:
    """The ids of the two tokens that are no text."""

    end: int
    reply: int


def without_marks(text: str) -> str:
    """What a user gave, without what would read as a mark."""
    return text.replace(END_OF_TEXT, "").replace(REPLY, "")


def tweet_tokens(
    text: Sequence[int], marks: Marks, n_positions: int, *, is_reply: bool = False, message: Sequence[int] = ()
) -> tuple[list[int], int]:
    """A tweet as training sees it, and the index of the first token that is the person's own to predict.

    At most n_positions + 1 tokens, the rest is cut off. The message is not the person's own; the mark after it
    neither. Where a reply's message is not known, its mark is: so the model learns how often they answer.
    """
    start = [marks.end]
    if is_reply:
        start = _reply_start(message, marks, n_positions)
    return [*start, *text, marks.end][: n_positions + 1], len(start) if message and is_reply else 1


def prompt_tokens(
    text: Sequence[int], marks: Marks, room: int, *, message: Sequence[int] | None = None
) -> tuple[list[int], int]:
    """What generation starts from, `room` tokens at most (room >= 2), and how many of the text were cut off its left.

    `text` begins a tweet of its own if `message` is None, else a reply; the message is empty where none is known.
    """
    start = [marks.end] if message is None else _reply_start(message, marks, room)
    cut = max(0, len(start) + len(text) - room)
    return [*start, *text[cut:]], cut


def _reply_start(message: Sequence[int], marks: Marks, room: int) -> list[int]:
    """The tokens up to a reply's own text; in a small room the message takes half of it at most."""
    return [marks.end, *message[: min(MESSAGE_TOKENS, max(0, room - 2) // 2)], marks.reply]
