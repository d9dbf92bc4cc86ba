"""The socket in the data directory: who may open that directory may speak to the bot, and nobody else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "mockingbird.sock"
LONGEST = 100  # bytes; the system takes 108 on Linux and 104 on macOS


@contextmanager
def address(folder: Path) -> Iterator[str]:
    """The socket's path, made short where it is longer than the system takes."""
    path = folder / NAME
    if len(os.fsencode(path)) <= LONGEST:
        yield str(path)
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


def listening(path: str) -> socket.socket:
    """Listens there, in place of a socket that a killed bot left: the directory's lock says that there is no other."""
    found = socket.socket(socket.AF_UNIX)
    try:
        Path(path).unlink(missing_ok=True)
        before = os.umask(0o177)  # so that it never exists with another mode
        try:
            found.bind(path)
        finally:
            os.umask(before)
        found.listen(128)
        found.setblocking(False)
    except BaseException:
        found.close()
        raise
    return found
