"""A stream of a file's bytes: counted as they come, never more than a piece at a time."""

import codecs
import gzip
from collections.abc import Callable, Iterator
from typing import IO

from training.timeline.errors import GET_AGAIN, UnreadableFile

MIB = 1 << 20
CHUNK = 256 * 1024
MOST_BYTES = 4096 * MIB  # of one file or zip member, counted as they are read: a header's word is worth nothing
MOST_RATIO = 200  # unpacked over packed bytes; tweets.js packs 5 to 15 times, a bomb about 1,000 times
RATIO_COUNTS_FROM = 64 * MIB
MOST_RECORD_BYTES = 4 * MIB  # one line or one tweet; parsed, JSON takes up to 25 times its size in memory


def chunks(name: str, stream: IO[bytes] | gzip.GzipFile, packed: Callable[[], int] | None = None) -> Iterator[bytes]:
    """The stream in pieces, refused once it grows past the limits; `packed` tells how many packed bytes it took."""
    read = 0
    while chunk := stream.read(CHUNK):
        read += len(chunk)
        if read > MOST_BYTES:
            raise UnreadableFile(
                f"{name} holds over {MOST_BYTES // MIB:,} MiB; split it and import the pieces one by one."
            )
        if packed and read > RATIO_COUNTS_FROM and read > MOST_RATIO * max(1, packed()):
            raise UnreadableFile(
                f"{name} unpacks to over {MOST_RATIO} times its size, as a zip bomb does; if you trust it, unpack it "
                "yourself and give what was in it."
            )
        yield chunk


def decoded(name: str, pieces: Iterator[bytes]) -> Iterator[str]:
    """The pieces as text, a byte order mark in front dropped; a character may be cut in two by their ends."""
    try:
        yield from codecs.iterdecode(pieces, "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{name} is not UTF-8 text; {GET_AGAIN}, or save it as UTF-8.") from error


def lines(name: str, pieces: Iterator[bytes]) -> Iterator[tuple[int, str]]:
    """Numbered lines from 1 with their ends kept; split at newlines only, as JSON may hold other line separators."""
    rest, number = b"", 0
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            number += 1
            yield number, _line(name, number, line + b"\n")
        if len(rest) > MOST_RECORD_BYTES:
            _line(name, number + 1, rest)
    if rest:
        yield number + 1, _line(name, number + 1, rest)


def _line(name: str, number: int, line: bytes) -> str:
    if len(line) > MOST_RECORD_BYTES:
        limit = MOST_RECORD_BYTES // MIB
        raise UnreadableFile(f"{name}, line {number} is over {limit} MiB, so not one tweet a line; export it again.")
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{name}, line {number} is not UTF-8 text; save the file as UTF-8.") from error
