"""What people see on the terminal: results on standard output, progress and warnings on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bot.domain import Candidate, FeedEntry
from models import wire


def say(text: str) -> None:
    """One line on standard output."""
    print(text, flush=True)


def note(text: str) -> None:
    """One line on standard error: for the person, not for a program that reads our output."""
    print(text, file=sys.stderr, flush=True)


def as_json(value: object) -> None:
    """The one JSON object of `--json`."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


@contextmanager
def training_bar(title: str) -> Iterator[Callable[[wire.Progress], None]]:
    """A bar with step, loss and time left, on standard error; silent where that is no terminal."""
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}  held-out {task.fields[held_out]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(title), total=None, loss="-", held_out="-", left="starting")

        def tell(progress: wire.Progress) -> None:
            bar.update(
                task,
                completed=progress.step,
                total=progress.steps,
                loss=f"{progress.loss:.2f}",
                left=f"{progress.eta_seconds:.0f} s left" if progress.eta_seconds else "",
            )
            if progress.heldout_loss is not None:
                bar.update(task, held_out=f"{progress.heldout_loss:.2f}")

        yield tell


def gain(results: Mapping[str, Any]) -> str:
    """What a training achieved, in the one unit in which models with other tokenizers can be compared."""
    figures = (results["base_heldout_bits_per_byte"], results["heldout_bits_per_byte"])
    before, after = ("no number" if figure is None else f"{figure:.2f}" for figure in figures)
    return f"bits per byte on tweets it never saw (less is better): {before} before, {after} after"


def candidate(text: Candidate) -> str:
    """A text as a list item, its further lines indented; of a refused one only the reasons."""
    if not text.verdict.accepted:
        return f"  x (refused: {', '.join(text.verdict.reasons)})"
    return "  - " + text.text.replace("\n", "\n    ")


def entry(post: FeedEntry) -> str:
    """A post of the local feed, its further lines indented, so that none of them looks like a post of its own."""
    when = datetime.fromtimestamp(post.posted_at / 1000).strftime("%H:%M:%S")
    return f"{when}  @{post.author}  " + post.text.replace("\n", "\n    ")


def moment(instant: int, zone: str) -> str:
    """An instant in the schedule's own zone, with its weekday, because that is what people get wrong."""
    return datetime.fromtimestamp(instant / 1000, UTC).astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M:%S %Z")


def iso(instant: int) -> str:
    return datetime.fromtimestamp(instant / 1000, UTC).isoformat(timespec="seconds")
