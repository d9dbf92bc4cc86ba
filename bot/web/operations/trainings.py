"""Trainings: how a persona comes to speak."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bot import clock
from bot.app import App
from bot.domain import Asker
from bot.web.operation import Answer, Asked, Tell, operation
from training.recipe import FULL


class Train(Asked):
    handles: list[str] = Field(min_length=1)
    recipe: Literal["quick", "standard", "thorough", "huggingtweets"] | None = None
    full: bool = False
    weights: list[float] | None = None
    seed: int | None = Field(default=None, ge=0, lt=2**63)


@operation("POST", "/v1/trainings", Train)
async def begin(app: App, asked: Train, by: Asker, tell: Tell) -> Answer:
    """Whoever asked and goes away leaves it to the bot; the same asked again is the same training."""
    recipe = (asked.recipe or app.config.training.recipe) + (FULL if asked.full else "")
    wish = {**asked.model_dump(include={"handles", "weights", "seed"}), "recipe": recipe}
    request = await app.desk.ask("train", by.person, by.place, wish, clock.now_ms())
    return await app.desk.wait(request.id, tell)
