"""What is due speaks on its schedule's conditions: quiet hours, lateness, chance, mutes, approval, and fresh words."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from bot import clock
from bot.config import ModerationSettings
from bot.domain import OccurrenceState, Persona, Post, PostState, Schedule
from bot.errors import DiskFull, Muted, NothingAcceptable
from bot.flows import fire, occur, quiet, schedule
from bot.flows.fire import FireReport, Spoken, fire_due, seed_of
from bot.flows.schedule import Plan
from bot.moderation import Moderator
from bot.store import outbox, personas, runs, timelines
from bot.store.database import Database

MINUTE, QUARTER, HOUR, DAY = 60_000, 900_000, 3_600_000, 86_400_000
MAX_LATE = 2 * HOUR
NOW = 1_780_315_200_000  # 2026-06-01T12:00Z, a Monday
MODERATOR = Moderator.of(ModerationSettings())
PLAN = Plan("jo", "cron 0 * * * *", prompt="so")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    opened._thread.submit(opened._transact, people).result()
    yield opened
    opened.close()


def people(db: sqlite_utils.Database) -> None:
    timelines.hold(db, "jo", None, [], now=1)
    persona = personas.create(db, ["jo"], now=1)
    personas.promote(db, persona.id, runs.begin(db, persona.id, "quick", 1, "abc", now=1))


async def add(database: Database, plan: Plan, now: int = NOW, seed: int = 7) -> Schedule:
    made, _ = await schedule.add(database, MODERATOR, plan, seed, now)
    return made


async def voice(persona: Persona, schedule: Schedule, seed: int) -> Spoken:
    return Spoken(f"{schedule.prompt} said {persona.slug} ({seed})", {"checkpoint": "run 1"})


async def fired(database: Database, now: int) -> FireReport:
    return await fire_due(database, voice, now, MAX_LATE)


async def rows(database: Database, kind: str) -> list[Post]:
    """The newest first."""
    return [post for post in await database.run(lambda db: outbox.every(db, 10_000)) if post.kind == kind]


async def past(database: Database, of: Schedule) -> list[tuple[str, OccurrenceState, str | None]]:
    shown = await schedule.show(database, of.id, NOW, last=1000)
    return [(found.wall_key[11:16], found.state, found.reason) for found, _ in reversed(shown.past)]


# --- Quiet hours and lateness -----------------------------------------------------------------------------------------


async def test_what_is_late_waits_for_the_end_of_quiet_hours(database: Database) -> None:
    made = await add(database, replace(PLAN, rule="cron 59 12 * * *", quiet="13:00-14:00"))
    assert await fired(database, NOW + HOUR) == FireReport()
    assert (await past(database, made))[0][1] is OccurrenceState.DUE
    assert await fired(database, NOW + 2 * HOUR - 1) == FireReport()
    assert len((await fired(database, NOW + 2 * HOUR)).queued) == 1


async def test_what_would_be_too_late_after_quiet_hours_is_missed(database: Database) -> None:
    made = await add(database, replace(PLAN, rule="cron 59 12 * * *", quiet="13:00-15:00"))
    assert await fired(database, NOW + HOUR) == FireReport()
    report = await fired(database, NOW + 3 * HOUR)
    assert [unsaid.reason for unsaid in report.missed] == [occur.LATE]
    assert (await past(database, made))[0][1] is OccurrenceState.MISSED


@pytest.mark.parametrize("silent", ["13:00-13:30", "13:00-15:00"])
async def test_a_post_does_not_wait_in_the_outbox_into_quiet_hours(database: Database, silent: str) -> None:
    await add(database, replace(PLAN, rule="cron 50 12 * * *", quiet=silent))
    await fired(database, NOW + 50 * MINUTE)
    assert [post.expires_at for post in await rows(database, "post")] == [NOW + HOUR]


async def test_what_is_due_in_quiet_hours_is_neither_said_nor_missed(database: Database) -> None:
    made = await add(database, replace(PLAN, quiet="13:00-17:00"))
    for hour in range(1, 6):
        report = await fired(database, NOW + hour * HOUR)
    assert len(report.queued) == 1
    assert await past(database, made) == [("17:00", OccurrenceState.QUEUED, None)]


async def test_a_schedule_has_its_own_limit_of_lateness(database: Database) -> None:
    strict = await add(database, replace(PLAN, max_late_s=60))
    patient = await add(database, replace(PLAN, max_late_s=86_400, rule="cron 0 13 * * *", prompt="well"))
    report = await fired(database, NOW + HOUR + MINUTE + 1)
    assert [unsaid.schedule_id for unsaid in report.missed] == [strict.id]
    assert len(report.queued) == 1
    (post,) = await rows(database, "post")
    assert (post.cause["schedule"], post.expires_at) == (patient.id, NOW + HOUR + DAY)


# --- Chance, jitter and mutes -----------------------------------------------------------------------------------------


async def test_chance_lets_speak_what_the_preview_said(database: Database) -> None:
    plan = replace(PLAN, chance=0.5)
    moments = await schedule.preview(database, MODERATOR, plan, 7, NOW, 40)
    made = await add(database, plan)
    for hour in range(1, 41):
        await fired(database, NOW + hour * HOUR)
    states = [state for _, state, _ in await past(database, made)]
    wanted = [OccurrenceState.QUEUED if moment.speaks else OccurrenceState.SKIPPED for moment in moments]
    assert states == wanted
    assert 8 < states.count(OccurrenceState.SKIPPED) < 32
    assert {reason for _, state, reason in await past(database, made) if state is OccurrenceState.SKIPPED} == {
        "chance said no, as it does to 50% of them"
    }
    assert await rows(database, "notice") == []


async def test_what_chance_would_not_have_let_speak_is_not_missed(database: Database) -> None:
    plan = replace(PLAN, rule="cron */10 * * * *", chance=0.5)
    moments = await schedule.preview(database, MODERATOR, plan, 7, NOW, 60)
    await add(database, plan)
    report = await fired(database, moments[-1].due_at)
    assert {unsaid.wall_key for unsaid in report.missed} == {
        moment.wall_key for moment in moments[:-1] if moment.speaks
    }
    assert (len(report.queued), len(report.skipped)) == ((1, 0) if moments[-1].speaks else (0, 1))


@pytest.mark.parametrize(
    "plan",
    [
        replace(PLAN, jitter_s=1800, quiet="20:30-21:30"),
        replace(PLAN, rule="every 1700s", jitter_s=1700),
        replace(PLAN, rule="calendar 1d 02:30", zone="America/New_York", jitter_s=7200),
        replace(PLAN, rule="random 3 22:00-04:00 3600s", zone="Europe/Helsinki"),
    ],
)
async def test_what_fires_is_what_the_preview_said(database: Database, plan: Plan) -> None:
    moments = await schedule.preview(database, MODERATOR, plan, 7, NOW, 12)
    made = await add(database, plan)
    for moment in moments:
        assert await fired(database, moment.due_at - 1) == FireReport()
        assert len((await fired(database, moment.due_at)).queued) == 1
    shown = await schedule.show(database, made.id, NOW, last=100)
    assert [(found.due_at, found.wall_key) for found, _ in reversed(shown.past)] == [
        (moment.due_at, moment.wall_key) for moment in moments
    ]


@pytest.mark.parametrize("scope", ["everything", "persona:jo", "account:local/feed"])
async def test_what_is_due_while_muted_is_skipped(database: Database, scope: str) -> None:
    made = await add(database, replace(PLAN, zone="Europe/Helsinki"))
    until = NOW + 90 * MINUTE
    mute = "INSERT INTO mutes (scope, until) VALUES (?, ?), ('persona:else', ?)"
    await database.run(lambda db: db.execute(mute, [scope, until, 9 * until]))
    report = await fired(database, NOW + HOUR)
    assert [unsaid.reason for unsaid in report.skipped] == ["muted until Mon 2026-06-01 16:30 EEST"]
    assert len((await fired(database, NOW + 2 * HOUR)).queued) == 1
    assert [state for _, state, _ in await past(database, made)] == [OccurrenceState.SKIPPED, OccurrenceState.QUEUED]


async def test_who_is_muted_after_its_turn_came_is_skipped_all_the_same(database: Database) -> None:
    made = await add(database, PLAN)

    async def muted(persona: Persona, schedule: Schedule, seed: int) -> Spoken:
        await quiet.mute(database, "everything", 60, NOW + HOUR)
        raise Muted(who=persona.slug, until="soon")

    assert await fire_due(database, muted, NOW + HOUR, MAX_LATE) == FireReport()
    await fired(database, NOW + HOUR)
    assert [state for _, state, _ in await past(database, made)] == [OccurrenceState.SKIPPED]


async def test_a_full_disk_only_puts_off_what_is_due(database: Database) -> None:
    await add(database, PLAN)

    async def full(persona: Persona, schedule: Schedule, seed: int) -> Spoken:
        raise DiskFull(folder=database.folder)

    assert await fire_due(database, full, NOW + HOUR, MAX_LATE) == FireReport()
    assert len((await fired(database, NOW + HOUR)).queued) == 1


# --- Notices ----------------------------------------------------------------------------------------------------------


async def test_the_owner_is_told_once_of_all_that_was_missed(database: Database) -> None:
    await add(database, replace(PLAN, rule="cron */15 * * * *"))
    await add(database, replace(PLAN, rule="cron */15 * * * *", prompt="well", account="other"))
    await fired(database, NOW + 3 * HOUR)
    await fired(database, NOW + 3 * HOUR + MINUTE)
    notices = [post.text for post in await rows(database, "notice")]
    assert sorted(notices) == [
        f"Schedule {number} (jo, cron */15 * * * *) said nothing 11 times from Mon 2026-06-01 12:15 UTC "
        f"to Mon 2026-06-01 14:45 UTC: {occur.LATE}; {occur.OVERTAKEN}."
        for number in (1, 2)
    ]


async def test_the_owner_is_told_of_what_failed(database: Database) -> None:
    async def speechless(persona: Persona, schedule: Schedule, seed: int) -> Spoken:
        raise NothingAcceptable(persona="jo", reasons="empty")

    await add(database, PLAN)
    await fire_due(database, speechless, NOW + HOUR, MAX_LATE)
    (notice,) = await rows(database, "notice")
    assert "said nothing at Mon 2026-06-01 13:00 UTC: Moderation refused every text of jo (empty)" in notice.text


async def test_the_owner_is_not_told_that_a_voice_is_slower_than_its_schedule(database: Database) -> None:
    await add(database, replace(PLAN, rule="every 5s"))
    report = await fired(database, NOW + MINUTE)
    assert (len(report.missed), len(report.queued)) == (11, 1)
    assert await rows(database, "notice") == []


async def test_pausing_takes_no_notice_back(database: Database) -> None:
    made = await add(database, PLAN)
    await fired(database, NOW + 9 * HOUR)
    await schedule.pause(database, made.id, NOW + 9 * HOUR)
    assert [post.state for post in await rows(database, "notice")] == [PostState.QUEUED]
    assert [post.state for post in await rows(database, "post")] == [PostState.CANCELLED]


# --- Approval ---------------------------------------------------------------------------------------------------------


async def test_what_needs_approval_waits_as_a_draft_with_its_alternatives(database: Database) -> None:
    others: list[Mapping[str, Any]] = [{"text": "or so", "seed": 5, "rank": 1.5}]

    async def generous(persona: Persona, schedule: Schedule, seed: int) -> Spoken:
        return Spoken(f"so ({seed})", {}, others)

    await add(database, replace(PLAN, approval="always"))
    await add(database, replace(PLAN, account="other"))
    await fire_due(database, generous, NOW + HOUR, MAX_LATE, approval_ms=5 * HOUR)
    plain, draft = sorted(await rows(database, "post"), key=lambda post: post.state, reverse=True)
    assert (draft.state, draft.expires_at, list(draft.alternatives)) == (PostState.DRAFT, NOW + 6 * HOUR, others)
    assert (plain.state, plain.expires_at, plain.alternatives) == (PostState.QUEUED, NOW + 3 * HOUR, ())


def approve(db: sqlite_utils.Database, post_id: str) -> None:
    db.execute("UPDATE outbox SET approved_at = 1 WHERE id = ? OR cause_key LIKE 'schedule:2:%'", [post_id])


async def test_after_the_first_approvals_a_schedule_speaks_by_itself(database: Database) -> None:
    await add(database, replace(PLAN, approval="first-2"))
    await add(database, replace(PLAN, approval="always"))
    states = []
    for hour in range(1, 6):
        await fired(database, NOW + hour * HOUR)
        (post,) = [
            post for post in await rows(database, "post")
            if post.cause["schedule"] == 1 and post.due_at == NOW + hour * HOUR
        ]  # fmt: skip
        states.append(post.state)
        if hour != 2:  # this one nobody looks at
            await database.run(partial(approve, post_id=post.id))
    assert states == [PostState.DRAFT] * 3 + [PostState.QUEUED] * 2


# --- Fresh words ------------------------------------------------------------------------------------------------------


async def test_what_was_said_already_is_said_in_other_words(database: Database) -> None:
    made = await add(database, PLAN)
    asked: list[int] = []

    async def forgetful(persona: Persona, schedule: Schedule, seed: int) -> Spoken:
        asked.append(seed)
        return Spoken("hello" if len(asked) in (1, 2, 3) else f"hello {seed}", {"seed_used": seed})

    for hour in (1, 2):
        assert len((await fire_due(database, forgetful, NOW + hour * HOUR, MAX_LATE)).queued) == 1
    key = "2026-06-01T14:00"
    assert asked[1:] == [seed_of(made.id, key), seed_of(made.id, key, 1), seed_of(made.id, key, 2)]
    assert len(set(asked)) == 4
    post, _ = await rows(database, "post")
    assert (post.text, post.persona_id) == (f"hello {asked[-1]}", 1)
    assert {
        "seed": asked[-1], "seed_used": asked[-1], "repeats": 2, "rule": made.rule, "wall_key": key,
        "due_at": NOW + 2 * HOUR, "schedule": made.id, "persona": "jo", "prompt": "so",
    } == post.cause  # fmt: skip


async def test_who_has_nothing_new_to_say_fails_with_that_reason(database: Database) -> None:
    async def parrot(persona: Persona, schedule: Schedule, seed: int) -> Spoken:
        return Spoken("Hello", {})

    await add(database, PLAN)
    await fire_due(database, parrot, NOW + HOUR, MAX_LATE)
    report = await fire_due(database, parrot, NOW + 2 * HOUR, MAX_LATE)
    assert [unsaid.reason for unsaid in report.failed] == [fire.SAID_ALREADY]
    assert len(await rows(database, "post")) == 1
    assert [re.search(r"5 texts already", post.text) is not None for post in await rows(database, "notice")] == [True]


# --- Clocks that are stepped ------------------------------------------------------------------------------------------

KINDS = {
    "interval": Plan("jo", "every 900s", jitter_s=60),
    "cron": Plan("jo", "cron */15 * * * *", "Australia/Lord_Howe"),
    "calendar": Plan("jo", "calendar 1d 13:05"),
    "random": Plan("jo", "random 5 12:00-20:00 1800s"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [HOUR, -HOUR, DAY, -DAY])
async def test_a_clock_that_is_stepped_says_nothing_twice_and_makes_up_for_one_at_most(
    database: Database, kind: str, step: int
) -> None:
    made = await add(database, KINDS[kind])
    before = [NOW + n * QUARTER for n in range(1, 9)]
    stepped = [before[-1] + step + n * QUARTER for n in range(9 + max(0, -step // QUARTER))]
    for at in (*before, *stepped):
        assert len((await fired(database, at)).queued) <= 1
    said = [post.cause["wall_key"] for post in await rows(database, "post")]
    assert len(said) == len(set(said))
    # Nothing that was due is lost without a word: all of it was said or missed.
    shown = await schedule.show(database, made.id, NOW, last=5000)
    due = clock.upcoming(clock.times_of(made), NOW, 500)
    assert [found.wall_key for found, _ in reversed(shown.past)] == [key for at, key in due if at <= max(stepped)]
    assert set(said) == {found.wall_key for found, _ in shown.past if found.state is OccurrenceState.QUEUED}
    assert said or kind == "calendar"


@pytest.mark.parametrize("kind", KINDS)
async def test_after_three_hours_of_downtime_every_kind_makes_up_for_one(database: Database, kind: str) -> None:
    made = await add(database, KINDS[kind])
    back = NOW + 4 * HOUR
    report = await fired(database, back)
    moments = [key for due_at, key in clock.upcoming(clock.times_of(made), NOW, 100) if due_at <= back]
    in_time = [
        key for due_at, key in clock.upcoming(clock.times_of(made), NOW, 100) if back - MAX_LATE <= due_at <= back
    ]
    said = [post.cause["wall_key"] for post in await rows(database, "post")]
    assert said == in_time[-1:]
    assert {*said, *(unsaid.wall_key for unsaid in report.missed)} == set(moments)
    assert len(report.missed) == len(moments) - len(said)
