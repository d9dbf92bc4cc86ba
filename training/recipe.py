"""Every hyper-parameter of a training, and the presets that people choose by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """How to train. `rows` puts one tweet in a row and batches rows of like length; `blocks` cuts the whole text into
    blocks without regard to tweets, as huggingtweets did."""

    name: str
    method: Literal["adapter", "full"] = "adapter"
    rank: int = 32
    alpha: float = 64.0
    embedding_rank: int = 16  # of the difference to the token embedding, which is the head too; 0: none
    layout: Literal["rows", "blocks"] = "rows"
    cleaning: Literal["mended", "huggingtweets"] = "mended"
    remove_duplicates: bool = True
    mark_replies: bool = True  # a reply is told from a tweet, and stands after what it answers where that is known
    held_out: float = 0.1  # the newest share of the tweets
    epochs: float = 4.0  # passes over the tweets, at most; a part of one takes the newest
    tokens: int = 0  # about so many are trained on in all, as far as the numbers of passes allow; 0: no such aim
    least_epochs: float = 1.0  # passes where `tokens` would be reached before
    batch_tokens: int = 1024  # of one step, padding included; the block's length for `blocks`
    learning_rate: float = 3e-3
    warmup: float = 0.05  # share of the steps
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: float = 1.0  # largest norm of the gradient
    dropout: float | None = 0.0  # None: what the base's config says
    bf16: bool = True  # where the processor multiplies it itself
    keep_best: bool = True  # ends with the weights of the epoch that was best on the held-out part

    def passes(self, tokens: int) -> float:
        """How often tweets of so many tokens are gone over: a small account often, a large one once."""
        if not self.tokens:
            return self.epochs
        return min(self.epochs, max(self.least_epochs, self.tokens / max(1, tokens)))

    @property
    def takes_weights(self) -> bool:
        """Whether the handles of a mix can have unequal shares: `blocks` repeats every one up to the largest."""
        return self.layout == "rows"


# Figures behind the numbers: docs/experiments.md, "The recipes".
STANDARD = Recipe("standard", tokens=40_000, least_epochs=1.0, epochs=5.0, batch_tokens=512)
PRESETS = {
    recipe.name: recipe
    for recipe in (
        replace(
            STANDARD, name="quick", tokens=13_000, least_epochs=0.33, epochs=2.0, batch_tokens=256, learning_rate=4e-3
        ),
        STANDARD,
        replace(STANDARD, name="thorough", tokens=0, epochs=6.0, learning_rate=2e-3),
        # To the letter what the original notebook did: design facts in docs/huggingtweets.md.
        Recipe(
            "huggingtweets",
            method="full",
            rank=0,
            alpha=0.0,
            embedding_rank=0,
            layout="blocks",
            cleaning="huggingtweets",
            remove_duplicates=False,
            mark_replies=False,
            epochs=4,
            batch_tokens=1024,
            learning_rate=1.372e-4,
            warmup=0.0,
            dropout=None,
            bf16=False,
            keep_best=False,
        ),
    )
}
FULL = "-full"  # "standard-full" is `standard` with all weights trained


def recipe_named(name: str) -> Recipe:
    """The preset of that name; raises KeyError."""
    preset = PRESETS[name.removesuffix(FULL)]
    if name.endswith(FULL) and preset.method == "adapter":
        return replace(
            preset,
            name=name,
            method="full",
            rank=0,
            alpha=0.0,
            embedding_rank=0,
            learning_rate=preset.learning_rate / 3,
        )
    return preset
