"""No sentence that people on Discord read names the shell, a file or a folder."""

from __future__ import annotations

import re
import string

import pytest

from bot import errors
from bot.errors import MockingbirdError
from bot.log import redacted
from bot.platforms.discord.connection import refusals
from bot.platforms.discord.sentences import SENTENCES, sentence, without_shell

pytestmark = pytest.mark.discord
KINDS = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MockingbirdError)),
    key=lambda kind: kind.__name__,
)
SHELL = re.compile(r"mockingbird |MOCKINGBIRD|(?<!\w)--\w|\.toml|[A-Z]+_FILE|\[\w+\]|/home/secret")
SECRETS = ("folder", "log", "source", "base")


class Fact(str):
    """A word that may stand for a number."""

    def __format__(self, spec: str) -> str:
        return str(self)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_sentence_for_discord_names_nothing_of_the_shell(kind: type[MockingbirdError]) -> None:
    fields = {field.partition("!")[0] for _, field, _, _ in string.Formatter().parse(kind.__doc__ or "") if field}
    said = sentence(kind(**{field: Fact("/home/secret" if field in SECRETS else "jo") for field in fields}))
    assert SHELL.search(said) is None
    assert said == "jo" or said.endswith((".", "jo"))


def test_the_table_replaces_only_errors_that_exist_by_facts_that_they_have() -> None:
    for kind, written in SENTENCES.items():
        own = {field.partition("!")[0] for _, field, _, _ in string.Formatter().parse(kind.__doc__ or "") if field}
        used = {field.partition("!")[0] for _, field, _, _ in string.Formatter().parse(written) if field}
        assert used <= own, kind


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            "There is no persona 'jo': train one first with `mockingbird train jo`.",
            "There is no persona 'jo': train one first with /train.",
        ),
        ("Look (`mockingbird queue list`, `mockingbird outbox list`).", "Look (/queue, /outbox)."),
        ("`mockingbird hub pull x`", "/help"),
        (
            "It was refused (it holds a link, which moderation.allow_links does not allow).",
            "It was refused (it holds a link).",
        ),
        ("I said `mocking` to a mockingbird", "I said `mocking` to a mockingbird"),
    ],
)
def test_what_was_written_for_the_shell_names_commands_of_discord(written: str, said: str) -> None:
    assert without_shell(written) == said


@pytest.mark.parametrize("told", [refusals.BAD_TOKEN, refusals.NO_CONTENT, *refusals.BY_CODE.values()])
def test_the_log_takes_no_word_of_a_refusal_for_a_secret(told: str) -> None:
    assert redacted(told) == told
