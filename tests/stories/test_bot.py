"""The bot posts by itself, ends in order, and after a violent end says nothing twice."""

import os
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.command import HANDLE, Shell, alive

WORKER = "models.engine"


def rows(data: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{data}/mockingbird.db?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def feed(data: Path) -> list[str]:
    """What was said in the local feed, oldest first."""
    return [text for (text,) in rows(data, "SELECT text FROM feed ORDER BY id")]


def next_post(bot: subprocess.Popen[str]) -> str:
    """What the bot prints when it has posted, but for further lines, which are indented."""
    assert bot.stdout is not None
    while (line := bot.stdout.readline()).startswith(" "):
        pass
    when, _, rest = line.partition("  ")
    assert when.count(":") == 2
    assert rest.startswith(f"@{HANDLE}  ")
    return rest.removeprefix(f"@{HANDLE}  ").rstrip("\n")


def posting(shell: Shell, count: int) -> tuple[subprocess.Popen[str], list[str]]:
    """A bot, and the first lines of the texts that it posted."""
    bot = shell.start("run")
    return bot, [next_post(bot) for _ in range(count)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_scheduled_persona_posts_until_the_bot_is_told_to_stop(speaking: Shell, number: signal.Signals) -> None:
    speaking.good("schedule", "add", HANDLE, "--every", "1s")
    bot, lines = posting(speaking, 2)
    worker = speaking.child(bot, WORKER)
    bot.send_signal(number)
    said = speaking.end(bot)
    assert said.status == 0
    assert "Traceback" not in said.err
    assert not alive(worker)
    posts = feed(speaking.data)
    assert len(posts) >= 2
    assert [text.partition("\n")[0] for text in posts[:2]] == lines


def test_a_bot_that_is_told_to_stop_as_soon_as_it_runs_ends_in_order(speaking: Shell) -> None:
    bot = speaking.start("run", "--json")
    assert bot.stderr is not None
    assert bot.stderr.readline() == "Mockingbird is running; Ctrl-C stops it.\n"
    assert bot.stderr.readline() == "It is not on Discord: DISCORD_TOKEN holds no token.\n"
    bot.send_signal(signal.SIGTERM)
    said = speaking.end(bot)
    assert (said.status, said.json) == (0, {"posts": []})


def test_after_a_violent_end_nothing_is_posted_twice_and_no_worker_is_left(speaking: Shell) -> None:
    speaking.good("schedule", "add", HANDLE, "--every", "1s")
    said = 0
    for _ in range(2):
        bot, _ = posting(speaking, 1)
        worker = speaking.child(bot, WORKER)
        bot.kill()
        bot.communicate()
        speaking.until(lambda worker=worker: not alive(worker))
        posts = feed(speaking.data)
        assert len(posts) > said
        said = len(posts)
    bot, _ = posting(speaking, 2)
    bot.send_signal(signal.SIGINT)
    assert speaking.end(bot).status == 0
    assert len(feed(speaking.data)) >= said + 2
    times_posted = rows(
        speaking.data,
        """SELECT count(outbox_log.id) FROM feed
           LEFT JOIN outbox_log ON outbox_log.outbox_id = feed.outbox_id AND outbox_log.state = 'posted'
           GROUP BY feed.id""",
    )
    assert set(times_posted) == {(1,)}
    assert rows(speaking.data, "SELECT * FROM occurrences WHERE state = 'failed'") == []


def test_a_killed_worker_costs_the_bot_no_post(speaking: Shell) -> None:
    speaking.good("schedule", "add", HANDLE, "--every", "1s")
    bot, _ = posting(speaking, 1)
    worker = speaking.child(bot, WORKER)
    os.kill(worker, signal.SIGKILL)
    assert [next_post(bot) != "" for _ in range(2)] == [True, True]
    assert speaking.child(bot, WORKER) != worker
    bot.send_signal(signal.SIGTERM)
    assert speaking.end(bot).status == 0
