"""One child process: how it is started, spoken to and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

from models.lifeline import PARENT
from models.wire import HEADER, LARGEST, Message, decode, encode

# What a child may see of our environment: nothing that could be a secret.
ALLOWED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH"),
    *("LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"),
)
FIXED = {
    # Threads that wait by spinning starve the other child when both compute on few cores (docs/experiments.md).
    **{"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"},
    # Otherwise Intel's matrix library may share the same product out among threads in another way when the machine is
    # busy, and a resumed training would differ in a last bit.
    "MKL_CBWR": "AUTO",
    **{"HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"},
}

FAILED = 1  # Python's exit status after an exception, and after `raise SystemExit("a sentence")`


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Child:
    """A started child and its end of the socket."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        log: Path,
        log_start: int,
    ) -> None:
        self.process, self._reader, self._writer = process, reader, writer
        self._log, self._log_start = log, log_start

    @classmethod
    async def start(cls, module: str, *arguments: str, log: Path) -> Child:
        """Starts `python -P -m module arguments --fd N`; what it prints goes to the end of `log`."""
        environment = {name: os.environ[name] for name in ALLOWED if name in os.environ} | FIXED
        environment[PARENT] = str(os.getpid())
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as output, contextlib.ExitStack() as undo:  # noqa: ASYNC230
            log_start = output.tell()
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # a folder named `models` where the bot is started must not shadow ours
                    "-m",
                    module,
                    *arguments,
                    "--fd",
                    str(theirs.fileno()),
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=environment,
                    start_new_session=True,  # Ctrl-C is for us; we end our children in order
                )
            undo.callback(send_signal, process, signal.SIGKILL)
            reader, writer = await asyncio.open_connection(sock=ours)
            undo.pop_all()
            return cls(process, reader, writer, log, log_start)

    async def send(self, message: Message) -> None:
        """Raises ConnectionError when the child is gone."""
        self._writer.write(encode(message))
        await self._writer.drain()

    async def receive(self) -> Message | None:
        """The child's next message; None once it has closed its end."""
        try:
            header = await self._reader.readexactly(HEADER.size)
            (length,) = HEADER.unpack(header)
            if length > LARGEST:
                raise ValueError(f"a frame of {length} bytes")
            return decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def end(self, grace: float) -> int:
        """Asks it to stop, kills it after `grace` seconds, and only then closes the socket: a child that cannot tell
        of its progress any more would die before it has saved its work. Returns its exit status."""
        send_signal(self.process, signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), grace)
        except TimeoutError:
            self.kill()
            return await self.process.wait()
        finally:
            self._writer.close()

    def kill(self) -> None:
        send_signal(self.process, signal.SIGKILL)

    def last_words(self) -> str:
        """The last line that it printed, or nothing."""
        try:
            with open(self._log, "rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""

    def ending(self, status: int) -> str:
        """How it ended, in words: those of its own if an error ended it."""
        if status < 0:
            return f"killed by signal {-status}"
        return (self.last_words() if status == FAILED else "") or f"it ended with status {status}"


def send_signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """What its own method does, except that this one first polls the process, and one that has just died would be
    reaped behind asyncio's back, which then reports status 255 for it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
