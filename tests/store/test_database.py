"""The database keeps what it acknowledged, lets in one process, and says in people's words what is wrong."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlite_utils

from bot.errors import DataDirectoryHeld, DataDirectoryUnusable, DiskFull
from bot.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "data")
    yield opened
    opened.close()


def publish(db: sqlite_utils.Database, name: str, text: str = "hello") -> None:
    db.execute("INSERT INTO feed (outbox_id, author, text, posted_at) VALUES (?, 'jo', ?, 0)", [name, text])


def names(db: sqlite_utils.Database) -> list[str]:
    return [name for (name,) in db.execute("SELECT outbox_id FROM feed ORDER BY id")]


async def test_the_schema_is_fresh_strict_and_durable(database: Database) -> None:
    def look(db: sqlite_utils.Database) -> dict[str, object]:
        def pragma(name: str) -> object:
            return db.execute(f"PRAGMA {name}").fetchone()[0]

        tables = {name: strict for _, name, kind, _, _, strict in db.execute("PRAGMA table_list") if kind == "table"}
        ours = {name: strict for name, strict in tables.items() if not name.startswith(("sqlite_", "_sqlite"))}
        pragmas = ("journal_mode", "synchronous", "foreign_keys", "integrity_check")
        return {"strict": ours} | {name: pragma(name) for name in pragmas}

    found = await database.run(look)
    strict = found.pop("strict")
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "integrity_check": "ok"}
    assert isinstance(strict, dict)
    assert {"timelines", "tweets", "personas", "runs", "jobs", "schedules", "occurrences", "outbox", "feed"} <= set(
        strict
    )
    assert set(strict.values()) == {1}


async def test_strict_tables_and_foreign_keys_refuse_nonsense(database: Database) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value"):
        await database.run(lambda db: db.execute("INSERT INTO timelines VALUES (1, 'shell', 'jo', NULL, 'yesterday')"))
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        await database.run(
            lambda db: db.execute("INSERT INTO tweets VALUES (77, '1', 'text', NULL, 'kept', NULL, NULL)")
        )


async def test_migrations_run_once(tmp_path: Path) -> None:
    for _ in range(2):
        opened = Database(tmp_path)
        applied = await opened.run(lambda db: db.execute("SELECT count(*) FROM _sqlite_migrations").fetchone()[0])
        opened.close()
        assert applied >= 1
    assert not (tmp_path / "mockingbird.db-wal").exists()


async def test_an_exception_rolls_everything_back(database: Database) -> None:
    def half(db: sqlite_utils.Database) -> None:
        publish(db, "a")
        raise KeyError("no")

    with pytest.raises(KeyError) as caught:
        await database.run(half)
    assert caught.value.__cause__ is None
    await database.run(lambda db: publish(db, "b"))
    assert await database.run(names) == ["b"]


async def test_a_function_that_commits_by_itself_is_a_bug_that_shows(database: Database) -> None:
    with pytest.raises(RuntimeError, match="ended the transaction"):
        await database.run(lambda db: db.conn.commit())
    await database.run(lambda db: publish(db, "b"))
    assert await database.run(names) == ["b"]


async def test_functions_run_one_after_another_on_one_thread(database: Database) -> None:
    threads = {await database.run(lambda db: threading.get_ident()) for _ in range(5)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


HOLDER = "import sys, time; from pathlib import Path; from bot.store.database import Database; "


def python(code: str, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER + code, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


async def test_a_second_process_is_told_which_one_holds_the_directory(tmp_path: Path) -> None:
    with python("Database(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()", tmp_path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        begun = time.monotonic()
        with pytest.raises(DataDirectoryHeld) as caught:
            Database(tmp_path)
        assert time.monotonic() - begun < 0.5
        assert caught.value.facts["pid"] == str(other.pid)
        other.kill()
    Database(tmp_path).close()  # the lock of the dead is gone


async def test_the_same_process_cannot_open_it_twice_either(database: Database) -> None:
    with pytest.raises(DataDirectoryHeld, match=f"process {os.getpid()}"):
        Database(database.folder)


WRITER = """
import asyncio
async def main():
    database = Database(Path(sys.argv[1]))
    for n in range(1_000_000):
        sql = "INSERT INTO feed (outbox_id, author, text, posted_at) VALUES (?, 'jo', ?, 0)"
        await database.run(lambda db: db.execute(sql, [f"{sys.argv[2]}-{n}", "x" * 500]))
        print(f"{sys.argv[2]}-{n}", flush=True)
asyncio.run(main())
"""


async def test_kill_9_while_writing_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    for round in range(3):
        with python("exec(sys.argv[3])", tmp_path, f"round{round}", WRITER) as writer:
            assert writer.stdout is not None
            acknowledged += [writer.stdout.readline().strip() for _ in range(50 + 37 * round)]
            writer.send_signal(signal.SIGKILL)
            acknowledged += [line.strip() for line in writer.stdout.readlines() if line.endswith("\n")]
    opened = Database(tmp_path)
    stored = await opened.run(names)
    assert await opened.run(lambda db: db.execute("PRAGMA integrity_check").fetchone()[0]) == "ok"
    opened.close()
    assert set(acknowledged) <= set(stored)
    assert len(stored) - len(acknowledged) <= 3  # at most the one commit per kill of which nobody heard


async def test_a_full_disk_is_said_and_survived_without_reopening(database: Database) -> None:
    await database.run(lambda db: publish(db, "before"))
    pages = await database.run(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
    await database.run(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone())

    def much(db: sqlite_utils.Database) -> None:
        for number in range(100):
            publish(db, f"much-{number}", "x" * 4000)

    for _ in range(2):
        with pytest.raises(DiskFull, match="is full"):
            await database.run(much)
    assert await database.run(names) == ["before"]
    await database.run(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 1000}").fetchone())
    await database.run(much)
    assert len(await database.run(names)) == 101


async def test_a_directory_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataDirectoryUnusable, match="Not a directory"):
        Database(tmp_path / "file" / "data")
    (tmp_path / "mockingbird.db").write_text("this is no database, whatever its name says" * 100)
    with pytest.raises(DataDirectoryUnusable, match="not a database"):
        Database(tmp_path)
    (tmp_path / "mockingbird.db").unlink()
    Database(tmp_path).close()  # the lock was given back
