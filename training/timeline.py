"""Timelines: the readers that turn an X archive, a lone tweets.js, jsonl or csv into tweets, a piece at a time."""

import codecs
import csv
import gzip
import hashlib
import json
import re
import stat
import sys
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import IO, BinaryIO, Protocol, TypeGuard

from training import clean

MIB = 1 << 20
CHUNK = 256 * 1024
MOST_BYTES = 4096 * MIB  # of one file or zip member, counted as they are read: a header's word is worth nothing
MOST_RATIO = 200  # unpacked over packed bytes; tweets.js packs 5 to 15 times, a bomb about 1,000 times
RATIO_COUNTS_FROM = 64 * MIB
MOST_RECORD_BYTES = 4 * MIB  # one line or one tweet; parsed, JSON takes up to 25 times its size in memory
MOST_DIRECTORY_BYTES = 32 * MIB  # a zip's table of contents, some 250,000 files; zipfile holds it all in memory
MOST_NOTE_BYTES = 64 * MIB  # long posts are held in memory, because they come in another file than their tweets

_FORMATS = "an X archive (.zip or its folder), tweets.js, .jsonl, .jsonl.gz or .csv"
_GET_ARCHIVE = "on X choose Settings, Your account, Download an archive of your data, and give that zip as it came"
_GET_AGAIN = "copy or download it again"
_Record = Mapping[str, object]


class UnreadableFile(ValueError):
    """This file cannot be read as a timeline. (The message says why, and what to do.)"""


class NeedsHandle(UnreadableFile):
    """The file leaves open whose tweets to take: name the author with --handle."""


class BadHandle(ValueError):
    """This is not a handle of X: 1 to 15 letters, digits or underscores."""


@dataclass(frozen=True, slots=True)
class Tweet:
    """One thing that a person wrote; `created_at` in UTC epoch milliseconds, `handle` as the file spells it, no @."""

    id: str
    text: str
    created_at: int | None
    handle: str | None
    display_name: str | None = None
    is_retweet: bool = False
    reply_to: str | None = None
    lang: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """A timeline in huggingtweets' four numbers: downloaded = retweets + short + kept."""

    downloaded: int
    retweets: int
    short: int
    kept: int


def check_handle(raw: str) -> str:
    """The handle without blanks and its leading @, case kept; BadHandle if X could not have given it."""
    handle = raw.strip().removeprefix("@")
    if not re.fullmatch(r"[A-Za-z0-9_]{1,15}", handle):
        raise BadHandle(
            f"{raw[:40]!r} is not a handle: give 1 to 15 letters, digits or underscores, such as @some_name."
        )
    return handle


def count(tweets: Iterable[Tweet]) -> Counts:
    """Count as huggingtweets does; a tweet whose id was already met is not counted again."""
    seen: set[str] = set()
    retweets = short = 0
    for tweet in tweets:
        if tweet.id in seen:
            continue
        seen.add(tweet.id)
        if tweet.is_retweet:
            retweets += 1
        elif clean.is_short(clean.huggingtweets(tweet.text)):
            short += 1
    return Counts(len(seen), retweets, short, kept=len(seen) - retweets - short)


def read_tweets(path: Path, handle: str | None = None) -> Iterator[Tweet]:
    """Every tweet of one author in a file, in the file's order, duplicates included, in little memory.

    The file is read while you iterate, so UnreadableFile may come at any moment, even after the last tweet: store
    what you get in one transaction. `handle` is needed where the file names no author or several (else NeedsHandle).
    """
    wanted = check_handle(handle) if handle is not None else None
    found = 0
    for tweet in _of_one_author(_dispatch(path, wanted), path.name, wanted):
        found += 1
        yield tweet
    if not found:
        raise UnreadableFile(f"{path.name} holds no tweets; give {_FORMATS} that does.")


# --- What kind of file is it? -----------------------------------------------------------------------------------------

_OTHER_KINDS = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"SQLite format 3", "an SQLite database"),
    (b"<", "a web page or XML"),
)


