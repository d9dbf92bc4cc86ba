"""JSON objects: the records of a file that holds one a line, or a list of them, each with where it stands."""

import json
import re
from collections.abc import Iterable, Iterator

from training.timeline.errors import FORMATS, GET_AGAIN, GET_ARCHIVE, UnreadableFile
from training.timeline.record import Record, is_record
from training.timeline.stream import lines
from training.timeline.window import Window

_YTD = re.compile(r"window\.YTD\.(\w{1,64})\.part\d+\s*=")


def json_lines(name: str, pieces: Iterator[bytes]) -> Iterator[tuple[str, Record]]:
    for number, line in lines(name, pieces):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except RecursionError as error:
            raise UnreadableFile(f"{name}, line {number} is nested too deep to be a tweet; remove it.") from error
        except ValueError as error:
            if line.endswith("\n"):
                advice = "each line must be one whole JSON object (`jq -c` writes them so)"
            else:
                advice = f"the file may be cut off there: {GET_AGAIN}, or write one JSON object on each line"
            raise UnreadableFile(f"{name}, line {number} is not a whole JSON object; {advice}.") from error
        if not is_record(record):
            raise UnreadableFile(
                f"{name}, line {number} is not a JSON object; write each tweet as one object on a line."
            )
        yield f"line {number}", record


def json_list(name: str, pieces: Iterator[bytes]) -> Iterator[tuple[str, Record]]:
    return _numbered(_objects(Window(name, pieces)))


def ytd_tweets(name: str, pieces: Iterator[bytes], *others: str) -> Iterator[tuple[str, Record]]:
    """The records of a tweets.js, or of the tweet.js of older archives; `others` are further kinds to be taken."""
    return _numbered(ytd_objects(name, pieces, "tweets", "tweet", *others))


def ytd_objects(name: str, pieces: Iterator[bytes], *kinds: str) -> Iterator[Record]:
    """The objects of `window.YTD.<kind>.part0 = [...]`, the form of every file in an X archive."""
    window = Window(name, pieces)
    found = window.skip(_YTD)
    if not found:
        raise UnreadableFile(f"{name} does not begin as a file of an X archive (window.YTD...); {GET_ARCHIVE}.")
    if found[1] not in kinds:
        raise UnreadableFile(f"{name} holds {found[1]!r}, not {kinds[0]!r}; give the data/tweets.js of your archive.")
    yield from _objects(window)


def _objects(window: Window) -> Iterator[Record]:
    """The objects of one JSON list that must be all there is, but for a last semicolon."""
    if window.take() != "[":
        raise UnreadableFile(f"{window.name} does not hold a JSON list; give {FORMATS}.")
    mark = window.take() if window.peek() == "]" else ","
    while mark == ",":
        if window.peek() != "{":
            raise window.broken()
        record = window.value()
        assert is_record(record)
        yield record
        mark = window.take()
    if mark != "]" or window.take() not in ("", ";") or window.peek():
        raise window.broken()


def _numbered(records: Iterable[Record]) -> Iterator[tuple[str, Record]]:
    return ((f"tweet {number}", record) for number, record in enumerate(records, 1))
