"""Who answers where is settled by those who have a say in it, and what is not given stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.app import App
from bot.cli import lines
from bot.config import Config
from bot.domain import Asker
from bot.errors import BadRequest, NoCheckpoint, UnknownPersona, UnknownPlatform
from bot.store import personas, runs, timelines
from bot.store.database import Db
from bot.web.operation import Answer, Asked
from bot.web.operations import listening

MEADOW, HARBOUR, OPERATOR = Asker("discord:7", "discord:1"), Asker("discord:8", "discord:2"), Asker()
FEED = {"platform": "local", "account": "feed"}


def add(db: Db) -> None:
    for handle, place in (("jo", "discord:1"), ("kim", "discord:2"), ("untrained", "discord:1")):
        timelines.hold(db, handle, None, [], 1, place)
        persona = personas.create(db, [handle], 1, place)
        if handle != "untrained":
            personas.promote(db, persona.id, runs.begin(db, persona.id, "quick", 1, "abc", 1))


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with App(Config(), tmp_path / "data", {}) as opened:
        await opened.database.run(add)
        yield opened


async def settle(app: App, by: Asker, persona: str, **more: object) -> Answer:
    asked = listening.Settle.model_validate({**FEED, "persona": persona, **more})
    return await listening.settle.do(app, asked, by, lambda told: None)


async def off(app: App, by: Asker) -> Answer:
    return await listening.off.do(app, listening.One(**FEED), by, lambda told: None)


async def every(app: App, by: Asker) -> list[Answer]:
    found: list[Answer] = (await listening.every.do(app, Asked(), by, lambda told: None))["listening"]
    return found


async def test_what_is_not_given_stays_as_it_was_and_after_off_begins_anew(app: App) -> None:
    settled = await settle(app, MEADOW, "jo", chance=0.5, cooldown=60, unasked_every=30)
    assert await settle(app, MEADOW, "jo", chance=1.0) == {**settled, "chance": 1.0}
    assert await settle(app, MEADOW, "jo", unasked_every=0, cooldown=0, unasked_chance=0.1) == {
        **settled, "chance": 1.0, "unasked_every": 0, "cooldown": 0, "unasked_chance": 0.1
    }  # fmt: skip
    assert (await off(app, MEADOW))["chance"] == 0
    again = await settle(app, MEADOW, "jo")
    assert (again["chance"], again["cooldown"], again["unasked_chance"]) == (1, 10, 0)
    assert await every(app, MEADOW) == [again]
    shown = await listening.show.do(app, listening.Show(**FEED), MEADOW, lambda told: None)
    assert shown == again
    other = listening.Show(platform="local", account="thread", within="feed")
    assert (await listening.show.do(app, other, MEADOW, lambda told: None))["slug"] == "jo"


async def test_people_settle_their_own_accounts_with_their_own_personas(app: App) -> None:
    for persona, error in (("kim", UnknownPersona), ("untrained", NoCheckpoint)):
        with pytest.raises(error):
            await settle(app, MEADOW, persona)
    await settle(app, MEADOW, "jo")
    with pytest.raises(BadRequest, match="belongs to others"):
        await settle(app, HARBOUR, "kim")
    with pytest.raises(BadRequest, match="belongs to others"):
        await off(app, HARBOUR)
    assert await every(app, HARBOUR) == []
    assert (await settle(app, OPERATOR, "discord:2/kim"))["persona"] == "discord:2/kim"
    assert len(await every(app, OPERATOR)) == 1
    assert (await settle(app, MEADOW, "jo"))["slug"] == "jo"  # what whoever runs the bot chose, people may change
    with pytest.raises(UnknownPlatform):
        await settle(app, OPERATOR, "discord:1/jo", platform="nowhere")


async def test_a_shell_reads_one_line_of_each(app: App) -> None:
    settled = await settle(app, OPERATOR, "discord:1/jo", chance=0.25, cooldown=120, unasked_every=40)
    assert [*lines.listenings({"listening": [settled]})] == [
        "local/feed  discord:1/jo answers with a chance of 0.25, once in 2m; "
        "discord:1/jo speaks unasked after every 40 messages"
    ]
    assert [*lines.listening(await off(app, OPERATOR))] == ["local/feed  nobody answers"]
