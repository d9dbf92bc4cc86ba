"""Schedules are due, paused and removed; each of their due moments exists once."""

import sqlite3

import pytest
import sqlite_utils

from bot.domain import OccurrenceState, Schedule
from bot.errors import UnknownSchedule
from bot.store import occurrences, personas, schedules, timelines
from bot.store.migrations import migrations


@pytest.fixture
def db() -> sqlite_utils.Database:
    opened = sqlite_utils.Database(sqlite3.connect(":memory:"))
    opened.execute("PRAGMA foreign_keys = ON")
    migrations.apply(opened)
    timelines.hold(opened, "jo", None, [], now=1)
    personas.create(opened, ["jo"], now=1)
    return opened


def add(db: sqlite_utils.Database, next_due: int = 100) -> Schedule:
    return schedules.add(db, 1, "local", "feed", "every 60s", "UTC", "so,", now=40, next_due=next_due)


def test_a_schedule_is_kept_as_it_was_made(db: sqlite_utils.Database) -> None:
    made = add(db)
    assert made == Schedule(1, 1, "local", "feed", "every 60s", "UTC", "so,", anchor=40, next_due=100, paused=False)
    assert schedules.get(db, 1) == made
    assert schedules.every(db) == [made]


def test_what_is_due_comes_in_order_and_moves_on(db: sqlite_utils.Database) -> None:
    late, early, future = add(db, 90), add(db, 80), add(db, 101)
    assert schedules.due(db, 100) == [early, late]
    assert schedules.due(db, 100, limit=1) == [early]
    assert schedules.earliest(db) == 80
    schedules.advance(db, early.id, 200)
    schedules.advance(db, late.id, None)
    assert schedules.due(db, 150) == [future]
    assert schedules.earliest(db) == 101


def test_a_paused_schedule_is_not_due(db: sqlite_utils.Database) -> None:
    made = add(db)
    occurrences.add(db, made.id, "k", 100, OccurrenceState.DUE)
    schedules.pause(db, made.id)
    assert (schedules.due(db, 1000), occurrences.due(db), schedules.earliest(db)) == ([], [], None)
    assert occurrences.miss_late(db, "late", now=500, max_late_ms=0) == []
    schedules.resume(db, made.id, 1100)
    assert schedules.earliest(db) == 1100
    assert len(occurrences.due(db)) == 1


def test_a_due_moment_exists_once_and_ends_once(db: sqlite_utils.Database) -> None:
    made = add(db)
    first = occurrences.add(db, made.id, "2026-11-01T01:45", 100, OccurrenceState.DUE)
    assert first is not None
    assert occurrences.add(db, made.id, "2026-11-01T01:45", 3700, OccurrenceState.DUE) is None
    assert occurrences.due(db) == [first]
    assert occurrences.settle(db, first.id, OccurrenceState.FAILED, "no words")
    assert not occurrences.settle(db, first.id, OccurrenceState.QUEUED)
    assert db.execute("SELECT state, reason FROM occurrences").fetchall() == [("failed", "no words")]


def test_removing_takes_the_occurrences_along_and_the_id_never_returns(db: sqlite_utils.Database) -> None:
    made = add(db)
    occurrences.add(db, made.id, "k", 100, OccurrenceState.DUE)
    schedules.remove(db, made.id)
    assert occurrences.due(db) == []
    assert add(db).id > made.id


def test_an_unknown_schedule_is_said(db: sqlite_utils.Database) -> None:
    for change in (schedules.pause, schedules.remove):
        with pytest.raises(UnknownSchedule, match="no schedule 9"):
            change(db, 9)


def test_every_persona_has_its_turn_the_longest_overdue_first(db: sqlite_utils.Database) -> None:
    timelines.hold(db, "al", None, [], now=1)
    personas.create(db, ["al"], now=1)
    many = [add(db) for _ in range(3)]
    other = schedules.add(db, 2, "local", "feed", "every 60s", "UTC", "", now=40, next_due=100)
    for number, made in enumerate([*many, other]):
        occurrences.add(db, made.id, "k", 100 + number, OccurrenceState.DUE)
    due = occurrences.due(db)
    assert [found.schedule_id for found in due] == [many[0].id, other.id, many[1].id, many[2].id]
    assert occurrences.due(db, without={due[0].id, due[2].id}) == [due[3], due[1]]


def test_what_is_being_spoken_is_not_overtaken(db: sqlite_utils.Database) -> None:
    made = add(db)
    spoken, waiting, last = (occurrences.add(db, made.id, key, at, OccurrenceState.DUE) for at, key in enumerate("abc"))
    assert spoken is not None
    assert waiting is not None
    assert last is not None
    assert [found.id for found in occurrences.overtake(db, last, "late", {spoken.id})] == [waiting.id]
    assert occurrences.due(db) == [spoken, last]


def test_lateness_is_that_of_the_schedule_or_else_the_usual(db: sqlite_utils.Database) -> None:
    for limit in (None, 1, 100):
        made = schedules.add(db, 1, "local", "feed", "every 60s", "UTC", "", now=40, next_due=100, max_late_s=limit)
        occurrences.add(db, made.id, "k", 1_000, OccurrenceState.DUE)
    missed = occurrences.miss_late(db, "late", now=12_000, max_late_ms=11_000)
    assert [found.schedule_id for found in missed] == [2]
    assert occurrences.miss_late(db, "late", now=12_001, max_late_ms=11_000, schedule_id=3) == []
    assert [found.schedule_id for found in occurrences.miss_late(db, "late", now=12_001, max_late_ms=11_000)] == [1]