def _dispatch(path: Path, handle: str | None) -> Iterator[Tweet]:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise UnreadableFile(
            f"{path} cannot be opened ({_reason(error)}); check the path and its permissions."
        ) from error
    if stat.S_ISDIR(mode):
        yield from _archive(path.name, _Folder(path), handle)
    elif not stat.S_ISREG(mode):
        raise UnreadableFile(f"{path} is not a file; give {_FORMATS}.")
    else:
        with _plainly(path.name), path.open("rb") as file:
            yield from _from_file(path, file, handle)


def _from_file(path: Path, file: BinaryIO, handle: str | None) -> Iterator[Tweet]:
    head = file.read(512)
    file.seek(0)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        _refuse_huge_directory(path.name, file)
        with zipfile.ZipFile(file) as packed:
            yield from _archive(path.name, _Zip(path.name, packed, path.stat().st_size), handle)
    elif head.startswith(b"\x1f\x8b"):
        inside = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield from _from_text(path.name, inside, _chunks(path.name, unpacked, file.tell), handle)
    else:
        yield from _from_text(path.name, path.name, _chunks(path.name, file), handle)


def _from_text(name: str, inside: str, chunks: Iterator[bytes], handle: str | None) -> Iterator[Tweet]:
    """Read a text file called `name`, which (unpacked) is called `inside`; its suffix says what it should be."""
    head = next(chunks, b"")
    _refuse_other_kinds(name, head)
    whole = _with_head(head, chunks)
    match Path(inside).suffix.lower():
        case ".js":
            if handle is None:
                raise NeedsHandle(f"{name} does not say whose tweets it holds; name the author with --handle.")
            records = _numbered(_ytd_array(name, whole, *_TWEET_KINDS))
        case ".csv":
            records = _csv_rows(name, whole)
        case ".jsonl" | ".ndjson" | ".json":
            is_array = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"["
            records = _numbered(_array(_Window(name, _decoded(name, whole)))) if is_array else _json_lines(name, whole)
        case suffix:
            kind = suffix or "a file without a suffix"
            raise UnreadableFile(f"{name} is {kind}, which is not a timeline; give {_FORMATS}.")
    return (_tweet(record, f"{name}, {where}") for where, record in records)


def _refuse_other_kinds(name: str, head: bytes) -> None:
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        raise UnreadableFile(f"{name} is empty; {_GET_AGAIN}.")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UnreadableFile(f"{name} is UTF-16 text; save it as UTF-8 and try again.")
    for magic, kind in _OTHER_KINDS:
        if text.startswith(magic):
            raise UnreadableFile(f"{name} is {kind}, whatever its name says; give {_FORMATS}.")


# --- Bytes: counted as they come, never more than a piece at a time ---------------------------------------------------


