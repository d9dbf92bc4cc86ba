"""Everything that can be asked of Mockingbird, by noun; what is asked of each is its pydantic model."""

from typing import Any

from bot.web.operation import Operation
from bot.web.operations import (
    accounts,
    feed,
    imitations,
    listening,
    outbox,
    people,
    personas,
    places,
    posts,
    queue,
    quiet,
    schedules,
    settings,
    timelines,
    trainings,
)

NOUNS = (
    accounts,
    feed,
    imitations,
    listening,
    outbox,
    people,
    personas,
    places,
    posts,
    queue,
    quiet,
    schedules,
    settings,
    timelines,
    trainings,
)
EVERY: tuple[Operation[Any], ...] = tuple(
    found for noun in NOUNS for found in vars(noun).values() if isinstance(found, Operation)
)
