"""What may be typed behind `mockingbird`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from bot.domain import PostState
from training.recipe import PRESETS


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Exits with 2 and a usage line when they make no sense. `verb` is the verb, `part` that of `schedule`."""
    parser = make_parser()
    asked, left = parser.parse_known_args(arguments)
    # argparse has no room for a positional argument behind an option that follows another positional one.
    if left and not any(word.startswith("-") for word in left):
        if asked.verb == "train":
            asked.handles, left = asked.handles + left, []
        elif asked.verb in ("imitate", "post") and not asked.prompt and len(left) == 1:
            asked.prompt, left = left[0], []
    if left:
        quoted = "; put the prompt in quotes" if asked.verb in ("imitate", "post") else ""
        parser.error(f"unrecognized arguments: {' '.join(left)}{quoted}")
    if hasattr(asked, "place"):
        asked.platform, asked.account = asked.place
    for name in ("data", "config", "part"):
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
    add_post(verb("post", "Let a persona say something now, or a thread of it."))
    verb("feed", "Show what was posted to the local feed.").add_argument(
        "--limit", type=number_from(1, 1000), default=20
    )

    def part(name: str, sentence: str) -> Callable[[str, str], argparse.ArgumentParser]:
        """A verb that has verbs of its own."""
        of = verb(name, sentence).add_subparsers(dest="part", required=True, metavar="WHAT")
        return lambda name, sentence: verb(name, sentence, of)

    schedule = part("schedule", "Let a persona speak by itself, at given times.")
    add_schedule(schedule("add", "Add a schedule; prints its next five times."))
    previewed = schedule("preview", "Show when such a schedule would speak; stores nothing.")
    add_schedule(previewed)
    previewed.add_argument("-n", type=number_from(1, 100), default=5, dest="n", help="how many times (default: 5)")
    schedule("list", "List the schedules.")
    for name, sentence in SCHEDULE.items():
        schedule(name, sentence).add_argument("id", type=whole)
    add_outbox(part("outbox", "Look at what is to be said and what was said, and decide about it."))
    add_queue(part("queue", "What people wait for: imitations and trainings."))
    add_quiet(part("ban-phrase", "Phrases that nobody is to say."), part("mute", "Let nothing be said for a while."))
    add_reply(part("reply", "Who answers what people say on an account, and how often."))
    add_people(
        verb("forget", "Forget a handle: its tweets, its personas, their trainings and texts."),
        part("optout", "Handles that are never imitated."),
        part("persona", "Who may use a persona."),
    )
    add_accounts(part("account", "Who speaks where, and what they have used up."))
    part("config", "The configuration of the running bot.")("reload", "Let the running bot read it again.")
    verb("run", "Run the bot: speak on schedule and do queued trainings, until Ctrl-C.")
    demo = verb("demo", "Show all of it on three invented people.")
    demo.add_argument("--once", action="store_true", help="stop after the first scheduled posts")
    return parser


