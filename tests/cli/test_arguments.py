"""What may be typed: every verb and option, before and after the verb, and nothing that makes no sense."""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.cli.arguments import make_parser, parse

PLAN = [
    *("--every", "--cron", "--times", "--at", "--on", "--between", "--apart", "--tz", "--quiet", "--jitter", "--late"),
    *("--chance", "--approval", "--prompt"),
]
VERBS = {
    ("import",): ["--handle", "--dry-run"],
    ("train",): ["--weights", "--recipe", "--full", "--seed"],
    ("imitate",): ["--reply-to", "-n", "--seed", "--temperature", "--top-p", "--max-tokens"],
    ("personas",): [],
    ("post",): ["--thread", "--draft"],
    ("feed",): ["--limit"],
    ("schedule",): [],
    ("schedule", "add"): PLAN,
    ("schedule", "preview"): [*PLAN, "-n"],
    ("schedule", "list"): [],
    ("schedule", "show"): [],
    ("schedule", "remove"): [],
    ("schedule", "pause"): [],
    ("schedule", "resume"): [],
    ("outbox",): [],
    ("outbox", "list"): ["--state", "--limit"],
    ("outbox", "show"): [],
    ("outbox", "explain"): [],
    ("outbox", "approve"): [],
    ("outbox", "edit"): [],
    ("outbox", "replace"): [],
    ("outbox", "drop"): [],
    ("outbox", "retry"): [],
    ("outbox", "confirm"): ["--remote-id"],
    ("queue",): [],
    ("queue", "list"): [],
    ("queue", "show"): [],
    ("queue", "cancel"): [],
    ("ban-phrase",): [],
    ("ban-phrase", "list"): [],
    ("ban-phrase", "add"): [],
    ("ban-phrase", "remove"): [],
    ("mute",): [],
    ("mute", "list"): [],
    ("mute", "add"): [],
    ("mute", "remove"): [],
    ("reply",): [],
    ("reply", "list"): [],
    ("reply", "set"): ["--chance", "--cooldown", "--unasked-chance", "--unasked-every", "--platform", "--account"],
    ("reply", "off"): ["--platform", "--account"],
    ("forget",): ["--dry-run", "--everywhere"],
    ("optout",): [],
    ("optout", "list"): [],
    ("optout", "add"): [],
    ("optout", "remove"): [],
    ("persona",): [],
    ("persona", "share"): [],
    ("persona", "unshare"): [],
    ("account",): [],
    ("account", "list"): [],
    ("account", "pause"): [],
    ("account", "resume"): [],
    ("config",): [],
    ("config", "reload"): [],
    ("run",): [],
    ("demo",): ["--once"],
}
EVERYWHERE = ["--data", "--config", "--json"]


def printed(*arguments: str) -> str:
    """What a fresh interpreter prints of these arguments, which must succeed."""
    code = "import sys; from bot.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def parsers(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, part in action.choices.items():
                yield (*path, name)
                yield from parsers(part, (*path, name))


def test_these_are_all_verbs() -> None:
    assert sorted(parsers(make_parser())) == sorted(VERBS)


def test_the_help_names_every_verb() -> None:
    said = printed("--help")
    assert [verb for verb in VERBS if f"\n    {verb[0]} " not in said] == []
    assert [option for option in [*EVERYWHERE, "--version"] if option not in said] == []


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_the_help_of_a_verb_names_every_option(verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse([*verb, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert [option for option in [*VERBS[verb], *EVERYWHERE] if f"{option}" not in said] == []
    parts = [other[1] for other in VERBS if len(other) == 2 and other[:1] == verb]
    assert [part for part in parts if f"\n    {part} " not in said] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data", "d", "--config", "c", "--json", "personas"],
        ["personas", "--data", "d", "--config", "c", "--json"],
        ["--data", "d", "personas", "--json", "--config", "c"],
        ["--json", "schedule", "--data", "d", "list", "--config", "c"],
        ["schedule", "add", "jo", "--every", "1h", "--json", "--config", "c", "--data", "d"],
        ["--config", "c", "schedule", "--json", "add", "--data", "d", "jo", "--every", "1h"],
    ],
)
def test_what_holds_everywhere_may_stand_before_and_after_the_verb(arguments: list[str]) -> None:
    asked = parse(arguments)
    assert (asked.data, asked.config, asked.json) == (Path("d"), Path("c"), True)


def test_what_is_not_given_has_a_default() -> None:
    asked = parse(["imitate", "jo"])
    assert (asked.data, asked.config, asked.json, asked.prompt, asked.n, asked.seed) == (None, None, False, "", 5, None)


def test_the_last_of_two_wins() -> None:
    assert parse(["--data", "before", "personas", "--data", "after"]).data == Path("after")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["sing"],
        ["schedule"],
        ["schedule", "add", "jo"],
        ["schedule", "add", "jo", "--every", "1h", "--cron", "0 9 * * *"],
        ["schedule", "remove", "one"],
        ["schedule", "remove", "-1"],
        ["schedule", "remove", str(2**63)],
        ["import"],
        ["train"],
        ["train", "jo", "--recipe", "slow"],
        ["train", "jo", "--weights", "many"],
        ["train", "jo", "--weights", "nan"],
        ["train", "jo", "--weights", "inf,1"],
        ["train", "jo", "--seed", "-1"],
        ["train", "jo", "--seed", str(2**63)],
        ["imitate"],
        ["imitate", "jo", "-n", "0"],
        ["imitate", "jo", "-n", "101"],
        ["imitate", "jo", "-n", "1.5"],
        ["imitate", "jo", "--temperature", "0"],
        ["imitate", "jo", "--temperature", "nan"],
        ["imitate", "jo", "--temperature", "inf"],
        ["imitate", "jo", "--top-p", "1.1"],
        ["imitate", "jo", "--max-tokens", "0"],
        ["personas", "--loud"],
    ],
)
def test_what_makes_no_sense_ends_with_two_and_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments)
    told = capsys.readouterr()
    assert ended.value.code == 2
    assert told.out == ""
    assert told.err.startswith("usage: mockingbird")


def test_bytes_that_are_no_text_become_a_sign_for_that() -> None:
    assert parse(["imitate", "jo\udcff", "caf\udce9"]).prompt == "caf\ufffd"
    assert parse(["imitate", "jo\udcff"]).persona == "jo\ufffd"


# --- What is loaded ---------------------------------------------------------------------------------------------------


def loaded(code: str) -> set[str]:
    """The top-level modules, and those of bot, that a fresh interpreter holds after this code."""
    show = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, timeout=60, check=True)
    names = done.stdout.splitlines()[-1].split()
    return {name if name.startswith("bot") else name.partition(".")[0] for name in names}


def test_the_app_loads_nothing_that_computes_models() -> None:
    found = loaded("import bot.app, bot.cli.verbs, bot.cli.demo")
    assert "bot.app" in found
    assert found & {"torch", "transformers", "tokenizers", "safetensors", "huggingface_hub"} == set()


@pytest.mark.parametrize("arguments", [["--help"], ["imitate", "--help"], ["--version"], ["sing"]])
def test_help_and_usage_load_next_to_nothing(arguments: list[str]) -> None:
    code = f"from bot.cli import main\ntry: main({arguments!r})\nexcept SystemExit: pass"
    found = loaded(code)
    assert "bot.cli.arguments" in found
    assert found & {"bot.app", "bot.config", "pydantic", "rich", "apscheduler", "sqlite_utils", "regex"} == set()
