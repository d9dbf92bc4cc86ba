"""Steps of a process, counted where something becomes visible outside; at a given one it kills itself (SIGKILL)."""

from __future__ import annotations

import asyncio.selector_events
import functools
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp.client_proto

from bot.pool import child


class Steps:
    """Counts, and kills this process when it comes to `last`; `note` then says at what, and afterwards how many there
    were."""

    def __init__(self, last: int | None, note: Path) -> None:
        self.last = last
        self.note = note
        self.count = 0
        self._lock = threading.Lock()

    def step(self, what: str) -> None:
        with self._lock:
            self.count += 1
            if self.count == self.last:
                self.note.write_text(f"{self.count} {what}", "utf-8")
                os.kill(os.getpid(), signal.SIGKILL)

    def end(self) -> None:
        self.note.write_text(f"{self.count} end", "utf-8")

    def around(self, what: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with a step before and one after."""

        @functools.wraps(function)
        def counted(*arguments: Any, **options: Any) -> Any:
            self.step(f"before {what}")
            result = function(*arguments, **options)
            self.step(f"after {what}")
            return result

        return counted

    def install(self) -> None:
        """Counts in this process, from now on: commits, what is sent and received over TCP, renames, and messages to
        and from children."""
        steps = self

        class Connection(sqlite3.Connection):
            def commit(self) -> None:
                if self.in_transaction:
                    steps.step("before a commit")
                    super().commit()
                    steps.step("after a commit")

        sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)  # type: ignore[assignment]
        os.rename = self.around("a rename", os.rename)
        os.replace = self.around("a rename", os.replace)
        transport: Any = asyncio.selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
        transport.write = self.around("sending", transport.write)
        protocol: Any = aiohttp.client_proto.ResponseHandler
        protocol.data_received = self.around("receiving", protocol.data_received)
        protocol.connection_made = self.around("connecting", protocol.connection_made)
        child.encode = self.around("a message to a child", child.encode)
        child.decode = self.around("a message from a child", child.decode)
