"""What is due is generated and queued once; what is not said is reported."""

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlite_utils

from bot import clock
from bot.config import ModerationSettings
from bot.domain import OccurrenceState, Persona, Post, PostState, Schedule
from bot.errors import NothingAcceptable, PoolFull
from bot.flows import fire, occur, schedule
from bot.flows.fire import FireReport, Spoken, fire_due, seed_of
from bot.flows.schedule import Plan
from bot.moderation import Moderator
from bot.store import outbox, personas, runs, schedules, timelines
from bot.store.database import Database

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
MAX_LATE = 2 * HOUR
PERSONAS = 3
LATENESS = fire.Lateness(MAX_LATE)
MODERATOR = Moderator.of(ModerationSettings())


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    opened._thread.submit(opened._transact, people).result()
    yield opened
    opened.close()


def people(db: sqlite_utils.Database) -> None:
    for number in range(PERSONAS):
        timelines.hold(db, f"jo{number}", None, [], now=1)
        persona = personas.create(db, [f"jo{number}"], now=1)
        personas.promote(db, persona.id, runs.begin(db, persona.id, "quick", 1, "abc", now=1))


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


NOW = ms("2026-06-01T12:00")


class Voice:
    """A persona's voice that remembers what it was asked."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self.error = error

    async def __call__(self, persona: Persona, wish: Schedule, seed: int) -> Spoken:
        self.asked.append((persona.slug, wish.prompt, seed))
        if self.error is not None:
            raise self.error
        return Spoken(f"{wish.prompt} said {persona.slug} ({seed})", {"checkpoint": "run 1"})


async def add(database: Database, every: str | None = "1h", cron: str | None = None, zone: str = "UTC", n: int = 0,
              now: int = NOW) -> Schedule:  # fmt: skip
    plan = Plan(f"jo{n}", clock.rule_from(every, cron), zone, "so")
    made, _ = await schedule.add(database, MODERATOR, plan, 7, now)
    return made


async def ended(database: Database, of: Schedule) -> list[tuple[str, str | None]]:
    """The state of each occurrence, and why; the newest first."""
    query = "SELECT state, reason FROM occurrences WHERE schedule_id = ? ORDER BY due_at DESC"
    return await database.run(lambda db: db.execute(query, [of.id]).fetchall())


async def posts(database: Database) -> list[Post]:
    return [post for post in await database.run(lambda db: outbox.every(db, 10_000)) if post.kind == "post"]


async def notices(database: Database) -> list[str]:
    """What the owner was told, the newest first."""
    return [post.text for post in await database.run(lambda db: outbox.every(db, 10_000)) if post.kind == "notice"]


def keys(report: FireReport) -> list[str]:
    return [unsaid.wall_key for unsaid in report.missed]


async def test_nothing_happens_before_it_is_due(database: Database) -> None:
    await add(database)
    voice = Voice()
    assert await fire_due(database, voice, NOW + HOUR - 1, MAX_LATE) == FireReport()
    assert voice.asked == []


async def test_what_is_due_is_said_in_the_outbox_with_its_cause(database: Database) -> None:
    made = await add(database)
    voice = Voice()
    report = await fire_due(database, voice, NOW + HOUR + 5, MAX_LATE)
    (post,) = await posts(database)
    assert report == FireReport(queued=(post.id,))
    seed = seed_of(made.id, "2026-06-01T13:00:00.000Z")
    assert voice.asked == [("jo0", "so", seed)]
    assert post.cause_key == f"schedule:{made.id}:2026-06-01T13:00:00.000Z"
    assert (post.platform, post.account, post.state) == ("local", "feed", PostState.QUEUED)
    assert (post.due_at, post.expires_at) == (NOW + HOUR, NOW + HOUR + MAX_LATE)
    assert post.cause["checkpoint"] == "run 1"
    assert {"persona": "jo0", "prompt": "so", "seed": seed, "schedule": made.id}.items() <= post.cause.items()
    assert (await ended(database, made))[0][0] == OccurrenceState.QUEUED


async def test_firing_again_says_nothing_again(database: Database) -> None:
    made = await add(database)
    for later in (0, 1, MINUTE, HOUR - 1):
        await fire_due(database, Voice(), NOW + HOUR + later, MAX_LATE)
    assert len(await posts(database)) == 1
    await fire_due(database, Voice(), NOW + 2 * HOUR, MAX_LATE)
    assert len(await posts(database)) == len(await ended(database, made)) == 2


async def test_a_clock_that_jumps_back_says_nothing_twice(database: Database) -> None:
    made = await add(database, None, "0 * * * *")
    await fire_due(database, Voice(), NOW + HOUR, MAX_LATE)
    await fire_due(database, Voice(), NOW - DAY, MAX_LATE)
    await database.run(lambda db: schedules.advance(db, made.id, NOW + HOUR))  # as if it had been computed anew
    await fire_due(database, Voice(), NOW + HOUR, MAX_LATE)
    assert len(await posts(database)) == 1


async def test_after_three_hours_of_silence_only_the_last_is_made_up_for(database: Database) -> None:
    made = await add(database, None, "*/15 * * * *")
    report = await fire_due(database, Voice(), NOW + 3 * HOUR + MINUTE, MAX_LATE)
    assert len(report.queued) == 1
    assert len(report.missed) == 11
    assert {unsaid.reason for unsaid in report.missed} == {occur.LATE, occur.OVERTAKEN}
    assert (await posts(database))[0].cause["wall_key"] == "2026-06-01T15:00"
    states = [state for state, _ in await ended(database, made)]
    assert states == [OccurrenceState.QUEUED] + [OccurrenceState.MISSED] * 11


async def test_what_is_too_late_is_missed_and_said_so(database: Database) -> None:
    made = await add(database, None, "0 9 * * *")
    voice = Voice()
    report = await fire_due(database, voice, ms("2026-06-02T11:00") + 1, MAX_LATE)
    assert voice.asked == []
    assert [(unsaid.wall_key, unsaid.reason) for unsaid in report.missed] == [("2026-06-02T09:00", occur.LATE)]
    assert (await ended(database, made))[0][1] == occur.LATE
    following = await database.run(lambda db: schedules.earliest(db))
    assert following == ms("2026-06-03T09:00")


async def test_a_year_of_silence_is_reported_in_bounded_space(database: Database) -> None:
    made = await add(database, "1s")
    report = await fire_due(database, Voice(), NOW + 365 * DAY, MAX_LATE)
    assert len(report.queued) == 1
    assert len(report.missed) == occur.MOST_MISSED == len(await ended(database, made)) - 1
    assert "every later one until 2027-06-01 12:00:00 UTC" in report.missed[-1].reason


async def test_the_doubled_hour_is_one_occurrence(database: Database) -> None:
    start = ms("2026-10-31T12:00")
    await add(database, None, "45 1 * * *", "America/New_York", now=start)
    for minute in range(0, 48 * 60, 5):
        await fire_due(database, Voice(), start + minute * MINUTE, MAX_LATE)
    said = [post.cause["wall_key"] for post in await posts(database)]
    assert said == ["2026-11-02T01:45", "2026-11-01T01:45"]


async def test_an_interval_does_not_fall_silent_in_the_doubled_hour(database: Database) -> None:
    start = ms("2026-11-01T04:00")
    await add(database, "30m", zone="America/New_York", now=start)
    for minute in range(0, 4 * 60 + 1, 5):
        await fire_due(database, Voice(), start + minute * MINUTE, MAX_LATE)
    assert len(await posts(database)) == 8


async def test_a_skipped_time_is_said_late(database: Database) -> None:
    start = ms("2026-03-08T04:00")
    await add(database, None, "30 2 * * *", "America/New_York", now=start)
    await fire_due(database, Voice(), ms("2026-03-08T07:30"), MAX_LATE)
    assert [post.cause["wall_key"] for post in await posts(database)] == ["2026-03-08T03:30"]


async def test_a_voice_that_finds_no_words_fails_its_occurrence_only(database: Database) -> None:
    made, other = await add(database, n=0), await add(database, n=1)

    async def imitate(persona: Persona, wish: Schedule, seed: int) -> Spoken:
        return await Voice(NothingAcceptable(persona="jo0", reasons="empty") if persona.slug == "jo0" else None)(
            persona, wish, seed
        )

    report = await fire_due(database, imitate, NOW + HOUR, MAX_LATE)
    assert len(report.queued) == 1
    assert ["(empty)" in unsaid.reason for unsaid in report.failed] == [True]
    states = {(await ended(database, of))[0][0] for of in (made, other)}
    assert states == {OccurrenceState.FAILED, OccurrenceState.QUEUED}
    again = Voice()
    assert await fire_due(database, again, NOW + HOUR + 1, MAX_LATE) == FireReport()
    assert again.asked == []


async def test_what_a_busy_worker_could_not_say_is_said_by_the_next_firing_or_missed(database: Database) -> None:
    made = await add(database)
    busy = Voice(PoolFull(waiting=9))
    assert await fire_due(database, busy, NOW + HOUR, MAX_LATE) == FireReport()
    assert len(busy.asked) == 1
    assert (await ended(database, made))[0][0] == OccurrenceState.DUE
    assert len((await fire_due(database, Voice(), NOW + HOUR + MINUTE, MAX_LATE)).queued) == 1
    assert await fire_due(database, busy, NOW + 2 * HOUR, MAX_LATE) == FireReport()
    assert len((await fire_due(database, busy, NOW + 5 * HOUR, MAX_LATE)).missed) >= 1


async def test_a_bug_in_one_voice_does_not_silence_the_others(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await add(database)
    report = await fire_due(database, Voice(ZeroDivisionError()), NOW + HOUR, MAX_LATE)
    assert "unexpected error (ZeroDivisionError)" in report.failed[0].reason
    assert "ZeroDivisionError" in caplog.text


class Endless(Voice):
    """Never comes to an end, so that something must interrupt it."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()

    async def __call__(self, persona: Persona, wish: Schedule, seed: int) -> Spoken:
        await super().__call__(persona, wish, seed)
        self.began.set()
        return await asyncio.Future[Spoken]()


