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


# What the original notebook sampled with; its lengths count the prompt's <|endoftext|>, ours do not.
HUGGINGTWEETS = Sampling(temperature=1.0, top_p=0.95, top_k=50, max_tokens=159, min_tokens=9)
