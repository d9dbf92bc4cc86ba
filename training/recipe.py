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
    rank: int = 16
    alpha: float = 32.0
    embedding_rank: int = 16  # of the difference to the token embedding, which is the head too; 0: none
    layout: Literal["rows", "blocks"] = "rows"
    cleaning: Literal["mended", "huggingtweets"] = "mended"
    remove_duplicates: bool = True
    mark_replies: bool = True  # a reply is told from a tweet, and stands after what it answers where that is known
    held_out: float = 0.02  # share of the tweets; little, for it is the newest, which teach most
    epochs: float = 2.0  # passes over the tweets; a part of one takes the newest
    batch_tokens: int = 512  # of one step, padding included; the block's length for `blocks`
    learning_rate: float = 3e-3
    warmup: float = 0.05  # share of the steps
    weight_decay: float = 1.0  # AdamW: towards zero, which for an adapter is the base
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: float = 1.0  # largest norm of the gradient
    dropout: float | None = 0.0  # None: what the base's config says
    bf16: bool = True  # where the processor multiplies it itself
    # Adapters trained one after another from other random numbers; what they add to the base is averaged (Wortsman et
    # al. 2022, "Model soups"), and that is one adapter of so many times the rank.
    members: int = 1

    @property
    def takes_weights(self) -> bool:
        """Whether the handles of a mix can have unequal shares: `blocks` repeats every one up to the largest."""
        return self.layout == "rows"


# Figures behind the numbers: docs/experiments.md, "The recipes".
STANDARD = Recipe("standard")
PRESETS = {
    recipe.name: recipe
    for recipe in (
        replace(STANDARD, name="quick", epochs=0.4, batch_tokens=256, learning_rate=4e-3),
        STANDARD,
        replace(STANDARD, name="thorough", members=3),
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
            epochs=4.0,
            batch_tokens=1024,
            learning_rate=1.372e-4,
            warmup=0.0,
            weight_decay=0.0,
            dropout=None,
            bf16=False,
        ),
    )
}
FULL = "-full"  # "standard-full" is `standard` with all weights trained


def recipe_named(name: str) -> Recipe:
    """The preset of that name; raises KeyError."""
    preset = PRESETS[name.removesuffix(FULL)]
    if name.endswith(FULL) and preset.members > 1:
        raise KeyError(name)  # the mean of whole models would need as many of them in memory
    if name.endswith(FULL) and preset.method == "adapter":
        return replace(
            preset,
            name=name,
            method="full",
            rank=0,
            alpha=0.0,
            embedding_rank=0,
            learning_rate=preset.learning_rate / 4,
            weight_decay=0.0,
        )
    return preset