async def interrupted(database: Database, voice: Endless) -> None:
    """Fires, and is stopped while it generates, as Ctrl-C does it: asyncio cancels what runs."""
    firing = asyncio.create_task(fire_due(database, voice, NOW + HOUR, MAX_LATE))
    await voice.began.wait()
    firing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await firing


async def test_interrupted_while_generating_it_generates_the_same_again(database: Database) -> None:
    await add(database)
    first, second = Endless(), Voice()
    await interrupted(database, first)
    assert await posts(database) == []
    report = await fire_due(database, second, NOW + HOUR + MINUTE, MAX_LATE)
    assert len(report.queued) == 1
    assert first.asked == second.asked


async def test_what_an_interruption_left_due_is_missed_when_it_is_too_late(database: Database) -> None:
    await add(database, None, "0 13 * * *")
    await interrupted(database, Endless())
    report = await fire_due(database, Voice(), NOW + HOUR + MAX_LATE + 1, MAX_LATE)
    assert (keys(report), report.queued) == (["2026-06-01T13:00"], ())


async def test_what_an_interruption_left_due_is_overtaken_by_the_next(database: Database) -> None:
    await add(database)
    await interrupted(database, Endless())
    report = await fire_due(database, Voice(), NOW + 2 * HOUR, MAX_LATE)
    assert keys(report) == ["2026-06-01T13:00:00.000Z"]
    assert [post.cause["wall_key"] for post in await posts(database)] == ["2026-06-01T14:00:00.000Z"]


