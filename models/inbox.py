"""A child's end of the socket: what the bot says to it."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

from models.wire import HEADER, LARGEST, Message, decode


class Inbox:
    """Cuts the bytes that arrive on the socket into messages, without waiting while there is work to do."""

    def __init__(self, bot: socket.socket) -> None:
        self.bot, self.closed, self._bytes = bot, False, b""

    def arrived(self, wait: bool) -> Iterator[Message]:
        """The messages that are here; waits for at least some bytes if `wait`."""
        while select.select([self.bot], [], [], None if wait else 0)[0]:
            received = self.bot.recv(2**16)
            if not received:
                self.closed = True
                return
            self._bytes += received
            yield from self._whole()
            wait = False

    def _whole(self) -> Iterator[Message]:
        while len(self._bytes) >= HEADER.size:
            (length,) = HEADER.unpack_from(self._bytes)
            if length > LARGEST:
                raise ValueError(f"a frame of {length} bytes")
            if len(self._bytes) < HEADER.size + length:
                return
            body, self._bytes = self._bytes[HEADER.size : HEADER.size + length], self._bytes[HEADER.size + length :]
            yield decode(body)
