"""What was asked on Discord is known by Discord's id, and kept no longer than it is of use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.store import interactions, requests
from bot.store.database import Database, Db
from bot.store.interactions import KEPT_MS, Interaction, Known

ASKED = Interaction(
    id="1", kind="imitate", place="discord:7", channel="8", person="discord:9", asked={"persona": "jo"},
    token=b"sealed", token_until=1_000, created_at=0,
)  # fmt: skip


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "data")
    yield opened
    opened.close()


async def test_the_same_interaction_is_told_apart(database: Database) -> None:
    await database.run(lambda db: interactions.add(db, ASKED))
    with pytest.raises(Known):
        await database.run(lambda db: interactions.add(db, replace(ASKED, person="discord:10")))
    assert await database.run(interactions.unanswered) == [ASKED]


async def test_what_somebody_else_wrote_is_forgotten_with_the_answer_wherever_it_stood(database: Database) -> None:
    theirs = {"persona": "jo", "reply_to": "a secret", "of_message": True}

    def ask(db: Db) -> None:
        asked = requests.add(db, None, "imitate", "discord:9", "discord:7", theirs, 0)
        interactions.add(db, replace(ASKED, asked=theirs, request_id=asked.id))
        requests.start(db, asked.id, 0)
        requests.answer(db, asked.id, {"persona": "jo", "message": "a secret", "candidates": []}, 0)

    await database.run(ask)
    await database.run(lambda db: interactions.prune(db, 2_000))
    (row,) = await database.run(interactions.unanswered)
    assert (row.token, row.asked["reply_to"]) == (None, "a secret")  # it waits yet
    assert await database.run(lambda db: interactions.close(db, "1", "answered", "5"))
    assert not await database.run(lambda db: interactions.close(db, "1", "gone"))
    assert "a secret" not in await database.run(lambda db: "\n".join(db.conn.iterdump()))


async def test_votes_outlive_the_buttons_but_not_who_asked_for_what(database: Database) -> None:
    for id in ("1", "2", "3"):
        await database.run(lambda db, id=id: interactions.add(db, replace(ASKED, id=id)))  # type: ignore[misc]
    for id in ("1", "2"):
        await database.run(lambda db, id=id: interactions.close(db, id, "answered"))  # type: ignore[misc]
    for up in (True, False):
        await database.run(lambda db, up=up: interactions.vote(db, "2", 0, "discord:9", up, 0))  # type: ignore[misc]
    await database.run(lambda db: interactions.prune(db, KEPT_MS + 1))
    found = [await database.run(lambda db, id=id: interactions.get(db, id)) for id in ("1", "2", "3")]  # type: ignore[misc]
    assert [row is not None for row in found] == [False, True, True]  # the last one still waits
    assert await database.run(lambda db: interactions.votes(db, "2", 0)) == (0, 1)
    assert found[1] is not None
    assert (found[1].person, found[1].asked) == ("", {})