async def test_a_schedule_removed_while_it_generates_says_nothing(database: Database) -> None:
    made = await add(database)

    async def imitate(persona: Persona, wish: Schedule, seed: int) -> Spoken:
        await schedule.remove(database, made.id, NOW)
        return Spoken("too late", {})

    assert await fire_due(database, imitate, NOW + HOUR, MAX_LATE) == FireReport()
    assert await posts(database) == []


async def test_a_paused_schedule_says_nothing_and_makes_nothing_up(database: Database) -> None:
    made = await add(database)
    await schedule.pause(database, made.id, NOW)
    assert await fire_due(database, Voice(), NOW + 5 * HOUR, MAX_LATE) == FireReport()
    times = await schedule.resume(database, made.id, NOW + 5 * HOUR)
    assert times[0].due_at == NOW + 6 * HOUR
    assert len((await fire_due(database, Voice(), NOW + 6 * HOUR, MAX_LATE)).queued) == 1


async def test_one_that_is_paused_while_it_generates_says_nothing(database: Database) -> None:
    made = await add(database)

    async def imitate(persona: Persona, wish: Schedule, seed: int) -> Spoken:
        await schedule.pause(database, made.id, NOW)
        return Spoken("too late", {})

    assert await fire_due(database, imitate, NOW + HOUR, MAX_LATE) == FireReport()
    assert await posts(database) == []


