"""The log is one line a record, tells its extras, and keeps secrets to itself."""

import io
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.log import redacted, setup

DISCORD = "M" * 24 + ".Gabcde." + "x_y-z" * 6


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def logged(message: str, *arguments: object, **extra: object) -> str:
    stream = io.StringIO()
    setup("info", stream)
    logging.getLogger("bot.pool").info(message, *arguments, extra=extra)
    return stream.getvalue()


def test_a_line_has_time_level_logger_message_and_extras() -> None:
    line = logged("worker %d started", 3, device="cpu", path="a b", count=2)
    assert re.fullmatch(
        r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO bot\.pool worker 3 started device=cpu path="a b" count=2\n', line
    )


def test_less_than_the_level_is_not_logged() -> None:
    stream = io.StringIO()
    setup("WARNING", stream)
    logging.getLogger("bot").info("quiet")
    logging.getLogger("bot").warning("loud")
    assert "quiet" not in stream.getvalue()
    assert stream.getvalue().count("loud") == 1


def test_an_unknown_level_is_an_error() -> None:
    with pytest.raises(ValueError, match="LOUD"):
        setup("loud", io.StringIO())


def test_setting_up_again_replaces_the_stream() -> None:
    first, second = io.StringIO(), io.StringIO()
    setup("info", first)
    setup("info", second)
    logging.getLogger("bot").info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


def test_a_traceback_stays_on_the_line_and_keeps_its_secrets() -> None:
    stream = io.StringIO()
    setup("info", stream)
    try:
        raise ValueError("token=abcdefgh12345")
    except ValueError:
        logging.getLogger("bot").exception("it failed")
    line = stream.getvalue()
    assert line.count("\n") == 1
    assert "ValueError: token=[redacted]" in line
    assert "abcdefgh12345" not in line


@given(st.text())
def test_any_message_and_extra_is_one_line_that_can_be_written(text: str) -> None:
    line = logged("%s", text, given=text)
    assert len(line.splitlines()) == 1
    assert line.endswith("\n")
    assert line.encode()
    assert "\x1b" not in line


@pytest.mark.parametrize(
    ("message", "secret"),
    [
        ("Authorization: Bearer abc.def-ghi_123456", "abc.def"),
        ("sent bearer AbCdEfGhIjKlMnOpQrSt", "AbCd"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNl"),
        ("HF_TOKEN=hf_x", "hf_x"),
        ('{"access_token": "a b c"}', "a b c"),
        ("client-secret: 's p'", "s p"),
        ("https://example.com/?api_key=12345&x=1", "12345"),
        ("password=hunter2,", "hunter2"),
        ("got hf_abcdefghijklmnopqrstuv from the Hub", "hf_abc"),
        (f"logging in with {DISCORD}", DISCORD),
        ("1234567-" + "aB3" * 14, "aB3aB3"),
        ("https://me:hunter2@example.com/", "hunter2"),
        ("POST https://discord.com/api/v10/interactions/123/aW50ZXJhY3Rpb246_x-1/callback", "aW50ZXJh"),
        ("PATCH /api/v10/webhooks/123/aW50ZXJhY3Rpb246_x-1/messages/@original", "aW50ZXJh"),
    ],
)
def test_what_looks_like_a_secret_is_redacted(message: str, secret: str) -> None:
    assert secret in message
    assert secret not in redacted(message)
    assert "[redacted]" in redacted(message)
    assert secret not in logged("%s", message, note=message)


@pytest.mark.parametrize("name", ["token", "discord_token", "password", "client_secret", "api_key"])
def test_an_extra_named_like_a_secret_is_redacted_whatever_it_holds(name: str) -> None:
    assert f"{name}=[redacted]" in logged("hello", **{name: "abc"}).replace('"', "")


@pytest.mark.parametrize(
    "message",
    [
        "wrote 40 tokens in 2.5 s",
        "max_tokens=100",
        "the bearer of news",
        "basic understanding matters",
        "run 12-3 done",
    ],
)
def test_ordinary_messages_stay_as_they_are(message: str) -> None:
    assert redacted(message) == message
