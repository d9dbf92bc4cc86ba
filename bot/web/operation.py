"""An operation: something that can be asked of Mockingbird, the same from the shell, over HTTP and from a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from bot.app import App
from bot.domain import Asker
from bot.errors import OperatorOnly

Answer = Mapping[str, Any]  # what JSON can hold
Tell = Callable[[Answer], None]  # is told of progress


class Asked(BaseModel):
    """What is asked of an operation: its path, its query and its body together."""

    model_config = ConfigDict(frozen=True, extra="forbid")


A = TypeVar("A", bound=Asked)
Do = Callable[[App, A, Asker, Tell], Awaitable[Answer]]


@dataclass(frozen=True)
class Operation(Generic[A]):
    """`method` as HTTP means it: GET changes nothing. The names in the `path` are fields of `asked`."""

    method: str
    path: str
    asked: type[A]
    do: Do[A]


def operation(method: str, path: str, asked: type[A]) -> Callable[[Do[A]], Operation[A]]:
    """Makes an operation of the function that does it; the function raises MockingbirdError for people. Who asks sees
    and changes only what is of their place."""
    return lambda do: Operation(method, path, asked, do)


def only_operator(by: Asker) -> None:
    """Raises OperatorOnly for the people of a place: for what is of none, or of all."""
    if not by.is_operator:
        raise OperatorOnly()