def add_import(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("file", type=lambda path: Path(path).absolute())  # the bot may run elsewhere
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
    when = verb.add_argument_group("when, one of")
    times = when.add_mutually_exclusive_group(required=True)
    times.add_argument("--every", type=text, metavar="1h", help="an interval: 90s, 30m, 1h; with --at: 2d, 1w, 1mo")
    times.add_argument("--cron", type=text, metavar='"0 9 * * mon-fri"', help="minute, hour, day, month, weekday")
    times.add_argument("--times", type=number_from(1, 1440), metavar="3", help="so many times a day, with --between")
    more = verb.add_argument_group("and to these")
    more.add_argument("--at", type=text, metavar="09:00", help="the time of day of an interval of days or more")
    more.add_argument("--on", type=text, metavar="2026-11-30", help="the date from which such an interval counts")
    more.add_argument("--between", type=text, metavar="09:00-21:00", help="when --times may come, at random")
    more.add_argument("--apart", type=text, metavar="2h", help="how far from one another at least")
    conditions = verb.add_argument_group("conditions")
    conditions.add_argument(
        "--tz",
        dest="zone",
        type=text,
        default="UTC",
        metavar="Europe/Paris",
        help="what wall times mean (default: UTC)",
    )
    conditions.add_argument("--quiet", type=text, metavar="22:00-07:00", help="nothing is said between these times")
    conditions.add_argument("--jitter", type=text, metavar="10m", help="up to so much later, as if by chance")
    conditions.add_argument("--late", type=text, metavar="2h", help="what is later than this is missed")
    conditions.add_argument("--chance", type=number_above_zero(1.0), default=1.0, metavar="0.3")
    conditions.add_argument(
        "--approval", type=text, default="off", metavar="always|first-20|off", help="whether people look at it first"
    )
    conditions.add_argument("--prompt", type=text, default="", help="how every text begins")


def add_post(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("persona", type=text)
    verb.add_argument("prompt", nargs="?", type=text, default="", help="how the text begins")
    verb.add_argument(
        "--thread", type=number_from(1, 25), default=1, metavar="N", help="so many posts, each answering the one before"
    )
    verb.add_argument("--draft", action="store_true", help="not before somebody approves it")


def add_queue(parts: Callable[[str, str], argparse.ArgumentParser]) -> None:
    parts("list", "List what waits or is being done, in its order.")
    parts("show", "Show a request and, once there is one, its answer.").add_argument("id", type=whole)
    parts("cancel", "Take a request back.").add_argument("id", type=whole)


def add_quiet(
    phrases: Callable[[str, str], argparse.ArgumentParser], mutes: Callable[[str, str], argparse.ArgumentParser]
) -> None:
    phrases("list", "List the phrases.")
    phrases("add", "Ban a phrase; what waits and holds it is cancelled.").add_argument("phrase", type=message)
    phrases("remove", "Allow a phrase again.").add_argument("phrase", type=message)
    mutes("list", "List who is muted, and until when.")
    scope = "everything, persona:NAME or PLATFORM/ACCOUNT"
    muted = mutes("add", "Mute for a time.")
    muted.add_argument("scope", type=text, help=scope)
    muted.add_argument("time", type=text, metavar="2h", help="how long: 30m, 2h, 1d")
    mutes("remove", "End a mute before its time.").add_argument("scope", type=text, help=scope)


def add_reply(parts: Callable[[str, str], argparse.ArgumentParser]) -> None:
    parts("list", "List what is settled.")
    settled = parts("set", "Let a persona answer there.")
    settled.add_argument("persona", type=text)
    settled.add_argument("--chance", type=number_above_zero(1.0), help="of answering at all (default: 1)")
    settled.add_argument("--cooldown", type=number_from(0, 86_400), metavar="SECONDS", help="between answers there")
    settled.add_argument("--unasked-chance", type=chance, help="of speaking after any message (default: 0)")
    settled.add_argument("--unasked-every", type=number_from(0, 1_000_000), metavar="N", help="messages; 0 = never")
    for verb in (settled, parts("off", "Let nobody answer there.")):
        verb.add_argument("--platform", type=message, default="discord")
        verb.add_argument("--account", type=message, required=True, help="of Discord, the id of a channel")


def add_accounts(parts: Callable[[str, str], argparse.ArgumentParser]) -> None:
    parts("list", "List the accounts with what they have used up of the limits.")
    for name, sentence in (("pause", "Let an account say nothing until it is resumed."), ("resume", "Let it go on.")):
        parts(name, sentence).add_argument("place", type=place, metavar="PLATFORM/ACCOUNT", help="such as local/feed")


def add_people(
    forget: argparse.ArgumentParser,
    opt_outs: Callable[[str, str], argparse.ArgumentParser],
    personas: Callable[[str, str], argparse.ArgumentParser],
) -> None:
    forget.add_argument("handle", type=text)
    forget.add_argument("--dry-run", action="store_true", help="tell what would go, forget nothing")
    forget.add_argument("--everywhere", action="store_true", help="in all servers and chats too")
    opt_outs("list", "List them.")
    opt_outs("add", "Never imitate a handle; what is held of it stays until you forget it.").add_argument(
        "handle", type=text
    )
    opt_outs("remove", "Allow it again.").add_argument("handle", type=text)
    for name, shared in (("share", True), ("unshare", False)):
        sentence = "Let the people of every server and chat use it." if shared else "Keep it to its own place again."
        sharing = personas(name, sentence)
        sharing.add_argument("name", type=text, help="as `mockingbird personas` lists it")
        sharing.set_defaults(shared=shared)


def add_outbox(parts: Callable[[str, str], argparse.ArgumentParser]) -> None:
    listed = parts("list", "List the newest posts and drafts.")
    listed.add_argument("--state", choices=[state.value for state in PostState])
    listed.add_argument("--limit", type=number_from(1, 1000), default=20, help="how many (default: 20)")
    for name, sentence in OUTBOX.items():
        part = parts(name, sentence)
        part.add_argument("id", type=message, help="the post's id, or its beginning or end")
        if name == "edit":
            part.add_argument("text", type=message)
        if name == "confirm":
            part.add_argument("--remote-id", type=text, help="under which id it stands on the platform")


SCHEDULE = {
    "show": "Show a schedule, its next times, and what became of the last ones.",
    "remove": "Remove a schedule.",
    "pause": "Pause a schedule.",
    "resume": "Let it go on.",
}

OUTBOX = {
    "show": "Show a post.",
    "explain": "Tell all that is known of a post: its cause, what made it, every attempt and answer.",
    "approve": "Let a draft be said, as it stands.",
    "edit": "Give a draft, or what was not tried yet, another text.",
    "replace": "Put another candidate in place of a draft's text.",
    "drop": "It is not to be said.",
    "retry": "It is not there: say it again (a post that waits for your decision).",
    "confirm": "It is there (a post that waits for your decision).",
}


def text(argument: str) -> str:
    """What was typed, with U+FFFD for what is no UTF-8: neither the database nor the worker could be told it."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def message(argument: str) -> str:
    if not argument.strip():
        raise argparse.ArgumentTypeError("must not be blank")
    return text(argument)


def place(argument: str) -> tuple[str, str]:
    platform, _, account = message(argument).partition("/")
    if not platform or not account:
        raise argparse.ArgumentTypeError("must be a platform and an account, such as local/feed")
    return platform, account


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


def chance(argument: str) -> float:
    if not 0.0 <= float(argument) <= 1.0:
        raise argparse.ArgumentTypeError("must be from 0 to 1")
    return float(argument)


def number_above_zero(most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        if not 0.0 < float(text) <= most:
            raise argparse.ArgumentTypeError(f"must be above 0, at most {most:g}")
        return float(text)

    return number
