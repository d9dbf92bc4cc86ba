"""The command line as a real process: `shell` runs it on a data directory of its own, with a tiny base."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

MOCKINGBIRD = Path(sys.executable).with_name("mockingbird")
LONGEST = 120.0  # seconds: only a hang takes so long
HANDLE = "gullwatcher"
WORDS = """
the a my our fog lamp gull sea boat bread oven flour rain tea book clock door stair wind night morning keeper kevin
sister neighbour harbour kettle storm light wall garden letter cat ladder paint rope window supper walks sings sleeps
breaks burns waits knows wants steals counts reads forgets slowly again never always today quietly outside upstairs
without before after and but because with under over red cold warm old small strange
""".split()  # noqa: SIM905


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random base with room for a tweet."""
    from tests.factories import Shape, make_base

    return make_base(tmp_path_factory.mktemp("bases") / "tiny", shape=Shape(n_positions=128))


def tweets_of(handle: str, count: int, seed: int) -> list[dict[str, str]]:
    """Invented tweets of eight to fourteen words, about 55 characters each."""
    rng = random.Random(f"{handle} {seed}")
    return [
        {
            "id": str(1_000 + number),
            "text": " ".join(rng.choices(WORDS, k=rng.randint(8, 14))) + ".",
            "created_at": f"2025-{1 + number // 28 % 12:02}-{1 + number % 28:02}T12:00:00Z",
            "author_handle": handle,
        }
        for number in range(count)
    ]


@pytest.fixture
def timeline(tmp_path: Path) -> Callable[..., Path]:
    """Writes a timeline of invented tweets and returns its path."""

    def write(handle: str = HANDLE, count: int = 130, seed: int = 1) -> Path:
        path = tmp_path / f"{handle}.jsonl"
        path.write_text("".join(json.dumps(tweet) + "\n" for tweet in tweets_of(handle, count, seed)), "utf-8")
        return path

    return write


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """What a person is told of a mistake: exit code 1, one line, no traceback, nothing on standard output."""
        assert (self.status, self.out) == (1, ""), self
        assert "Traceback" not in self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.strip()


@dataclass
class Shell:
    """`mockingbird` as a person types it, in a folder, a data directory and an environment of its own."""

    folder: Path
    environ: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self, *arguments: str | bytes | Path, data: bool = True, **options: Any) -> subprocess.Popen[str]:
        """Starts a command and does not wait for it."""
        where = ["--data", self.data] if data else []
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            [MOCKINGBIRD, *where, *arguments], cwd=self.folder, env=self.environ, text=True, **{**pipes, **options}
        )
        self.started.append(process)
        return process

    def __call__(self, *arguments: str | bytes | Path, data: bool = True, **options: Any) -> Said:
        """Runs a command to its end."""
        return self.end(self.start(*arguments, data=data, **options))

    def good(self, *arguments: str | Path) -> Any:
        """Runs a command with --json that must succeed, and returns its object."""
        said = self(*arguments, "--json")
        assert (said.status, said.out.count("\n")) == (0, 1), said
        return said.json

    @staticmethod
    def end(process: subprocess.Popen[str]) -> Said:
        out, err = process.communicate(timeout=LONGEST)
        return Said(process.returncode, out, err)

    @staticmethod
    def until(look: Callable[[], Any]) -> Any:
        """What `look` finds, as soon as it finds something."""
        end = time.monotonic() + LONGEST
        while not (found := look()):
            assert time.monotonic() < end, "it never came"
            time.sleep(0.01)
        return found

    def steps(self, run: int) -> list[int]:
        """The steps that a run has reported so far."""
        try:
            lines = (self.data / "runs" / str(run) / "progress.jsonl").read_text().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [json.loads(line)["step"] for line in lines if line.endswith("\n")]

    def child(self, parent: subprocess.Popen[str], module: str) -> int:
        """The id of the child that runs this module, as soon as there is one."""

        def look() -> int | None:
            assert parent.poll() is None, parent.communicate()
            return next(iter(children(parent.pid, module)), None)

        return int(self.until(look))


SITTING = """
import contextlib, io, json, sys
from bot.cli import main
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main(json.loads(line))
        except SystemExit as stop:
            status = stop.code
    print(json.dumps([status, out.getvalue(), err.getvalue()]), flush=True)
"""


class Sitting(Shell):
    """One command after another in one process: most of what a command takes is the time to import it all."""

    def __init__(self, shell: Shell) -> None:
        super().__init__(shell.folder, shell.environ, shell.started)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [sys.executable, "-c", SITTING]
        self._process = subprocess.Popen(command, cwd=self.folder, env=self.environ, text=True, **pipes)
        self.started.append(self._process)

    def __call__(self, *arguments: str | bytes | Path, data: bool = True, **options: Any) -> Said:
        assert not options
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        where = ["--data", str(self.data)] if data else []
        self._process.stdin.write(json.dumps([*where, *map(str, arguments)]) + "\n")
        self._process.stdin.flush()
        return Said(*json.loads(self._process.stdout.readline()))


def children(pid: int, module: str) -> list[int]:
    """The living children of a process that run this module."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            if (
                int(parent) == pid
                and state != "Z"
                and module.encode() in (folder / "cmdline").read_bytes().split(b"\0")
            ):
                found.append(int(folder.name))
        except (OSError, ValueError):
            pass
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="session")
def environ(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> dict[str, str]:
    """What `mockingbird` is started with, and nothing else of ours, but for where the code under test lies."""
    code = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    return code | {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path_factory.mktemp("home")),
        "OMP_WAIT_POLICY": "passive",
        "HF_HUB_OFFLINE": "1",
        "MOCKINGBIRD__MODEL__BASE": str(tiny_base),
        "MOCKINGBIRD__MODEL__DEVICE": "cpu",
        "MOCKINGBIRD__SAMPLING__MAX_TOKENS": "40",
        "MOCKINGBIRD__TRAINING__WARN_CHARACTERS": "0",
        "MOCKINGBIRD__TRAINING__THREADS": "1",
    }


@pytest.fixture
def shell(tmp_path: Path, environ: dict[str, str]) -> Iterator[Shell]:
    folder = tmp_path / "shell"
    folder.mkdir()
    shell = Shell(folder, dict(environ))
    yield shell
    for process in shell.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def trained_data(tmp_path_factory: pytest.TempPathFactory, environ: dict[str, str]) -> Path:
    """A data directory in which @gullwatcher was trained; tests copy it."""
    shell = Shell(tmp_path_factory.mktemp("trained"), dict(environ))
    file = shell.folder / f"{HANDLE}.jsonl"
    file.write_text("".join(json.dumps(tweet) + "\n" for tweet in tweets_of(HANDLE, 130, 1)), "utf-8")
    shell.good("import", file)
    assert shell.good("train", HANDLE, "--recipe", "quick", "--seed", "7")["promoted"]
    return shell.data


@pytest.fixture
def speaking(shell: Shell, trained_data: Path) -> Shell:
    """A shell whose data directory holds the trained persona gullwatcher, as run 1."""
    shutil.copytree(trained_data, shell.data)
    return shell
