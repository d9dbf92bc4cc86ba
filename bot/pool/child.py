"""One child process: how it is started, spoken to and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from pathlib import Path

from models.wire import HEADER, LARGEST, Message, decode, encode

# What a child may see of our environment: nothing that could be a secret.
ALLOWED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
# Threads that wait by spinning starve the other child when both compute on few cores (measured, docs/experiments.md).
FIXED = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0", "HF_HUB_OFFLINE": "1", "PYTHONUTF8": "1"}


class Child:
    """A started child and its end of the socket."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.process, self._reader, self._writer = process, reader, writer

    @classmethod
    async def start(cls, module: str, *arguments: str, log: Path) -> Child:
        """Starts `python -P -m module arguments --fd N`; what it prints goes to the end of `log`."""
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in ALLOWED if name in os.environ} | FIXED
        log.parent.mkdir(parents=True, exist_ok=True)
        with theirs, open(log, "ab") as output:  # noqa: ASYNC230
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
        reader, writer = await asyncio.open_connection(sock=ours)
        return cls(process, reader, writer)

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
        """Closes the socket and asks it to stop, kills it after `grace` seconds; returns its exit status."""
        self._writer.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            return await asyncio.wait_for(self.process.wait(), grace)
        except TimeoutError:
            self.kill()
            return await self.process.wait()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


def ending(status: int) -> str:
    """An exit status in words."""
    return f"killed by signal {-status}" if status < 0 else f"it ended with status {status}"
