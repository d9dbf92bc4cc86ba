"""The real bot, killed at any step of what people want of it, says it once all the same."""

import random

import pytest

from tests.chaos import kills, wishes
from tests.chaos.oracle import Findings


@pytest.mark.parametrize("wish", wishes.WISHES)
def test_a_bot_that_is_killed_at_any_fourth_step_says_everything_once(wish: str) -> None:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    total = kills.run_all(wish, seed, every=4, processes=1, again=False)
    assert total.findings == Findings()
    assert total.runs > 5
    assert total.lives > 1.5 * total.runs


def test_a_bot_that_sends_again_what_it_was_sending_is_caught() -> None:
    assert kills.run_all("post-now", 1, every=4, processes=1, flaw="sends again").findings.duplicates > 0


def test_a_bot_that_forgets_what_it_was_sending_is_caught() -> None:
    assert kills.run_all("post-now", 1, every=4, processes=1, flaw="forgets").findings.silent_losses > 0
