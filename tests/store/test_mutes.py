"""A mute silences what its scope says, until its instant, and a banned phrase is held once."""

import sqlite3

import pytest
import sqlite_utils

from bot.store import accounts, mutes, outbox, phrases, places
from bot.store.migrations import migrations


@pytest.fixture
def db() -> sqlite_utils.Database:
    opened = sqlite_utils.Database(sqlite3.connect(":memory:"))
    migrations.apply(opened)
    return opened


def test_the_latest_of_the_mutes_that_apply_counts_and_each_ends_by_itself(db: sqlite_utils.Database) -> None:
    assert mutes.until(db, "x", "jo", "kim", 0) is None
    for scope, until in (("everything", 100), ("persona:kim", 300), ("account:x/jo", 200), ("persona:al", 900)):
        mutes.set_until(db, scope, until, 0)
    assert mutes.until(db, "x", "jo", "kim", 50) == 300
    assert mutes.until(db, "x", "jo", None, 50) == 200
    assert mutes.until(db, "x", "other", None, 50) == 100
    assert mutes.until(db, "local", "jo", None, 100) is None
    assert mutes.until(db, "x", "jo", "kim", 299) == 300
    assert mutes.until(db, "x", "jo", "kim", 300) is None
    assert mutes.every(db, 200) == [("persona:kim", 300), ("persona:al", 900)]


def test_a_new_mute_replaces_an_older_one_and_can_be_lifted(db: sqlite_utils.Database) -> None:
    mutes.set_until(db, "everything", 500, 0)
    mutes.set_until(db, "everything", 200, 0)
    assert mutes.until(db, "x", "jo", None, 0) == 200
    assert mutes.lift(db, "everything", 100)
    assert not mutes.lift(db, "everything", 100)
    mutes.set_until(db, "everything", 200, 0)
    assert not mutes.lift(db, "everything", 200)  # it has ended
    mutes.set_until(db, "persona:kim", 900, 300)
    assert db.execute("SELECT count(*) FROM mutes").fetchone()[0] == 1


def test_a_phrase_is_held_once(db: sqlite_utils.Database) -> None:
    assert phrases.add(db, "seven loaves", 1)
    assert not phrases.add(db, "Seven Loaves", 2)
    assert phrases.add(db, "kettle", 3)
    assert phrases.of(db) == ["kettle", "seven loaves"]
    assert phrases.remove(db, "kettle")
    assert not phrases.remove(db, "kettle")
    assert phrases.of(db) == ["seven loaves"]


def test_a_place_sets_sees_and_lifts_its_own_mutes_alone(db: sqlite_utils.Database) -> None:
    for place, until in (("shell", 500), ("discord:1", 100)):
        mutes.set_until(db, "account:discord/7", until, 0, place)
    mutes.set_until(db, "place:discord:1", 300, 0, "discord:1")
    assert mutes.every(db, 0, "discord:1") == [("account:discord/7", 100), ("place:discord:1", 300)]
    assert mutes.every(db, 0) == [("place:discord:1", 300), ("account:discord/7", 500)]
    assert mutes.until(db, "discord", "7", None, 0, "discord:2") == 500
    assert mutes.lift(db, "account:discord/7", 0, "discord:1")
    assert not mutes.lift(db, "account:discord/7", 0, "discord:1")
    assert mutes.until(db, "discord", "7", None, 0, "discord:2") == 500
    assert mutes.lift(db, "account:discord/7", 0)
    assert mutes.until(db, "discord", "7", None, 0, "discord:2") is None


def test_an_account_may_be_of_a_place_unless_another_has_to_do_with_it(db: sqlite_utils.Database) -> None:
    now, later = 1, 9
    outbox.add(db, "discord", "7", "a", {}, "one", now, later, now, place="discord:1")
    outbox.add(db, "discord", "8", "b", {}, "two", now, later, now)
    places.settle(db, "discord:1", places.Settled(("discord", "9")))
    assert all(accounts.may_be_of(db, "discord", account, "discord:1") for account in "789")
    assert [accounts.may_be_of(db, "discord", account, "discord:2") for account in "789"] == [False, True, False]
    assert not accounts.may_be_of(db, "local", "feed", "discord:1")
