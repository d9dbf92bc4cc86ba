"""The members of an X archive, in a folder or in a zip; only those that are asked for are opened."""

import re
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from training.timeline.errors import GET_AGAIN, GET_ARCHIVE, UnreadableFile, plainly
from training.timeline.stream import MIB, chunks

MOST_DIRECTORY_BYTES = 32 * MIB  # a zip's table of contents, some 250,000 files; zipfile holds it all in memory


class Members(Protocol):
    """The files of an archive, packed or not."""

    names: list[str]

    def chunks(self, member: str) -> Iterator[bytes]: ...


class Folder:
    """An unpacked archive, or its `data` folder alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data = path / "data" if (path / "data").is_dir() else path
        with plainly(path.name):
            self.names = [f"data/{file.name}" for file in self._data.iterdir()]

    def chunks(self, member: str) -> Iterator[bytes]:
        name = f"{self._path.name}/{member}"
        with plainly(name), (self._data / member.removeprefix("data/")).open("rb") as file:
            yield from chunks(name, file)


class Zip:
    """An archive as X gives it; read in place, nothing is ever unpacked to disk. Closing the file is the caller's."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        _refuse_huge_directory(name, file)
        self._name = name
        self._size = file.seek(0, 2)
        self._packed = zipfile.ZipFile(file)
        for member in self._packed.infolist():
            _refuse_unsafe(name, member)
        self.names = self._packed.namelist()

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
            yield from chunks(name, stream, lambda: packed_size)


def _refuse_unsafe(name: str, member: zipfile.ZipInfo) -> None:
    path = member.orig_filename
    outside = path.startswith(("/", "\\")) or re.match("[A-Za-z]:", path) or ".." in re.split(r"[/\\]", path)
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        problem = "points outside of the archive" if outside else "is a link"
        raise UnreadableFile(f"{name} holds {path[:80]!r}, which {problem}, so X did not make it; {GET_ARCHIVE}.")


def _refuse_huge_directory(name: str, file: BinaryIO) -> None:
    """Look at the size of a zip's table of contents before zipfile loads it (APPNOTE.TXT 4.3.14 and 4.3.16)."""
    end = file.seek(0, 2)
    file.seek(max(0, end - (1 << 16) - 98))
    tail = file.read()
    at = len(tail) - 22 if tail[-22:-18] == b"PK\x05\x06" and tail.endswith(b"\0\0") else tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise UnreadableFile(f"{name} is cut off: a zip ends with a table of contents, and it has none; {GET_AGAIN}.")
    size = int.from_bytes(tail[at + 12 : at + 16], "little")
    if tail[max(0, at - 20) : at].startswith(b"PK\x06\x07"):  # zip64: the size stands 56 bytes further ahead
        size = int.from_bytes(tail[max(0, at - 36) : max(0, at - 28)], "little")
    if size > MOST_DIRECTORY_BYTES:
        raise UnreadableFile(f"{name} holds too many files to be listed in memory; unpack it and give the folder.")
