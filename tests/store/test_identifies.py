"""There are never more sessions in any 24 hours than there may be, and what Discord was last told is known."""

import random
import sqlite3

import pytest
import sqlite_utils

from bot.store import identifies, synced_commands
from bot.store.identifies import WINDOW_MS
from bot.store.migrations import migrations


@pytest.fixture
def db() -> sqlite_utils.Database:
    opened = sqlite_utils.Database(sqlite3.connect(":memory:"))
    migrations.apply(opened)
    return opened


def test_in_any_24_hours_there_are_at_most_so_many(db: sqlite_utils.Database) -> None:
    draw, most, now = random.Random(1), 5, 0
    added: list[int] = []
    for _ in range(300):
        now += draw.randrange(WINDOW_MS // 4)
        at = identifies.room_at(db, now, most)
        if at > now:
            assert len([each for each in added if each > now - WINDOW_MS]) == most
            assert identifies.room_at(db, at - 1, most) == at
            now = at
        assert identifies.room_at(db, now, most) == now
        identifies.add(db, now)
        added.append(now)
        assert identifies.latest(db) == now
        assert identifies.count(db, now - WINDOW_MS) == len([each for each in added if each > now - WINDOW_MS]) <= most
    assert db.execute("SELECT count(*) FROM identifies").fetchone()[0] <= most


def test_there_is_room_where_nothing_was_sent(db: sqlite_utils.Database) -> None:
    assert identifies.latest(db) is None
    assert identifies.room_at(db, 7, 1) == 7


def test_each_application_s_fingerprint_is_the_last(db: sqlite_utils.Database) -> None:
    assert synced_commands.fingerprint(db, "1") is None
    for fingerprint in ("a", "b"):
        synced_commands.put(db, "1", fingerprint, 0)
    synced_commands.put(db, "2", "c", 0)
    assert [synced_commands.fingerprint(db, name) for name in ("1", "2", "3")] == ["b", "c", None]
