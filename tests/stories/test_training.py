"""A training is interrupted in every way there is, and the same command ends it as if nothing had happened."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import HANDLE, Shell, alive

MODULE = "training.engine"
STOPPED = "Stopped; the same command goes on where it stopped.\n"
TRAIN = ("train", HANDLE, "--recipe", "thorough", "--seed", "7", "--json")


def started(shell: Shell, run: int, further: int = 3) -> tuple[subprocess.Popen[str], int, int]:
    """A training that has reported this many further steps: the command, its trainer, and where it went on from."""
    before = shell.steps(run)
    process = shell.start(*TRAIN)

    def look() -> list[int]:
        assert process.poll() is None, process.communicate()
        reported = shell.steps(run)[len(before) :]
        return reported if reported and reported[-1] >= reported[0] + further else []

    first = shell.until(look)[0]
    return process, shell.child(process, MODULE), first


def states(shell: Shell, run: int) -> list[int]:
    return sorted(int(path.name.partition("-")[2]) for path in (shell.data / "runs" / str(run)).glob("state-*"))


def weights(shell: Shell, run: int) -> bytes:
    return (shell.data / "runs" / str(run) / "checkpoint" / "adapter.safetensors").read_bytes()


@pytest.mark.long
def test_an_interrupted_training_ends_with_the_very_weights_of_an_undisturbed_one(
    shell: Shell, tmp_path: Path, timeline: Callable[..., Path]
) -> None:
    file = timeline()
    shell.good("import", file)

    # Ctrl-C: the state is saved, and the trainer is gone when the command is.
    command, trainer, first = started(shell, 1)
    assert first == 1
    command.send_signal(signal.SIGINT)
    said = shell.end(command)
    assert (said.status, said.out, said.err) == (130, "", STOPPED)
    assert not alive(trainer)
    (saved,) = states(shell, 1)
    assert saved >= 3

    # The trainer is killed.
    command, trainer, first = started(shell, 1)
    assert first == saved + 1
    os.kill(trainer, signal.SIGKILL)
    assert shell.end(command).sentence == (
        "The trainer stopped before it was done (killed by signal 9); the same command goes on where it stopped."
    )

    # The command is killed, and takes the trainer along.
    command, trainer, first = started(shell, 1)
    assert first == saved + 1
    command.kill()
    command.communicate()
    shell.until(lambda: not alive(trainer))

    before = len(shell.steps(1))
    done = shell(*TRAIN)
    assert (done.status, done.json["run"], done.json["promoted"]) == (0, 1, True)
    assert shell.steps(1)[before] == saved + 1
    assert states(shell, 1) == []

    undisturbed = Shell(tmp_path / "other", shell.environ)
    undisturbed.folder.mkdir()
    undisturbed.good("import", file)
    assert undisturbed.good(*TRAIN[:-1])["heldout_loss"] == done.json["heldout_loss"]
    assert weights(undisturbed, 1) == weights(shell, 1)


def test_a_trainer_does_not_outlive_a_command_that_was_killed_while_torch_was_loading(
    shell: Shell, timeline: Callable[..., Path]
) -> None:
    shell.good("import", timeline())
    command = shell.start(*TRAIN)
    trainer = shell.child(command, MODULE)
    command.kill()
    command.communicate()
    shell.until(lambda: not alive(trainer))
    assert shell.steps(1) == []


def test_the_bot_carries_on_what_a_command_left_and_what_it_left_itself(
    shell: Shell, timeline: Callable[..., Path]
) -> None:
    shell.good("import", timeline())

    # The command is asked to end, as by a shutdown.
    command, trainer, _ = started(shell, 1)
    command.send_signal(signal.SIGTERM)
    said = shell.end(command)
    assert (said.status, said.out, said.err) == (143, "", STOPPED)
    assert not alive(trainer)
    (saved,) = states(shell, 1)

    # The bot goes on, and is stopped while it trains.
    before = len(shell.steps(1))
    bot = shell.start("run")
    shell.until(lambda: len(shell.steps(1)) > before)
    assert shell.steps(1)[before] == saved + 1
    trainer = shell.child(bot, MODULE)
    bot.send_signal(signal.SIGINT)
    assert shell.end(bot).status == 0
    assert not alive(trainer)
    assert states(shell, 1)[-1] > saved

    saved, before = states(shell, 1)[-1], len(shell.steps(1))
    bot = shell.start("run", "--json")
    assert bot.stderr is not None
    while "training done" not in bot.stderr.readline():
        assert bot.poll() is None
    assert shell.steps(1)[before] == saved + 1
    bot.send_signal(signal.SIGTERM)
    assert shell.end(bot).status == 0
    (persona,) = shell.good("personas")["personas"]
    assert (persona["name"], persona["run_id"]) == (HANDLE, 1)