def _with_head(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _chunks(name: str, stream: IO[bytes] | gzip.GzipFile, packed: Callable[[], int] | None = None) -> Iterator[bytes]:
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


def _lines(name: str, chunks: Iterator[bytes]) -> Iterator[tuple[int, str]]:
    """Numbered lines from 1 with their ends kept; split at newlines only, as JSON may hold other line separators."""
    rest, number = b"", 0
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
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


def _decoded(name: str, chunks: Iterator[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    try:
        for chunk in chunks:
            yield decoder.decode(chunk)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{name} is not UTF-8 text; {_GET_AGAIN}, or save it as UTF-8.") from error


@contextmanager
def _plainly(name: str) -> Iterator[None]:
    """Turn what the unpacking libraries raise into sentences."""
    try:
        yield
    except (
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        NotImplementedError,
        UnicodeDecodeError,
    ) as error:
        raise UnreadableFile(f"{name} is cut off or damaged ({_reason(error)}); {_GET_AGAIN}.") from error
    except OSError as error:
        raise UnreadableFile(
            f"{name} cannot be read ({_reason(error)}); check the disk and its permissions."
        ) from error


def _reason(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error).rstrip(".")


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json_lines(name: str, chunks: Iterator[bytes]) -> Iterator[tuple[str, _Record]]:
    for number, line in _lines(name, chunks):
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
                advice = f"the file may be cut off there: {_GET_AGAIN}, or write one JSON object on each line"
            raise UnreadableFile(f"{name}, line {number} is not a whole JSON object; {advice}.") from error
        if not _is_record(record):
            raise UnreadableFile(
                f"{name}, line {number} is not a JSON object; write each tweet as one object on a line."
            )
        yield f"line {number}", record


class _Window:
    """The stretch of a long JSON text that is being parsed; it slides, so memory holds one record and one piece."""

    def __init__(self, name: str, texts: Iterator[str]) -> None:
        self.name = name
        self._texts = texts
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
        mark = self.peek()
        self._at += len(mark)
        return mark

    def skip(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self.peek()
        while len(self._text) - self._at < 512 and self._more(512):
            pass  # a stream may give less than was asked for
        if found := pattern.match(self._text, self._at):
            self._at = found.end()
        return found

    def value(self) -> object:
        while True:
            try:
                value, self._at = _DECODER.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise UnreadableFile(f"{self.name} is nested too deep to hold tweets; {_GET_AGAIN}.") from error
            except json.JSONDecodeError as error:
                # Only an error at the window's end can be cured by reading on (16 covers every literal and escape).
                at_end = error.pos >= len(self._text) - 16 or error.msg.startswith("Unterminated string")
                self._read_on(error if not at_end else None)
            except ValueError as error:  # a number of thousands of digits
                self._read_on(error)
            else:
                return value

    def broken(self) -> UnreadableFile:
        problem = "is not valid JSON" if self.peek() else "is cut off in the middle"
        return UnreadableFile(f"{self.name} {problem}; {_GET_AGAIN}.")

    def _read_on(self, error: ValueError | None) -> None:
        if error:
            raise self.broken() from error
        size = len(self._text) - self._at
        if size > MOST_RECORD_BYTES:
            raise UnreadableFile(
                f"{self.name} holds a record over {MOST_RECORD_BYTES // MIB} MiB, no tweet; {_GET_AGAIN}."
            )
        # Twice as much each time, so that a long record is not parsed over and over.
        if not self._more(max(CHUNK, min(size, MOST_RECORD_BYTES - size))):
            raise UnreadableFile(f"{self.name} is cut off in the middle; {_GET_AGAIN}.")

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


_DECODER = json.JSONDecoder()
_BLANKS = re.compile(r"[ \t\r\n]+")
_YTD = re.compile(r"window\.YTD\.(\w{1,64})\.part\d+\s*=")


def _array(window: _Window) -> Iterator[_Record]:
    """The objects of one JSON list that must be all there is, but for a last semicolon."""
    if window.take() != "[":
        raise UnreadableFile(f"{window.name} does not hold a JSON list; give {_FORMATS}.")
    mark = window.take() if window.peek() == "]" else ","
    while mark == ",":
        if window.peek() != "{":
            raise window.broken()
        record = window.value()
        assert _is_record(record)
        yield record
        mark = window.take()
    if mark != "]" or window.take() not in ("", ";") or window.peek():
        raise window.broken()


def _ytd_array(name: str, chunks: Iterator[bytes], *kinds: str) -> Iterator[_Record]:
    """The objects of `window.YTD.<kind>.part0 = [...]`, the form of every file in an X archive."""
    window = _Window(name, _decoded(name, chunks))
    found = window.skip(_YTD)
    if not found:
        raise UnreadableFile(f"{name} does not begin as a file of an X archive (window.YTD...); {_GET_ARCHIVE}.")
    if found[1] not in kinds:
        raise UnreadableFile(f"{name} holds {found[1]!r}, not {kinds[0]!r}; give the data/tweets.js of your archive.")
    yield from _array(window)


def _numbered(records: Iterable[_Record]) -> Iterator[tuple[str, _Record]]:
    return ((f"tweet {number}", record) for number, record in enumerate(records, 1))


def _is_record(value: object) -> TypeGuard[_Record]:
    return isinstance(value, dict)


# --- CSV --------------------------------------------------------------------------------------------------------------


class _RowLines:
    """The lines that a CSV reader takes, with a limit on how many may go into one row."""

    def __init__(self, name: str, chunks: Iterator[bytes]) -> None:
        self._name = name
        self._lines = _lines(name, chunks)
        self.row_length = 0

    def __iter__(self) -> Iterator[str]:
        for number, line in self._lines:
            self.row_length += len(line)
            if self.row_length > MOST_RECORD_BYTES:
                raise UnreadableFile(
                    f"{self._name}, line {number}: the row never ends; check its quotes, or export again."
                )
            yield line


def _csv_rows(name: str, chunks: Iterator[bytes]) -> Iterator[tuple[str, _Record]]:
    source = _RowLines(name, chunks)
    lines = iter(source)
    first = next(lines)
    delimiter = max(",;\t", key=first.count)  # spreadsheets in half of Europe write semicolons
    reader = csv.reader(chain([first], lines), delimiter=delimiter)
    header: list[str] = []
    while (row := _next_row(name, reader)) is not None:
        source.row_length = 0
        if not header:
            header = _header(name, row)
        elif any(row[len(header) :]):
            raise UnreadableFile(
                f"{name}, line {reader.line_num} has {len(row)} cells under {len(header)} columns; put texts that hold "
                f"{delimiter!r} in double quotes."
            )
        elif any(row):
            yield f"line {reader.line_num}", dict(zip(header, row, strict=False))


def _next_row(name: str, reader: "_CsvReader") -> list[str] | None:
    try:
        return next(reader, None)
    except csv.Error as error:
        raise UnreadableFile(
            f"{name}, line {reader.line_num} is not CSV ({error}); look for a quote that is never closed."
        ) from error


class _CsvReader(Protocol):
    """What csv.reader returns; its own type has no public name."""

    line_num: int

    def __next__(self) -> list[str]: ...


def _header(name: str, row: list[str]) -> list[str]:
    header = [column.strip().lower() for column in row]
    if not set(header) & set(_TEXT):
        raise UnreadableFile(
            f"{name} has the columns {_some(header)}; its first line must name {_either(_TEXT)}, "
            f"and if it can {_either(_ID)}, {_either(_DATE)}, and {_either(_AUTHOR)}."
        )
    return header


# --- X archives -------------------------------------------------------------------------------------------------------

_TWEET_KINDS = ("tweets", "tweet")
_TWEET_FILES = ("data/tweets.js", "data/tweet.js")


class _Members(Protocol):
    """The files of an archive, packed or not; only those that are asked for are opened."""

    names: list[str]

    def chunks(self, member: str) -> Iterator[bytes]: ...


class _Folder:
    """An unpacked archive, or its `data` folder alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = path / "data" if (path / "data").is_dir() else path
        with _plainly(path.name):
            self.names = [f"data/{file.name}" for file in self._data.iterdir()]

    def chunks(self, member: str) -> Iterator[bytes]:
        name = f"{self._path.name}/{member}"
        with _plainly(name), (self._data / member.removeprefix("data/")).open("rb") as file:
            yield from _chunks(name, file)


class _Zip:
    """An archive as X gives it; read in place, nothing is ever unpacked to disk."""

    def __init__(self, name: str, packed: zipfile.ZipFile, size: int) -> None:
        self._name = name
        self._packed = packed
        self._size = size
        for member in packed.infolist():
            _refuse_unsafe(name, member)
        self.names = packed.namelist()

    def chunks(self, member: str) -> Iterator[bytes]:
        entry = self._packed.getinfo(member)
        name = f"{self._name}/{member}"
        if entry.flag_bits & 0x1:
            raise UnreadableFile(f"{name} is encrypted; unpack it with its password and give the folder.")
        # Other methods are refused because LZMA's window may ask for gigabytes, and Python lacks Deflate64.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnreadableFile(f"{name} is packed by a method that is not read here; unpack it and give the folder.")
        packed_size = min(entry.compress_size, self._size)
        with self._packed.open(entry) as stream:
            yield from _chunks(name, stream, lambda: packed_size)


def _refuse_unsafe(name: str, member: zipfile.ZipInfo) -> None:
    path = member.orig_filename
    outside = path.startswith(("/", "\\")) or re.match("[A-Za-z]:", path) or ".." in re.split(r"[/\\]", path)
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        problem = "points outside of the archive" if outside else "is a link"
        raise UnreadableFile(f"{name} holds {path[:80]!r}, which {problem}, so X did not make it; {_GET_ARCHIVE}.")


def _refuse_huge_directory(name: str, file: BinaryIO) -> None:
    """Look at the size of a zip's table of contents before zipfile loads it (APPNOTE.TXT 4.3.14 and 4.3.16)."""
    end = file.seek(0, 2)
    file.seek(max(0, end - (1 << 16) - 98))
    tail = file.read()
    file.seek(0)
    at = len(tail) - 22 if tail[-22:-18] == b"PK\x05\x06" and tail.endswith(b"\0\0") else tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise UnreadableFile(f"{name} is cut off: a zip ends with a table of contents, and it has none; {_GET_AGAIN}.")
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    if tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):  # zip64: the size stands 56 bytes further ahead
        size = int.from_bytes(tail[max(0, at - 36) : max(0, at - 28)], "little")
    if size > MOST_DIRECTORY_BYTES:
        raise UnreadableFile(f"{name} holds too many files to be listed in memory; unpack it and give the folder.")


def _archive(name: str, members: _Members, handle: str | None) -> Iterator[Tweet]:
    root, files = _tweet_files(name, members.names)
    author, display_name = handle, None
    if f"{root}data/account.js" in members.names:
        author, display_name = _account(f"{name}/data/account.js", members.chunks(f"{root}data/account.js"))
        if handle is not None and handle.lower() != author.lower():
            raise UnreadableFile(
                f"{name} is the archive of @{author}, not of @{handle}; give --handle {author}, or none."
            )
    if author is None:
        raise NeedsHandle(f"{name} has no data/account.js to say whose archive it is; name the author with --handle.")
    notes = _Notes()
    if f"{root}data/note-tweet.js" in members.names:
        notes.read(f"{name}/data/note-tweet.js", members.chunks(f"{root}data/note-tweet.js"))
    for file in files:
        label = f"{name}/{file}"
        for where, record in _numbered(_ytd_array(label, members.chunks(file), *_TWEET_KINDS)):
            yield notes.completed(_tweet(record, f"{label}, {where}", author, display_name))


def _tweet_files(name: str, names: list[str]) -> tuple[str, list[str]]:
    """Where the archive begins inside (people zip their unpacked folder again), and its tweet files in order."""
    found = [(member.removesuffix(file), file) for member in names for file in _TWEET_FILES if _is_at(member, file)]
    if not found:
        hint = "unpack it and give its tweets.csv" if "tweets.csv" in names else _GET_ARCHIVE
        held = f"it holds {_some(names)}" if names else "it holds nothing"
        raise UnreadableFile(f"{name} has no data/tweets.js ({held}), so it is no X archive; {hint}.")
    root, file = min(found, key=lambda place: (len(place[0]), _TWEET_FILES.index(place[1])))
    first = root + file
    part = re.compile(re.escape(first.removesuffix(".js")) + r"-part([0-9]{1,6})\.js")
    parts = sorted({(int(match[1]), member) for member in names if (match := part.fullmatch(member))})
    return root, [first, *(member for _, member in parts)]


def _is_at(member: str, file: str) -> bool:
    return (member == file or member.endswith(f"/{file}")) and not member.startswith("__MACOSX/")


def _account(name: str, chunks: Iterator[bytes]) -> tuple[str, str | None]:
    for record in _ytd_array(name, chunks, "account"):
        account = record.get("account")
        if _is_record(account) and (username := _string(account, "username")):
            return _file_handle(username, name), _string(account, "accountDisplayName")
    raise UnreadableFile(f"{name} names no username; {_GET_ARCHIVE}.")


class _Notes:
    """The full texts of long posts, which an X archive keeps apart from the tweets that hold their beginnings."""

    _KEY = 40

    def __init__(self) -> None:
        self._by_second: defaultdict[int, list[str]] = defaultdict(list)
        self._by_beginning: defaultdict[str, list[str]] = defaultdict(list)

    def read(self, name: str, chunks: Iterator[bytes]) -> None:
        held = 0
        for record in _ytd_array(name, chunks, "note_tweet", "note_tweets"):
            note = record.get("noteTweet")
            core = note.get("core") if _is_record(note) else None
            text = _string(core, "text") if _is_record(core) else None
            if not _is_record(note) or text is None:
                continue
            held += sys.getsizeof(text)
            if held > MOST_NOTE_BYTES:
                raise UnreadableFile(
                    f"{name} holds more long posts than fit in memory; remove it to import without them."
                )
            self._by_beginning[_bare(text)[: self._KEY]].append(text)
            if (written := _epoch_ms(_string(note, "createdAt"))) is not None:
                self._by_second[written // 1000].append(text)

    def completed(self, tweet: Tweet) -> Tweet:
        """The tweet with its full text if a note has it, and else as it was."""
        if tweet.is_retweet or not self._by_beginning:
            return tweet
        cut = _bare(tweet.text)
        for note in self._of_that_moment(tweet.created_at):
            # A thread is posted within one second, so time alone would mix its tweets up.
            if cut and _bare(note).startswith(cut[:20]):
                return replace(tweet, text=note)
        if len(cut) >= self._KEY and ("…" in tweet.text or len(tweet.text) >= 200):
            for note in self._by_beginning.get(cut[: self._KEY], ()):
                if _bare(note).startswith(cut):
                    return replace(tweet, text=note)
        return tweet

    def _of_that_moment(self, created_at: int | None) -> Iterator[str]:
        if created_at is not None:
            second = created_at // 1000
            for near in (second, second - 1, second + 1):
                yield from self._by_second.get(near, ())


def _bare(text: str) -> str:
    """A text for comparing: the tweet has escapes, short links, mentions and an ellipsis where its note has not."""
    return " ".join(clean.mended(text).split()).rstrip("… ")


# --- One record -> one tweet ------------------------------------------------------------------------------------------

_ID = ("id_str", "id", "tweet_id")
_TEXT = ("full_text", "text", "tweet")
_DATE = ("created_at", "timestamp", "date")
_AUTHOR = ("author_handle", "author", "username", "screen_name", "user", "handle")
_RETWEET_FLAGS = ("retweeted", "is_retweet", "isretweet")
_RETWEETED = ("retweeted_status", "retweeted_status_id_str", "retweeted_status_id")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_X_DATE = re.compile(r"\w{3} (\w{3}) (\d\d) (\d\d:\d\d:\d\d) ([+-]\d{4}) (\d{4})")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _tweet(record: _Record, where: str, author: str | None = None, display_name: str | None = None) -> Tweet:
    """Read v1.1, v2 and CSV names alike; `author` is who the archive belongs to, for records that need not say."""
    inner = record.get("tweet")
    record = inner if _is_record(inner) else record
    short_text, note = _string(record, *_TEXT), record.get("note_tweet")
    text = (_string(note, "text") if _is_record(note) else None) or short_text
    if text is None:
        if not set(record) & set(_TEXT):
            hint = " (`jq -c '.data[]'` takes the tweets out of a page of the API)" if "data" in record else ""
            raise UnreadableFile(f"{where} has the fields {_some(record)}; it needs {_either(_TEXT)}{hint}.")
        text = ""
    created_at = _epoch_ms(_string(record, *_DATE))
    if author is None:
        author, display_name = _author(record, where)
    return Tweet(
        id=_id(record, text, created_at),
        text=text,
        created_at=created_at,
        handle=author,
        display_name=display_name,
        is_retweet=(short_text or text).startswith("RT @") or text.startswith("RT @") or _is_flagged(record),
        reply_to=_referenced(record, "replied_to")
        or _string(record, "in_reply_to_status_id_str", "in_reply_to_status_id"),
        lang=_string(record, "lang"),
    )


def _string(record: _Record, *keys: str) -> str | None:
    """The first of these fields that holds a text or a whole number, less lone surrogates, which no database takes."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, str) and value:
            if _SURROGATE.search(value):
                return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            return value
    return None


def _id(record: _Record, text: str, created_at: int | None) -> str:
    """The file's id; without a usable one a hash of text and time, so that importing twice changes nothing."""
    given = (_string(record, *_ID) or "").strip()
    # A spreadsheet turns ids into 1.05E+18, the same for many tweets.
    if given and len(given) <= 64 and not re.fullmatch(r"\d+([.,]\d+)?[eE]\+?\d+", given):
        return given
    return "x" + hashlib.sha256(f"{created_at}\0{text}".encode()).hexdigest()[:20]


def _author(record: _Record, where: str) -> tuple[str | None, str | None]:
    display_name = _string(record, "author_name", "display_name")
    for key in _AUTHOR:
        value = record.get(key)
        if _is_record(value):
            username = _string(value, "username", "screen_name")
            display_name = display_name or _string(value, "name")
        else:
            username = _string(record, key)
        if username:
            return _file_handle(username, where), display_name
    return None, display_name


def _file_handle(username: str, where: str) -> str:
    try:
        return check_handle(username)
    except BadHandle as error:
        raise UnreadableFile(
            f"{where} names the author {username[:40]!r}, which is not a handle; put handles there, or remove "
            "that column and name the author with --handle."
        ) from error


def _is_flagged(record: _Record) -> bool:
    flagged = any(str(record.get(key)).strip().lower() in ("true", "t", "yes", "1") for key in _RETWEET_FLAGS)
    return flagged or any(record.get(key) for key in _RETWEETED) or _referenced(record, "retweeted") is not None


def _referenced(record: _Record, kind: str) -> str | None:
    references = record.get("referenced_tweets")
    for reference in references if isinstance(references, list) else ():
        if _is_record(reference) and reference.get("type") == kind:
            return _string(reference, "id") or ""
    return None


def _epoch_ms(date: str | None) -> int | None:
    """UTC epoch milliseconds of X's own form, of ISO 8601 or of an epoch; None where it is neither."""
    date = (date or "").strip()
    if re.fullmatch(r"\d{9,10}|\d{12,13}", date):
        return int(date) if len(date) > 10 else int(date) * 1000
    if found := _X_DATE.fullmatch(date):
        month, day, time, zone, year = found.groups()
        date = f"{year}-{_MONTHS.get(month, 0):02}-{day}T{time}{zone}"
    try:
        moment = datetime.fromisoformat(re.sub(r" (?=[+-]\d\d:?\d\d$| ?UTC$)", "", date).replace("UTC", "Z"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return None


# --- One author -------------------------------------------------------------------------------------------------------


def _of_one_author(tweets: Iterator[Tweet], name: str, wanted: str | None) -> Iterator[Tweet]:
    authors: dict[str, str] = {}
    unnamed, kept = False, 0
    for tweet in tweets:
        if tweet.handle is None:
            unnamed = True
        elif len(authors) < 3:
            authors.setdefault(tweet.handle.lower(), tweet.handle)
        if unnamed and wanted is None:
            raise NeedsHandle(f"{name} does not say who wrote every tweet; name the author with --handle.")
        if unnamed and authors:
            raise UnreadableFile(f"{name} says who wrote some tweets, but not all; fill the author in or take him out.")
        if len(authors) > 1 and wanted is None:
            raise _several(name, authors, tweets)
        if wanted is None or unnamed or (tweet.handle or "").lower() == wanted.lower():
            kept += 1
            yield replace(tweet, handle=wanted) if unnamed else tweet
    if authors and not kept:
        raise UnreadableFile(f"{name} holds no tweets of @{wanted}, only of {_ats(authors)}; check --handle.")


def _several(name: str, authors: dict[str, str], rest: Iterator[Tweet]) -> NeedsHandle:
    for tweet in islice(rest, 10_000):  # enough to name a third if there is one
        if tweet.handle and len(authors) < 3:
            authors.setdefault(tweet.handle.lower(), tweet.handle)
    return NeedsHandle(f"{name} holds tweets of several people ({_ats(authors)}); choose one with --handle.")


def _ats(authors: Mapping[str, str]) -> str:
    return ", ".join(f"@{author}" for author in authors.values()) + (", ..." if len(authors) > 2 else "")


def _some(names: Iterable[str]) -> str:
    listed = [name[:60] for name in islice(names, 7)]
    return ", ".join(listed[:6]) + (", ..." if len(listed) > 6 else "")


def _either(names: Iterable[str]) -> str:
    return " or ".join(names)
