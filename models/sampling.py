"""How a text is drawn from the model: the settings of one generation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sampling:
    """Settings of one generation; top_k 0 means no limit, top_p 1.0 means the whole distribution."""

    temperature: float = 1.0
    top_p: float = 0.95
    top_k: int = 0
    max_tokens: int = 100  # generated tokens at most
    min_tokens: int = 1  # the end of the text is not drawn before
    repetition_penalty: float = 1.0  # above 1 makes what the text holds already less likely
    bad_words: tuple[str, ...] = ()  # whose tokens may not be completed, at the start of a text or after a space


# What the original notebook sampled with; its lengths count the prompt's <|endoftext|>, ours do not.
HUGGINGTWEETS = Sampling(temperature=1.0, top_p=0.95, top_k=50, max_tokens=159, min_tokens=9)
