"""The parts fit together: what one lets in finds room in the next, and what people choose is judged as what is made."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bot import clock
from bot.app import App
from bot.config import Config
from bot.domain import FeedEntry, Mention, Post
from bot.errors import TextRefused
from bot.store import decisions, outbox, personas, runs, timelines
from bot.store.database import Db

HOUR = 3_600_000
SAID = "the lighthouse keeper made bread again this morning"


@pytest.mark.parametrize(
    "settings",
    [{}, {"max_waiting_per_person": 20}, {"max_waiting": 5}, {"max_waiting": 50, "max_waiting_per_person": 3}],
)
async def test_all_imitations_that_are_under_way_at_once_find_room_in_the_pool(
    tmp_path: Path, settings: dict[str, int]
) -> None:
    config = Config.model_validate({"pool": settings})
    async with App(config, tmp_path / "data", {}) as app:
        texts = app.desk.at_once * app.imitator.at_once
        assert 1 <= texts <= min(config.pool.max_waiting, config.pool.max_waiting_per_person)


async def test_nobody_puts_what_the_account_has_nearly_said_in_place_of_a_draft(tmp_path: Path) -> None:
    async with App(Config(), tmp_path / "data", {}) as app:
        now = clock.now_ms()

        def add(db: Db) -> Post:
            outbox.add(db, "local", "feed", "said", {}, SAID, now, now + HOUR, now)
            others = [{"text": f"{SAID}!!", "seed": 1, "rank": 2.0}, {"text": "soup it is", "seed": 2, "rank": 1.0}]
            return outbox.add(
                db, "local", "feed", "draft", {}, "a gull", now, now + HOUR, now, draft=True, alternatives=others
            )

        draft = await app.database.run(add)
        judge = await app.judge_for(draft.id)
        with pytest.raises(TextRefused, match="nearly the same"):
            await app.database.run(lambda db: decisions.edit(db, draft.id, f"{SAID}, again", judge, now))
        edited = await app.database.run(lambda db: decisions.edit(db, draft.id, "A gull!", judge, now))
        assert edited.text == "A gull!"  # its own text stands in nobody's way
        replaced = await app.database.run(lambda db: decisions.replace(db, draft.id, judge, now))
        assert replaced is not None
        assert replaced.text == "soup it is"


async def test_what_people_say_is_answered_and_hints_are_said_at_once(tmp_path: Path) -> None:
    said: list[FeedEntry] = []
    async with App(Config(), tmp_path / "data", {}) as app:
        stop, heard = asyncio.Event(), asyncio.Event()

        def on_post(entry: FeedEntry) -> None:
            said.append(entry)
            heard.set()

        running = asyncio.create_task(app.run(on_post, stop))
        mention = Mention("local", "1", "local:feed", "feed", "local:7", clock.now_ms(), "hello?")
        async with asyncio.timeout(20):
            assert not await app.listener.heard(mention)
            await heard.wait()
            heard.clear()

            def add(db: Db) -> None:
                timelines.hold(db, "jo", None, [], 1, "local:feed")
                persona = personas.create(db, ["jo"], 1, "local:feed")
                personas.promote(db, persona.id, runs.begin(db, persona.id, "quick", 1, "abc", 1))

            await app.database.run(add)  # but of its run no file is there
            assert await app.listener.heard(replace(mention, remote_id="2"))
            await heard.wait()
        stop.set()
        await running
    assert "/train" in said[0].text
    assert said[1].text.startswith("jo cannot answer at the moment")


async def test_a_bot_of_which_a_part_has_died_ends_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die() -> None:
        raise RuntimeError("a mistake of ours")

    async with App(Config(), tmp_path / "data", {}) as app:
        monkeypatch.setattr(app.desk, "run", die)
        with pytest.raises(RuntimeError, match="a mistake of ours"):
            async with asyncio.timeout(20):
                await app.run(lambda entry: None, asyncio.Event())
