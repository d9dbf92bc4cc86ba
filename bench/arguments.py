"""What the benchmarks' command lines have in common."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from bot.errors import MockingbirdError
from training.timeline import UnreadableFile


def names(text: str) -> tuple[str, ...]:
    """ "a, @b" -> ("a", "b"), each once."""
    found = tuple(dict.fromkeys(name.strip().removeprefix("@") for name in text.split(",") if name.strip()))
    if not found:
        raise argparse.ArgumentTypeError("must name at least one")
    return found


def positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """What a person can mend ends the program with its sentence instead of a traceback."""
    try:
        yield
    except (MockingbirdError, UnreadableFile) as error:
        raise SystemExit(str(error)) from error
