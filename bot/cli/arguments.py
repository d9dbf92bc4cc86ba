"""What may be typed behind `mockingbird`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from training.recipe import PRESETS


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Exits with 2 and a usage line when they make no sense. `verb` is the verb, `part` that of `schedule`."""
    parser = make_parser()
    asked, left = parser.parse_known_args(arguments)
    # argparse has no room for a positional argument behind an option that follows another positional one.
    if left and not any(word.startswith("-") for word in left):
        if asked.verb == "train":
            asked.handles, left = asked.handles + left, []
        elif asked.verb == "imitate" and not asked.prompt and len(left) == 1:
            asked.prompt, left = left[0], []
    if left:
        quoted = "; put the prompt in quotes" if asked.verb == "imitate" else ""
        parser.error(f"unrecognized arguments: {' '.join(left)}{quoted}")
    for name in ("data", "config"):
        setattr(asked, name, getattr(asked, name, None))
    asked.json = getattr(asked, "json", False)
    return asked


def make_parser() -> argparse.ArgumentParser:
    everywhere = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = everywhere.add_argument_group("everywhere, before and after the verb")
    group.add_argument("--data", type=Path, metavar="DIR", help="data directory (or MOCKINGBIRD_DATA)")
    group.add_argument(
        "--config", type=Path, metavar="FILE", help="configuration (or MOCKINGBIRD_CONFIG, or ./config.toml)"
    )
    group.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    parser = argparse.ArgumentParser(
        prog="mockingbird", description="Learns how someone tweets, and tweets like them.", parents=[everywhere]
    )
    parser.add_argument("--version", action="version", version=f"mockingbird {version('mockingbird')}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(
        name: str, sentence: str, of: argparse._SubParsersAction[argparse.ArgumentParser] = verbs
    ) -> argparse.ArgumentParser:
        return of.add_parser(name, help=sentence, description=sentence, parents=[everywhere])

    add_import(verb("import", "Hold the tweets of an X archive, a tweets.js, a .jsonl, .jsonl.gz or .csv file."))
    add_train(verb("train", "Train a persona on the held tweets of one handle, or of several mixed."))
    add_imitate(verb("imitate", "Write as a persona would."))
    verb("personas", "List the personas.")
    schedule = verb("schedule", "Let a persona speak by itself, at given times.")
    parts = schedule.add_subparsers(dest="part", required=True, metavar="ADD|LIST|REMOVE|PAUSE|RESUME")
    add_schedule(verb("add", "Add a schedule; prints its next five times.", parts))
    verb("list", "List the schedules.", parts)
    for name, sentence in (
        ("remove", "Remove a schedule."),
        ("pause", "Pause a schedule."),
        ("resume", "Let it go on."),
    ):
        verb(name, sentence, parts).add_argument("id", type=whole)
    verb("run", "Run the bot: speak on schedule and do queued trainings, until Ctrl-C.")
    demo = verb("demo", "Show all of it on three invented people.")
    demo.add_argument("--once", action="store_true", help="stop after the first scheduled posts")
    return parser


def add_import(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("file", type=Path)
    verb.add_argument("--handle", type=text, help="whose tweets they are, where the file does not say")
    verb.add_argument("--dry-run", action="store_true", help="read and count everything, hold nothing")


def add_train(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("handles", nargs="+", type=text, metavar="HANDLE")
    verb.add_argument("--weights", type=weights, metavar="2,1", help="the handles' shares of a mix")
    verb.add_argument(
        "--recipe",
        choices=tuple(PRESETS),
        help="quick takes a third as long as standard, thorough three times; huggingtweets is the original",
    )
    verb.add_argument(
        "--full", action="store_true", help="train all weights instead of an adapter (of quick or standard)"
    )
    verb.add_argument("--seed", type=whole, help="the same seed, text and threads give the same weights")


def add_imitate(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("persona", type=text)
    verb.add_argument("prompt", nargs="?", type=text, default="", help="how the text begins")
    verb.add_argument("--reply-to", type=message, metavar="TEXT", help="what somebody said, for the texts to answer")
    verb.add_argument("-n", type=number_from(1, 100), default=5, dest="n", help="how many texts (default: 5)")
    verb.add_argument("--seed", type=whole, help="the same seed gives the same texts")
    verb.add_argument("--temperature", type=number_above_zero(10.0))
    verb.add_argument("--top-p", type=number_above_zero(1.0))
    verb.add_argument("--max-tokens", type=number_from(1, 1024))


def add_schedule(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("persona", type=text)
    times = verb.add_mutually_exclusive_group(required=True)
    times.add_argument("--every", type=text, metavar="1h", help="an interval: 90s, 30m, 1h, 2d")
    times.add_argument("--cron", type=text, metavar='"0 9 * * mon-fri"', help="minute, hour, day, month, weekday")
    verb.add_argument(
        "--tz", type=text, default="UTC", metavar="Europe/Paris", help="what the cron rule's times mean (default: UTC)"
    )
    verb.add_argument("--prompt", type=text, default="", help="how every text begins")


def text(argument: str) -> str:
    """What was typed, with U+FFFD for what is no UTF-8: neither the database nor the worker could be told it."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def message(argument: str) -> str:
    if not argument.strip():
        raise argparse.ArgumentTypeError("must not be blank")
    return text(argument)


def weights(text: str) -> list[float]:
    parts = [float(part) for part in text.split(",")]
    if not all(math.isfinite(part) for part in parts):
        raise ValueError
    return parts


def whole(text: str) -> int:
    """A seed or an id: what fits into 63 bits, so that SQLite can hold it."""
    return number_from(0, 2**63 - 1)(text)


def number_from(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be from {least} to {most}")
        return int(text)

    return number


def number_above_zero(most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        if not 0.0 < float(text) <= most:
            raise argparse.ArgumentTypeError(f"must be above 0, at most {most:g}")
        return float(text)

    return number
