"""A persona is found by its handles, however people write them."""

import sqlite3

import pytest
import sqlite_utils

from bot.errors import UnknownHandle
from bot.store import personas, runs, timelines
from bot.store.migrations import migrations


@pytest.fixture
def db() -> sqlite_utils.Database:
    opened = sqlite_utils.Database(sqlite3.connect(":memory:"))
    opened.execute("PRAGMA foreign_keys = ON")
    migrations.apply(opened)
    for handle in ("ProfPettigrew", "lighthousejo", "b_ok"):
        timelines.hold(opened, handle, None, [], now=1)
    return opened


def test_the_slug_is_sorted_lower_case_and_has_each_handle_once() -> None:
    assert personas.slug(["@LighthouseJo", "b_ok", "B_OK"]) == "b_ok-lighthousejo"


def test_creating_the_same_persona_again_gives_the_first(db: sqlite_utils.Database) -> None:
    first = personas.create(db, ["profpettigrew", "lighthousejo"], now=1)
    again = personas.create(db, ["@LIGHTHOUSEJO", "ProfPettigrew", "profpettigrew"], now=2)
    assert first == again
    assert first.handles == ("lighthousejo", "ProfPettigrew")
    assert personas.every(db) == [first]


@pytest.mark.parametrize(
    "written", ["lighthousejo-profpettigrew", "@ProfPettigrew+lighthousejo", "PROFPETTIGREW, @lighthousejo"]
)
def test_people_may_write_its_name_in_many_ways(db: sqlite_utils.Database, written: str) -> None:
    made = personas.create(db, ["ProfPettigrew", "lighthousejo"], now=1)
    assert personas.find(db, written) == made == personas.get(db, made.id)


def test_one_of_two_handles_is_another_persona(db: sqlite_utils.Database) -> None:
    personas.create(db, ["ProfPettigrew", "lighthousejo"], now=1)
    assert personas.find(db, "lighthousejo") is None
    assert personas.find(db, "") is None


def test_a_handle_that_is_not_held_is_refused_with_the_nearest(db: sqlite_utils.Database) -> None:
    with pytest.raises(UnknownHandle, match="did you mean @lighthousejo"):
        personas.create(db, ["lighthouse_jo"], now=1)
    assert personas.every(db) == []


def test_only_a_run_of_its_own_is_promoted(db: sqlite_utils.Database) -> None:
    jo, prof = (personas.create(db, [handle], now=1) for handle in ("lighthousejo", "ProfPettigrew"))
    run = runs.begin(db, jo.id, "quick", 7, "abc", now=2)
    personas.promote(db, jo.id, run)
    assert personas.get(db, jo.id).run_id == run  # type: ignore[union-attr]
    with pytest.raises(LookupError):
        personas.promote(db, prof.id, run)


def test_the_id_of_a_removed_persona_is_not_given_again(db: sqlite_utils.Database) -> None:
    first = personas.create(db, ["lighthousejo"], now=1)
    db.execute("DELETE FROM personas")
    assert personas.create(db, ["b_ok"], now=1).id > first.id
