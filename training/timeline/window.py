"""A window on a long JSON text: it slides along the text, so that memory holds one record and one piece."""

import json
import re
from collections.abc import Iterator

from training.timeline.errors import GET_AGAIN, UnreadableFile
from training.timeline.stream import CHUNK, MIB, MOST_RECORD_BYTES, decoded

_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\r\n]+")


class Window:
    """The stretch of the text that is being parsed; what was taken is forgotten."""

    def __init__(self, name: str, pieces: Iterator[bytes]) -> None:
        self.name = name
        self._texts = decoded(name, pieces)
        self._text = ""
        self._at = 0

    def peek(self) -> str:
        """The next character that is not blank, or nothing at the end."""
        while True:
            if blanks := _BLANKS.match(self._text, self._at):
                self._at = blanks.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(CHUNK):
                return ""

    def take(self) -> str:
        """What `peek` gives, passed by."""
        mark = self.peek()
        self._at += len(mark)
        return mark

    def skip(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The match that begins at the next character, of 512 at most, passed by; None if there is none."""
        self.peek()
        while len(self._text) - self._at < 512 and self._more(512):
            pass  # a stream may give less than was asked for
        if found := pattern.match(self._text, self._at):
            self._at = found.end()
        return found

    def value(self) -> object:
        """The JSON value that begins here, passed by; UnreadableFile if it is broken, too long or too deep."""
        while True:
            try:
                value, self._at = _DECODER.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise UnreadableFile(f"{self.name} is nested too deep to hold tweets; {GET_AGAIN}.") from error
            except json.JSONDecodeError as error:
                # Only an error at the window's end can be cured by reading on (16 covers every literal and escape).
                at_end = error.pos >= len(self._text) - 16 or error.msg.startswith("Unterminated string")
                if not at_end:
                    raise self.broken() from error
                self._read_on()
            except ValueError as error:  # a number of thousands of digits
                raise self.broken() from error
            else:
                return value

    def broken(self) -> UnreadableFile:
        problem = "is not valid JSON" if self.peek() else "is cut off in the middle"
        return UnreadableFile(f"{self.name} {problem}; {GET_AGAIN}.")

    def _read_on(self) -> None:
        size = len(self._text) - self._at
        if size > MOST_RECORD_BYTES:
            limit = MOST_RECORD_BYTES // MIB
            raise UnreadableFile(f"{self.name} holds a record over {limit} MiB, no tweet; {GET_AGAIN}.")
        # Twice as much each time, so that a long record is not parsed over and over.
        if not self._more(max(CHUNK, min(size, MOST_RECORD_BYTES - size))):
            raise UnreadableFile(f"{self.name} is cut off in the middle; {GET_AGAIN}.")

    def _more(self, least: int) -> bool:
        pieces = [self._text[self._at :]]
        read = 0
        for piece in self._texts:
            pieces.append(piece)
            read += len(piece)
            if read >= least:
                break
        self._text, self._at = "".join(pieces), 0
        return read > 0
