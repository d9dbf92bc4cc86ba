"""The presets, by name."""

from dataclasses import asdict, replace

import pytest

from training.recipe import PRESETS, STANDARD, Recipe, recipe_named


def test_a_preset_is_found_by_its_own_name() -> None:
    assert set(PRESETS) == {"quick", "standard", "thorough", "huggingtweets"}
    for name in PRESETS:
        assert recipe_named(name).name == name


def test_quick_and_thorough_are_standard_but_for_their_pace() -> None:
    quick, thorough = recipe_named("quick"), recipe_named("thorough")
    assert quick.epochs < STANDARD.epochs
    assert quick.members == STANDARD.members < thorough.members
    for other, differing in (
        (quick, ("name", "epochs", "learning_rate", "batch_tokens")),
        (thorough, ("name", "members")),
    ):
        assert replace(other, **{name: getattr(STANDARD, name) for name in differing}) == STANDARD


@pytest.mark.parametrize("name", ["quick", "standard"])
def test_full_trains_all_weights_more_gently(name: str) -> None:
    full, preset = recipe_named(f"{name}-full"), recipe_named(name)
    assert (full.name, full.method, full.rank) == (f"{name}-full", "full", 0)
    assert full.learning_rate < preset.learning_rate
    changed = {key for key, value in asdict(full).items() if asdict(preset)[key] != value}
    assert changed == {"name", "method", "rank", "alpha", "embedding_rank", "learning_rate", "weight_decay"}


def test_only_the_blocks_of_the_original_know_no_unequal_shares() -> None:
    assert {name for name in PRESETS if not recipe_named(name).takes_weights} == {"huggingtweets"}
    assert recipe_named("quick-full").takes_weights


@pytest.mark.parametrize("name", ["", "-full", "slow", "Standard", "thorough-full", "standard-full-full"])
def test_an_unknown_name_is_a_key_error(name: str) -> None:
    with pytest.raises(KeyError):
        recipe_named(name)


def test_huggingtweets_has_the_numbers_of_the_original() -> None:
    assert recipe_named("huggingtweets") == Recipe(
        "huggingtweets",
        method="full",
        rank=0,
        alpha=0.0,
        embedding_rank=0,
        layout="blocks",
        cleaning="huggingtweets",
        remove_duplicates=False,
        mark_replies=False,
        held_out=0.02,
        epochs=4,
        batch_tokens=1024,
        learning_rate=1.372e-4,
        warmup=0.0,
        weight_decay=0.0,
        betas=(0.9, 0.999),
        epsilon=1e-8,
        clip=1.0,
        dropout=None,
        bf16=False,
    )
