"""Errors: why a file cannot be read as a timeline, and what its owner can do, in sentences."""

import gzip
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

FORMATS = "an X archive (.zip or its folder), tweets.js, .jsonl, .jsonl.gz or .csv"
GET_ARCHIVE = "on X choose Settings, Your account, Download an archive of your data, and give that zip as it came"
GET_AGAIN = "copy or download it again"


class UnreadableFile(ValueError):
    """This file cannot be read as a timeline. (The message says why, and what to do.)"""


class NeedsHandle(UnreadableFile):
    """The file leaves open whose tweets to take: name the author with --handle."""


class BadHandle(ValueError):
    """This is not a handle of X: 1 to 15 letters, digits or underscores."""


@contextmanager
def plainly(name: str) -> Iterator[None]:
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
        raise UnreadableFile(f"{name} is cut off or damaged ({reason(error)}); {GET_AGAIN}.") from error
    except OSError as error:
        raise UnreadableFile(f"{name} cannot be read ({reason(error)}); check the disk and its permissions.") from error


def reason(error: Exception) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error).rstrip(".")


def some(names: Iterable[str]) -> str:
    """The first six names, for a sentence."""
    listed = [name[:60] for name in islice(names, 7)]
    return ", ".join(listed[:6]) + (", ..." if len(listed) > 6 else "")