def many(db: sqlite_utils.Database, count: int) -> None:
    for number in range(count):
        schedules.add(db, 1, "local", f"feed{number}", "every 3600s", "UTC", "", NOW, NOW + HOUR)


async def test_what_is_due_is_generated_together_sixteen_at_a_time(database: Database) -> None:
    await database.run(lambda db: many(db, 20))
    running = most = 0
    full = asyncio.Event()

    async def imitate(persona: Persona, wish: Schedule, seed: int) -> Spoken:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 16:
            full.set()
        await asyncio.wait_for(full.wait(), 5)
        await asyncio.sleep(0)
        running -= 1
        return Spoken("hello", {})

    report = await fire_due(database, imitate, NOW + HOUR, MAX_LATE)
    assert (most, report.failed) == (16, ())
    accounts = {post.id: post.account for post in await posts(database)}
    assert sorted(accounts[queued] for queued in report.queued) == sorted(f"feed{number}" for number in range(20))


async def test_what_is_due_is_recorded_bit_by_bit_when_it_is_much(database: Database) -> None:
    await database.run(lambda db: many(db, 60))
    rounds = 0
    while (await database.run(schedules.earliest) or 0) <= NOW + HOUR:
        await fire.occur_due(database, NOW + HOUR, MAX_LATE, longest_s=0.0)
        rounds += 1
        recorded = await database.run(lambda db: db.execute("SELECT count(*) FROM occurrences").fetchone()[0])
        assert recorded == min(60, rounds * occur.MOST_TOGETHER)
    assert rounds == 3


async def test_a_slow_voice_holds_up_neither_what_is_due_next_nor_itself(database: Database) -> None:
    slow, other = await add(database, "1h", n=0), await add(database, None, "30 13 * * *", n=1)
    released, asked = asyncio.Event(), asyncio.Event()
    now = NOW + HOUR

    async def imitate(persona: Persona, wish: Schedule, seed: int) -> Spoken:
        if persona.slug == "jo0":
            asked.set()
            await released.wait()
        return Spoken(f"{persona.slug} {seed}", {})

    speaking: set[int] = set()
    queued = asyncio.Event()
    await fire.occur_due(database, now, MAX_LATE, speaking)
    firing = asyncio.create_task(fire.speak_due(database, imitate, lambda: now, LATENESS, speaking, queued.set))
    await asyncio.wait_for(asked.wait(), 5)
    now = NOW + HOUR + HOUR // 2
    await fire.occur_due(database, now, MAX_LATE, speaking)
    await asyncio.wait_for(queued.wait(), 5)
    assert [post.cause["schedule"] for post in await posts(database)] == [other.id]
    now = NOW + 2 * HOUR  # its own next one comes before the first is done, which is nevertheless said
    assert (await fire.occur_due(database, now, MAX_LATE, speaking)).missed == ()
    released.set()
    assert len((await firing).queued) == 3
    assert speaking == set()
    assert [state for state, _ in await ended(database, slow)] == [OccurrenceState.QUEUED] * 2


async def test_a_store_that_fails_stops_the_firing_with_its_own_error(database: Database) -> None:
    full = "CREATE TRIGGER full BEFORE INSERT ON outbox BEGIN SELECT raise(ABORT, 'no room'); END"
    await database.run(lambda db: many(db, 20))
    await database.run(lambda db: db.execute(full))
    with pytest.raises(sqlite3.IntegrityError, match="no room"):
        await fire_due(database, Voice(), NOW + HOUR, MAX_LATE)
    await database.run(lambda db: db.execute("DROP TRIGGER full"))
    assert await posts(database) == []
    assert len((await fire_due(database, Voice(), NOW + HOUR, MAX_LATE)).queued) == 20


async def test_hundreds_of_schedules_are_all_said_at_once(database: Database) -> None:
    await database.run(lambda db: many(db, 250))
    report = await fire_due(database, Voice(), NOW + HOUR, MAX_LATE)
    assert len(set(report.queued)) == 250
