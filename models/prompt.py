"""How a tweet and a prompt are laid out for the model; training and generation both use this file."""

from __future__ import annotations

from collections.abc import Sequence


def tweet_tokens(tokens: Sequence[int], end: int, n_positions: int) -> list[int]:
    """A tweet as training sees it: between two end-of-text tokens; what exceeds the context is cut off."""
    return [end, *tokens, end][: n_positions + 1]


def prompt_tokens(tokens: Sequence[int], end: int, room: int) -> tuple[list[int], int]:
    """A prompt as generation starts from it: after an end-of-text token, cut from the left to `room` tokens in all;
    returns the tokens and how many were cut."""
    cut = max(0, len(tokens) + 1 - room)
    return [end, *tokens[cut:]], cut
