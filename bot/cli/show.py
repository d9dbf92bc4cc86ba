"""What people see on the terminal: results on standard output, progress and warnings on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from bot.domain import FeedEntry


def say(text: str) -> None:
    """One line on standard output."""
    print(text, flush=True)


def note(text: str) -> None:
    """One line on standard error: for the person, not for a program that reads our output."""
    print(text, file=sys.stderr, flush=True)


def as_json(value: object) -> None:
    """The one JSON object of `--json`."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def warnings_only(told: Mapping[str, Any]) -> None:
    """What is told meanwhile, where nobody watches."""
    if "warning" in told:
        note(told["warning"])


@contextmanager
def progress(title: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Shows what an operation tells meanwhile, on standard error: warnings as lines and, on a terminal, a training as a
    bar with step, loss and time left."""
    if not sys.stderr.isatty():
        yield warnings_only
        return
    # Only now: to import it takes as long as many a command.
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[losses]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    tasks: list[TaskID] = []
    held_out = ""

    def tell(told: Mapping[str, Any]) -> None:
        nonlocal held_out
        warnings_only(told)
        if "warning" in told:
            return
        if not told.get("position", 1):
            return  # its turn has come
        if not tasks:
            bar.start()
            tasks.append(bar.add_task(escape(title), total=None, losses="", left="starting"))
        if "going_on" in told:
            bar.update(tasks[0], description=escape(f"{title} (going on with run {told['going_on']})"))
        elif "position" in told and "step" not in told:
            eta = "" if told["eta_seconds"] is None else f", about {told['eta_seconds']:.0f} s"
            bar.update(tasks[0], left=f"{told['position']} ahead of you{eta}")
        elif "step" in told:
            if told["heldout_loss"] is not None:
                held_out = f"  held-out {told['heldout_loss']:.2f}"
            left = f"{told['eta_seconds']:.0f} s left" if told["eta_seconds"] else ""
            losses = f"loss {told['loss']:.2f}{held_out}"
            bar.update(tasks[0], completed=told["step"], total=told["steps"], losses=losses, left=left)

    try:
        yield tell
    finally:
        bar.stop()


def gain(results: Mapping[str, Any]) -> str:
    """What a training achieved, in the one unit in which models with other tokenizers can be compared."""
    figures = (results["base_heldout_bits_per_byte"], results["heldout_bits_per_byte"])
    before, after = ("no number" if figure is None else f"{figure:.2f}" for figure in figures)
    return f"bits per byte on tweets it never saw (less is better): {before} before, {after} after"


def item(text: str) -> str:
    """A text as a list item, its further lines indented."""
    return "  - " + text.replace("\n", "\n    ")


def entry(post: FeedEntry) -> str:
    """A post of the local feed, its further lines indented, so that none of them looks like a post of its own."""
    when = datetime.fromtimestamp(post.posted_at / 1000).strftime("%Y-%m-%d %H:%M:%S")
    return f"{when}  @{post.author}  " + post.text.replace("\n", "\n    ")


def moment(instant: str, zone: str) -> str:
    """An instant (ISO 8601) in the schedule's own zone, with its weekday, because that is what people get wrong."""
    return datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M:%S %Z")


def here(instant: str) -> str:
    """An instant (ISO 8601) in the zone of whoever reads it."""
    return datetime.fromisoformat(instant).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def here_ms(at_ms: int) -> str:
    return here(datetime.fromtimestamp(at_ms / 1000, UTC).isoformat())


def indented(text: str) -> str:
    return "    " + text.replace("\n", "\n    ")
