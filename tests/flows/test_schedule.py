"""A schedule is made for a persona that can speak, shown with its next times, and removed with what it queued."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from bot.config import ModerationSettings
from bot.domain import OccurrenceState, Persona, PostState, Schedule
from bot.errors import BadSchedule, NoCheckpoint, PromptRefused, UnknownPersona, UnknownSchedule
from bot.flows import schedule
from bot.flows.fire import Spoken, fire_due
from bot.flows.schedule import Plan
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
        database, MODERATOR, Plan("@lighthousejo", "cron 0 9 * * mon-fri", "Europe/Helsinki", "so"), 7, NOW
    )
    assert [moment.due_at for moment in times] == [NOW + (18 + 24 * day) * HOUR for day in (0, 1, 2, 3, 6)]
    assert made.next_due == times[0].due_at
    assert (made.platform, made.account, made.prompt) == ("local", "feed", "so")
    assert [(found.id, persona.slug) for found, persona in await schedule.listing(database)] == [
        (made.id, "lighthousejo")
    ]


async def test_an_unknown_persona_is_refused_with_the_nearest(database: Database) -> None:
    with pytest.raises(UnknownPersona) as caught:
        await schedule.add(database, MODERATOR, Plan("@LighthouseJoe", "every 60s", "UTC", ""), 7, NOW)
    assert str(caught.value) == (
        "There is no persona '@LighthouseJoe' (did you mean \"lighthousejo\"?): "
        "train one first with `mockingbird train LighthouseJoe`."
    )
    with pytest.raises(UnknownPersona, match=r"train one first with `mockingbird train x y`"):
        await schedule.add(database, MODERATOR, Plan("x+@y", "every 60s", "UTC", ""), 7, NOW)


async def test_a_persona_without_a_checkpoint_cannot_speak(database: Database) -> None:
    with pytest.raises(NoCheckpoint, match="mockingbird train silent"):
        await schedule.add(database, MODERATOR, Plan("silent", "every 60s", "UTC", ""), 7, NOW)
    assert await schedule.listing(database) == []


async def test_a_zone_or_date_that_never_comes_is_refused(database: Database) -> None:
    with pytest.raises(BadSchedule, match="Europe/Helsinki"):
        await schedule.add(database, MODERATOR, Plan("lighthousejo", "every 60s", "Helsinki", ""), 7, NOW)
    with pytest.raises(BadSchedule, match="once in two years"):
        await schedule.add(
            database, MODERATOR, Plan("lighthousejo", "cron 0 9 29 2 *", "UTC", ""), 7, NOW + 800 * 24 * HOUR
        )


GOOD = Plan("lighthousejo", "cron 0 9 * * *", "Europe/Helsinki")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"rule": "every 0s"}, "not an interval"),
        ({"rule": "cron 0 9 31 2 *"}, "never comes"),
        ({"rule": "cron 61 9 * * *"}, "not a cron rule"),
        ({"rule": "hourly"}, "either"),
        ({"zone": "Mars/Olympus"}, "no time zone"),
        ({"quiet": "08:00"}, "not a part of the day"),
        ({"quiet": "08:00-10:00"}, "quiet hours 08:00-10:00"),
        ({"quiet": "00:00-24:00"}, "once in two years"),
        ({"jitter_s": 86_401}, "longer than"),
        ({"chance": 0.0}, "not a chance"),
        ({"chance": 1.01}, "not a chance"),
        ({"chance": float("nan")}, "not a chance"),
        ({"approval": "sometimes"}, "always, first-20 or off"),
        ({"approval": "first-0"}, "always, first-20 or off"),
        ({"max_late_s": 0}, "between a second and a year"),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused_and_nothing_stored(
    database: Database, wrong: dict[str, Any], why: str
) -> None:
    for ask in (schedule.add, schedule.preview):
        with pytest.raises(BadSchedule, match=why):
            await ask(database, MODERATOR, replace(GOOD, **wrong), 7, NOW)
    assert await schedule.listing(database) == []


async def test_a_preview_is_what_adding_shows_and_stores_nothing(database: Database) -> None:
    plan = replace(GOOD, jitter_s=3600, chance=0.5, quiet="22:00-07:00")
    moments = await schedule.preview(database, MODERATOR, plan, 7, NOW, 8)
    assert await schedule.listing(database) == []
    _, times = await schedule.add(database, MODERATOR, plan, 7, NOW)
    assert times == moments[:5]
    assert [len(moments), {moment.speaks for moment in moments}] == [8, {True, False}]
    assert await schedule.preview(database, MODERATOR, plan, 8, NOW, 8) != moments
    with pytest.raises(UnknownPersona):
        await schedule.preview(database, MODERATOR, replace(plan, persona="nobody"), 7, NOW)


async def test_a_schedule_is_shown_with_what_was_and_what_is_to_come(database: Database) -> None:
    plan = replace(GOOD, rule="every 3600s", chance=0.5, max_late_s=60, approval="first-3", account="elsewhere")
    made, times = await schedule.add(database, MODERATOR, plan, 7, NOW)
    for hour in range(1, 6):
        await fire_due(database, hello, NOW + hour * HOUR + (120_000 if hour == 5 else 0), HOUR)
    shown = await schedule.show(database, made.id, NOW + 6 * HOUR - 1, n=2, last=4)
    assert (shown.schedule.chance, shown.schedule.max_late_s, shown.schedule.approval) == (0.5, 60, "first-3")
    assert (shown.schedule.seed, shown.schedule.account, shown.persona.slug) == (7, "elsewhere", "lighthousejo")
    assert [moment.due_at for moment in shown.coming] == [NOW + 6 * HOUR, NOW + 7 * HOUR]
    assert [found.due_at for found, _ in shown.past] == [NOW + hour * HOUR for hour in (5, 4, 3, 2)]
    for moment, (found, post) in zip(times[1:], reversed(shown.past), strict=True):
        if not moment.speaks:
            assert (found.state, post) == (OccurrenceState.SKIPPED, None)
        elif moment is times[-1]:
            assert (found.state, post) == (OccurrenceState.MISSED, None)
        else:
            assert found.state is OccurrenceState.QUEUED
            assert post is not None
            assert post[1] is PostState.DRAFT
    assert {found.state for found, _ in shown.past} >= {OccurrenceState.QUEUED, OccurrenceState.SKIPPED}
    with pytest.raises(UnknownSchedule):
        await schedule.show(database, 99, NOW)


async def test_a_prompt_that_moderation_refuses_is_no_schedule(database: Database) -> None:
    with pytest.raises(PromptRefused, match=r"\(personal data\)"):
        await schedule.add(database, MODERATOR, Plan("lighthousejo", "every 60s", "UTC", "mail jo@example.com"), 7, NOW)
    assert await schedule.listing(database) == []


async def hello(persona: Persona, schedule: Schedule, seed: int) -> Spoken:
    return Spoken(f"hello {seed}", {})


async def test_removing_takes_back_what_is_queued(database: Database) -> None:
    made, times = await schedule.add(database, MODERATOR, Plan("lighthousejo", "every 3600s", "UTC", ""), 7, NOW)
    await fire_due(database, hello, times[0].due_at, HOUR)
    await schedule.remove(database, made.id, times[0].due_at + 1)
    (post,) = await database.run(outbox.every)
    assert post.state is PostState.CANCELLED
    assert await schedule.listing(database) == []


async def test_pausing_takes_back_what_is_queued_for_good(database: Database) -> None:
    made, times = await schedule.add(database, MODERATOR, Plan("lighthousejo", "every 3600s", "UTC", ""), 7, NOW)
    other, _ = await schedule.add(database, MODERATOR, Plan("lighthousejo", "every 3600s", "UTC", ""), 7, NOW)
    await fire_due(database, hello, times[0].due_at, HOUR)
    await schedule.pause(database, made.id, times[0].due_at + 1)
    await schedule.resume(database, made.id, times[0].due_at + 2)
    await fire_due(database, hello, times[0].due_at + 3, HOUR)
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
    made, _ = await schedule.add(database, MODERATOR, Plan("lighthousejo", "every 3600s", "UTC", ""), 7, NOW)
    await schedule.resume(database, made.id, NOW + 9 * HOUR)
    assert (await schedule.listing(database))[0][0] == made
