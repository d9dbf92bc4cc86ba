"""Read a file or folder, whichever kind of timeline it is, into the tweets of one author."""

import codecs
import gzip
import re
import stat
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from training.timeline.archive import read_archive
from training.timeline.author import of_one_author
from training.timeline.errors import FORMATS, GET_AGAIN, NeedsHandle, UnreadableFile, plainly, reason
from training.timeline.members import Folder, Zip
from training.timeline.notes import NOTE_KINDS
from training.timeline.objects import json_lines, json_list, ytd_tweets
from training.timeline.record import tweet_of
from training.timeline.rows import csv_rows
from training.timeline.stream import chunks
from training.timeline.tweet import Tweet, check_handle

_YTD = re.compile(rb"(\xef\xbb\xbf)?\s*window\.YTD\.")  # a file of an X archive, whatever it is called
_OTHER_KINDS = (
    (b"\x89PNG", "a PNG image", (".png",)),
    (b"\xff\xd8\xff", "a JPEG image", (".jpg", ".jpeg")),
    (b"GIF8", "a GIF image", (".gif",)),
    (b"%PDF", "a PDF document", (".pdf",)),
    (b"Rar!", "a RAR archive", (".rar",)),
    (b"7z\xbc\xaf", "a 7-Zip archive", (".7z",)),
    (b"SQLite format 3", "an SQLite database", (".db", ".sqlite", ".sqlite3")),
    (b"<", "a web page or XML", (".html", ".htm", ".xml")),
)


def read_tweets(path: Path, handle: str | None = None, name: str | None = None) -> Iterator[Tweet]:
    """Every tweet of one author in a file, in the file's order, duplicates included, in little memory; `name` is what
    the file is called, if not as its path says.

    The file is read while you iterate, so UnreadableFile may come at any moment, even after the last tweet: store
    what you get in one transaction. `handle` is needed where the file names no author or several (else NeedsHandle).
    """
    wanted = check_handle(handle) if handle is not None else None
    name = name or path.name
    found = 0
    for tweet in of_one_author(_of_any_kind(path, name, wanted), name, wanted):
        found += 1
        yield tweet
    if not found:
        raise UnreadableFile(f"{name} holds no tweets; give {FORMATS} that does.")


def _of_any_kind(path: Path, name: str, handle: str | None) -> Iterator[Tweet]:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise UnreadableFile(
            f"{path} cannot be opened ({reason(error)}); check the path and its permissions."
        ) from error
    if stat.S_ISDIR(mode):
        yield from read_archive(name, Folder(path), handle)
    elif not stat.S_ISREG(mode):
        raise UnreadableFile(f"{path} is not a file; give {FORMATS}.")
    else:
        with plainly(name), path.open("rb") as file:
            yield from _from_file(name, file, handle)


def _from_file(name: str, file: BinaryIO, handle: str | None) -> Iterator[Tweet]:
    head = file.read(512)
    file.seek(0)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        yield from read_archive(name, Zip(name, file), handle)
    elif head.startswith(b"\x1f\x8b"):
        inside = name[:-3] if name.lower().endswith(".gz") else name
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield from _from_text(name, inside, chunks(name, unpacked, file.tell), handle)
    else:
        yield from _from_text(name, name, chunks(name, file), handle)


def _from_text(name: str, inside: str, pieces: Iterator[bytes], handle: str | None) -> Iterator[Tweet]:
    """Read a text file called `name`, which (unpacked) is called `inside`; its suffix says what it should be."""
    head = next(pieces, b"")
    _refuse_other_kinds(name, head)
    whole = chain([head], pieces)
    match ".js" if _YTD.match(head) else Path(inside).suffix.lower():
        case ".js":
            if handle is None:
                raise NeedsHandle(f"{name} does not say whose tweets it holds; name the author with --handle.")
            records = ytd_tweets(name, whole, *NOTE_KINDS)  # the long posts of a lone note-tweet.js are tweets too
        case ".csv":
            records = csv_rows(name, whole)
        case ".jsonl" | ".ndjson" | ".json":
            is_list = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"["
            records = json_list(name, whole) if is_list else json_lines(name, whole)
        case ".zip" | ".gz" as suffix:
            raise UnreadableFile(f"{name} is no {suffix} file, whatever its name says; {GET_AGAIN}.")
        case suffix:
            kind = suffix or "a file without a suffix"
            raise UnreadableFile(f"{name} is {kind}, which is not a timeline; give {FORMATS}.")
    return (tweet_of(record, f"{name}, {where}") for where, record in records)


def _refuse_other_kinds(name: str, head: bytes) -> None:
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        raise UnreadableFile(f"{name} is empty; {GET_AGAIN}.")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnreadableFile(f"{name} is UTF-16 text; save it as UTF-8 and try again.")
    for magic, kind, suffixes in _OTHER_KINDS:
        if text.startswith(magic):
            told = "" if name.lower().endswith(suffixes) else ", whatever its name says"
            raise UnreadableFile(f"{name} is {kind}{told}; give {FORMATS}.")
