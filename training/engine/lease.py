"""The lease on the machine, as the trainer sees it: it computes while it holds it, and looks between two steps."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

from models.inbox import Inbox
from models.wire import Pause, Resume

LONGEST_PAUSE = 5.0  # seconds without the lease, after which the trainer takes a turn all the same: it must get on
TURN = 0.5  # seconds of such a turn, or one step if that takes longer
LOOK_EVERY = 0.1  # seconds between two looks at `stop` while it waits


class Lease:
    """Follows what the bot says on its socket; without a bot, and once it has hung up, the trainer holds the lease."""

    def __init__(self, bot: socket.socket | None, stop: Callable[[], bool]) -> None:
        self.inbox, self.stop = Inbox(bot) if bot is not None else None, stop
        self.held = True
        self.turn_ends = 0.0

    def wait(self) -> float:
        """Waits for the lease, until `stop` says so or the pause is long enough; returns the seconds."""
        self._hear(0.0)
        began = now = time.monotonic()
        if now < self.turn_ends:
            return 0.0
        while not self.held and not self.stop():
            if now - began >= LONGEST_PAUSE:
                self.turn_ends = now + TURN
                break
            self._hear(LOOK_EVERY)
            now = time.monotonic()
        return now - began

    def _hear(self, seconds: float) -> None:
        if self.inbox is None or self.inbox.closed or not select.select([self.inbox.bot], [], [], seconds)[0]:
            return
        for message in self.inbox.arrived(wait=False):
            if isinstance(message, Pause | Resume):
                self.held = isinstance(message, Resume)
        self.held = self.held or self.inbox.closed
