"""A schedule is made for a persona that can speak, shown with its next times, and removed with what it queued."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlite_utils

from bot.config import ModerationSettings
from bot.domain import Persona, PostState
from bot.errors import BadSchedule, NoCheckpoint, PromptRefused, UnknownPersona, UnknownSchedule
from bot.flows import schedule
from bot.flows.fire import Spoken, fire_due
from bot.moderation import Moderator
from bot.store import outbox, personas, runs, timelines
from bot.store.database import Database

NOW = 1_780_315_200_000  # 2026-06-01T12:00Z, a Monday
HOUR = 3_600_000
MODERATOR = Moderator.of(ModerationSettings())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    opened._thread.submit(opened._transact, people).result()
    yield opened
    opened.close()


def people(db: sqlite_utils.Database) -> None:
    for handle in ("LighthouseJo", "silent"):
        timelines.hold(db, handle, None, [], now=1)
        personas.create(db, [handle], now=1)
    personas.promote(db, 1, runs.begin(db, 1, "quick", 1, "abc", now=1))


async def test_a_schedule_is_shown_with_its_next_five_times(database: Database) -> None:
    made, times = await schedule.add(
        database, MODERATOR, "@lighthousejo", "cron 0 9 * * mon-fri", "Europe/Helsinki", "so", NOW
    )
    assert times == [NOW + (18 + 24 * day) * HOUR for day in (0, 1, 2, 3, 6)]
    assert made.next_due == times[0]
    assert (made.platform, made.account, made.prompt) == ("local", "feed", "so")
    assert [(found.id, persona.slug) for found, persona in await schedule.listing(database)] == [
        (made.id, "lighthousejo")
    ]


async def test_an_unknown_persona_is_refused_with_the_nearest(database: Database) -> None:
    with pytest.raises(UnknownPersona) as caught:
        await schedule.add(database, MODERATOR, "@LighthouseJoe", "every 60s", "UTC", "", NOW)
    assert str(caught.value) == (
        "There is no persona '@LighthouseJoe' (did you mean \"lighthousejo\"?): "
        "train one first with `mockingbird train LighthouseJoe`."
    )
    with pytest.raises(UnknownPersona, match=r"train one first with `mockingbird train x y`"):
        await schedule.add(database, MODERATOR, "x+@y", "every 60s", "UTC", "", NOW)


async def test_a_persona_without_a_checkpoint_cannot_speak(database: Database) -> None:
    with pytest.raises(NoCheckpoint, match="mockingbird train silent"):
        await schedule.add(database, MODERATOR, "silent", "every 60s", "UTC", "", NOW)
    assert await schedule.listing(database) == []


async def test_a_zone_or_date_that_never_comes_is_refused(database: Database) -> None:
    with pytest.raises(BadSchedule, match="Europe/Helsinki"):
        await schedule.add(database, MODERATOR, "lighthousejo", "every 60s", "Helsinki", "", NOW)
    with pytest.raises(BadSchedule, match="once in two years"):
        await schedule.add(database, MODERATOR, "lighthousejo", "cron 0 9 29 2 *", "UTC", "", NOW + 800 * 24 * HOUR)


async def test_a_prompt_that_moderation_refuses_is_no_schedule(database: Database) -> None:
    with pytest.raises(PromptRefused, match=r"\(personal data\)"):
        await schedule.add(database, MODERATOR, "lighthousejo", "every 60s", "UTC", "mail jo@example.com", NOW)
    assert await schedule.listing(database) == []


async def hello(persona: Persona, prompt: str, seed: int) -> Spoken:
    return Spoken("hello", {})


async def test_removing_takes_back_what_is_queued(database: Database) -> None:
    made, times = await schedule.add(database, MODERATOR, "lighthousejo", "every 3600s", "UTC", "", NOW)
    await fire_due(database, hello, times[0], HOUR)
    await schedule.remove(database, made.id, times[0] + 1)
    (post,) = await database.run(outbox.every)
    assert post.state is PostState.CANCELLED
    assert await schedule.listing(database) == []


async def test_pausing_takes_back_what_is_queued_for_good(database: Database) -> None:
    made, times = await schedule.add(database, MODERATOR, "lighthousejo", "every 3600s", "UTC", "", NOW)
    other, _ = await schedule.add(database, MODERATOR, "lighthousejo", "every 3600s", "UTC", "", NOW)
    await fire_due(database, hello, times[0], HOUR)
    await schedule.pause(database, made.id, times[0] + 1)
    await schedule.resume(database, made.id, times[0] + 2)
    await fire_due(database, hello, times[0] + 3, HOUR)
    states = {post.cause["schedule"]: post.state for post in await database.run(outbox.every)}
    assert states == {made.id: PostState.CANCELLED, other.id: PostState.QUEUED}


async def test_what_is_not_there_cannot_be_changed(database: Database) -> None:
    with pytest.raises(UnknownSchedule):
        await schedule.remove(database, 5, NOW)
    with pytest.raises(UnknownSchedule):
        await schedule.pause(database, 5, NOW)
    with pytest.raises(UnknownSchedule):
        await schedule.resume(database, 5, NOW)


async def test_resuming_what_runs_changes_nothing(database: Database) -> None:
    made, _ = await schedule.add(database, MODERATOR, "lighthousejo", "every 3600s", "UTC", "", NOW)
    await schedule.resume(database, made.id, NOW + 9 * HOUR)
    assert (await schedule.listing(database))[0][0] == made
