"""The database: one file, one lock, one connection on one thread, one transaction per function handed to it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn, TypeVar

import sqlite_utils

from bot.errors import DatabaseBusy, DataDirectoryHeld, DataDirectoryUnusable, DiskFull
from bot.store.migrations import migrations

FULL = {errno.ENOSPC, errno.EDQUOT}
# How a full disk or quota shows besides SQLITE_FULL: while writing, and while enlarging the shared memory of the log.
FULL_CODES = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
UNUSABLE_CODES = {
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}

T = TypeVar("T")
Db = sqlite_utils.Database  # what a transaction is given; the other layers know it by this name only
Transaction = Callable[[Db], T]


class Database:
    """Runs plain functions `fn(db)` inside `BEGIN IMMEDIATE`, one after another, on a thread of its own.

    SQLite before 3.51.3 can corrupt a WAL file when two connections write and checkpoint at once
    (sqlite.org/wal.html#walresetbug); one connection on one thread, behind one lock file, rules that out.
    """

    def __init__(self, folder: Path) -> None:
        """Takes the lock of the data directory `folder` (made if absent) and brings the schema up to date; raises
        DataDirectoryHeld when another process has the lock."""
        self.folder = folder
        self._lock = take_lock(folder)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        try:
            self._db = self._thread.submit(open_database, folder / "mockingbird.db").result()
        except BaseException as error:
            self._thread.shutdown()
            os.close(self._lock)
            raise_for_people(error, folder)

    async def run(self, fn: Transaction[T]) -> T:
        """Runs `fn` in a transaction and returns its result; an exception rolls it back. A caller that is cancelled
        must not conclude that nothing was written: the function may still finish."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._transact, fn)

    def _transact(self, fn: Transaction[T]) -> T:
        connection = self._db.conn
        try:
            self._db.execute("BEGIN IMMEDIATE")
            result = fn(self._db)
            if not connection.in_transaction:
                raise RuntimeError(f"{fn!r} ended the transaction that it was given")
            connection.commit()
            return result
        except BaseException as error:
            # After some errors SQLite has rolled back by itself, and with a full disk this attempt may fail as well:
            # what went wrong first is what people must hear.
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()
            raise_for_people(error, self.folder)

    async def fold(self) -> None:
        """Folds the write-ahead log into the file and empties it: no bytes of what was removed stay in it."""
        await asyncio.get_running_loop().run_in_executor(self._thread, fold, self._db)

    def close(self) -> None:
        """Waits for what was handed in, folds the write-ahead log into the file and gives the lock back."""
        try:
            self._thread.submit(self._db.conn.close).result()
        finally:
            self._thread.shutdown()
            os.close(self._lock)


def take_lock(folder: Path) -> int:
    """Locks `folder` for this process; the lock file holds the process id, for the message only."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DataDirectoryUnusable(folder=folder, reason=error.strerror) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    except BlockingIOError:
        pid = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise DataDirectoryHeld(folder=folder, pid=pid) from None
    except OSError as error:
        os.close(lock)
        if error.errno in FULL:
            raise DiskFull(folder=folder) from error
        raise DataDirectoryUnusable(folder=folder, reason=error.strerror) from error
    return lock


def open_database(path: Path) -> sqlite_utils.Database:
    """Opens the file with our pragmas and applies pending migrations."""
    connection = sqlite3.connect(path, timeout=10.0)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")  # who is forgotten leaves no bytes behind
        connection.execute(f"PRAGMA journal_size_limit = {64 * 2**20}")
        db = sqlite_utils.Database(connection)
        # Keys are on only then: to make a table anew while others point to it would remove their rows
        # (sqlite.org/lang_altertable.html#otheralter).
        migrations.apply(db)
        fold(db)  # what a kill left in the log
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return db


def fold(db: sqlite_utils.Database) -> None:
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def raise_for_people(error: BaseException, folder: Path) -> NoReturn:
    """Raises what SQLite or the system says of a full disk or an unusable file as our own error, the rest as it is."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None) or 0
        if code in FULL_CODES or code & 0xFF == sqlite3.SQLITE_FULL:
            raise DiskFull(folder=folder) from error
        if code & 0xFF == sqlite3.SQLITE_BUSY:
            raise DatabaseBusy(folder=folder) from error
        if code & 0xFF in UNUSABLE_CODES:
            raise DataDirectoryUnusable(folder=folder, reason=str(error)) from error
    if isinstance(error, OSError) and error.errno in FULL:
        raise DiskFull(folder=folder) from error
    raise error
