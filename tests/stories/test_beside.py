"""Every command gives the same answer beside a running bot as alone, two at once, and a clear error if the bot dies."""

import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import HANDLE, Said, Shell, Sitting

VARYING = {
    *("seconds", "train_seconds", "tokens_per_second", "eta_seconds"),
    *("until", "since", "due", "expires", "next", "request"),
}


@pytest.fixture
def bot(speaking: Shell) -> Iterator[subprocess.Popen[str]]:
    process = speaking.start("run")
    assert process.stderr is not None
    while "running" not in process.stderr.readline():
        pass
    yield process
    if process.poll() is None:
        process.terminate()
        assert speaking.end(process).status == 0


def alike(answer: Any) -> Any:
    """Without what is another moment's in another run."""
    if isinstance(answer, dict):
        return {name: alike(value) for name, value in answer.items() if name not in VARYING}
    return [alike(value) for value in answer] if isinstance(answer, list) else answer


def a_day(shell: Shell, file: Path) -> list[Any]:
    """What somebody may do in a day, each verb at least once, with the answers."""
    said = [
        shell.good("import", file),
        shell.good("personas"),
        shell.good("imitate", HANDLE, "-n", "2", "--seed", "7"),
        shell.good("schedule", "preview", HANDLE, "--cron", "0 9 * * 1", "--tz", "Europe/Helsinki"),
        shell.good("schedule", "add", HANDLE, "--every", "3h", "--quiet", "22:00-07:00", "--approval", "first-20"),
        shell.good("schedule", "list"),
        shell.good("schedule", "show", "1"),
        shell.good("schedule", "pause", "1"),
        shell.good("schedule", "resume", "1"),
        shell.good("schedule", "remove", "1"),
        shell.good("ban-phrase", "add", "green cheese"),
        shell.good("ban-phrase", "list"),
        shell.good("ban-phrase", "remove", "green  CHEESE"),
        shell.good("mute", "add", "account:local/other", "2h"),
        shell.good("mute", "list"),
        shell.good("mute", "remove", "account:local/other"),
        shell.good("account", "pause", "local/feed"),
        shell.good("account", "resume", "local/feed"),
        shell.good("queue", "list"),
        shell.good("config", "reload"),
    ]
    drafts = shell.good("post", HANDLE, "the gull", "--thread", "2", "--draft")["posts"]
    first, second = (draft["post"] for draft in drafts)
    assert [draft["state"] for draft in drafts] == ["draft", "draft"]
    assert shell.good("outbox", "replace", first)["text"] != drafts[0]["text"]
    assert shell.good("outbox", "edit", first, "the gull has the floor")["text"] == "the gull has the floor"
    assert {post["post"] for post in shell.good("outbox", "list", "--state", "draft")["posts"]} == {first, second}
    assert shell.good("outbox", "drop", second)["state"] == "cancelled"
    assert shell.good("outbox", "show", first)["state"] == "draft"
    explained = shell.good("outbox", "explain", first)
    assert [step["detail"] for step in explained["log"]][1:2] != [None]
    assert shell.good("outbox", "approve", first)["state"] == "queued"
    for verb in ("retry", "confirm", "approve"):
        refused = shell("outbox", verb, second).sentence
        assert refused.startswith(f"The post {second} was cancelled")
    return [alike(answer) for answer in said]


def test_every_command_answers_the_same_beside_the_bot_as_alone(
    speaking: Shell, trained_data: Path, timeline: Callable[..., Path], tmp_path: Path
) -> None:
    file = timeline("kevin", 40)
    sitting = Sitting(speaking)
    alone = a_day(sitting, file)
    shutil.rmtree(speaking.data)
    shutil.copytree(trained_data, speaking.data)
    running = speaking.start("run")
    assert running.stderr is not None
    while "running" not in running.stderr.readline():
        pass
    beside = a_day(sitting, file)
    assert beside == alone
    posted = speaking.until(lambda: speaking.good("feed")["entries"])
    assert [entry["text"] for entry in posted] == ["the gull has the floor"]
    running.send_signal(signal.SIGTERM)
    said = speaking.end(running)
    assert (said.status, "Traceback" in said.err) == (0, False)


def test_two_commands_at_once_beside_the_bot_are_both_done(speaking: Shell, bot: subprocess.Popen[str]) -> None:
    asked = [speaking.start("imitate", HANDLE, "-n", "3", "--seed", str(seed), "--json") for seed in (7, 8, 7)]
    asked.append(speaking.start("schedule", "add", HANDLE, "--every", "1h", "--json"))
    said = [speaking.end(process) for process in asked]
    assert [one.status for one in said] == [0] * 4, said
    assert said[0].json["candidates"] == said[2].json["candidates"] != said[1].json["candidates"]


def killed_meanwhile(shell: Shell, bot: subprocess.Popen[str], *command: str) -> Said:
    """A command whose bot is killed as soon as the request stands in the database."""
    asking = shell.start(*command)

    def asked() -> bool:
        connection = sqlite3.connect(f"file:{shell.data}/mockingbird.db?mode=ro", uri=True)
        try:
            return bool(connection.execute("SELECT 1 FROM requests WHERE state = 'running'").fetchone())
        finally:
            connection.close()

    shell.until(asked)
    bot.kill()
    bot.communicate()
    return shell.end(asking)


def test_a_bot_that_is_killed_in_the_middle_leaves_a_clear_error_and_the_request(
    speaking: Shell, bot: subprocess.Popen[str]
) -> None:
    said = killed_meanwhile(speaking, bot, "imitate", HANDLE, "-n", "50", "--seed", "7", "--json")
    assert said.sentence == (
        "The bot stopped before it answered: look what became of it (`mockingbird queue list`, `mockingbird outbox "
        "list`) before you ask again."
    )
    waiting = speaking.good("queue", "list")["requests"]
    assert [(found["kind"], found["state"]) for found in waiting] == [("imitate", "waiting")]
    again = speaking.start("run")
    answer = speaking.until(lambda: speaking.good("queue", "show", str(waiting[0]["request"]))["answer"])
    assert len(answer["candidates"]) == 50
    again.terminate()
    assert speaking.end(again).status == 0


def test_a_training_goes_on_where_the_killed_bot_left_it(speaking: Shell, bot: subprocess.Popen[str]) -> None:
    said = killed_meanwhile(speaking, bot, "train", HANDLE, "--recipe", "quick", "--seed", "9", "--json")
    assert said.sentence.startswith("The bot stopped before it answered")
    trained = speaking.good("train", HANDLE, "--recipe", "quick", "--seed", "9")
    assert (trained["run"], trained["promoted"]) == (2, True)


def test_the_bot_reads_its_configuration_again_when_it_is_asked_to(
    speaking: Shell,
) -> None:
    config = speaking.folder / "config.toml"
    config.write_text("[sampling]\ntop_p = 0.5\n")
    running = speaking.start("run", "--config", str(config))
    assert running.stderr is not None
    while "running" not in running.stderr.readline():
        pass
    config.write_text("[sampling]\ntop_p = 0.6\n[pool]\nhang_seconds = 9.0\n")
    assert speaking.good("config", "reload") == {"applied": ["sampling.top_p"], "needs_restart": ["pool.hang_seconds"]}
    config.write_text("[sampling]\ntop_p = 0.7\n")
    running.send_signal(signal.SIGHUP)
    while "From now on: sampling.top_p." not in running.stderr.readline():
        pass
    config.write_text("[sampling]\ntop_p = 7\n")
    assert "sampling.top_p is 7 but must be" in speaking("config", "reload").sentence
    running.terminate()
    assert speaking.end(running).status == 0
