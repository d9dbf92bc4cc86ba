"""The clock reads rules as cron users mean them and gets through both changes of the clocks; all times are UTC."""

import asyncio
import itertools
import logging
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import clock
from bot.errors import BadSchedule

HOUR = 3_600_000


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def dues(cron: str, zone: str, after: str, n: int = 3) -> list[str]:
    """The next due instants in UTC, each with its wall key."""
    found = itertools.islice(clock.dues(clock.rule_from(None, cron), zone, 0, ms(after)), n)
    return [f"{clock.utc(at):%m-%d %H:%M} {key[5:]}" for at, key in found]


# --- Rules ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h", 3600), ("30m", 1800), ("90s", 90), ("2d", 172800), (" 1 H ", 3600), ("1s", 1), ("1w", 604800)],
)
def test_intervals(text: str, seconds: int) -> None:
    assert clock.parse_every(text) == seconds
    assert clock.rule_from(text, None) == f"every {seconds}s"


@pytest.mark.parametrize("text", ["", "0s", "-1h", "1", "h", "1.5h", "1y", "367d", "9" * 30 + "s", "1h30m", "٣h0"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(BadSchedule, match="write 90s"):
        clock.parse_every(text)


@pytest.mark.parametrize(
    ("cron", "named"),
    [
        ("0", "sun"), ("7", "sun"), ("1", "mon"), ("6", "sat"), ("*", "*"),
        ("1-5", "mon-fri"), ("0-6", "*"), ("1-7", "*"), ("0,6", "sat,sun"), ("6,0", "sat,sun"), ("5-7", "fri-sun"),
        ("5-0", "fri-sun"), ("sat-sun", "sat,sun"), ("fri-mon", "mon,fri-sun"), ("0-2", "mon,tue,sun"),
        ("*/2", "tue,thu,sat,sun"), ("1-5/2", "mon,wed,fri"), ("MON,wed", "mon,wed"), ("1,1", "mon"),
    ],
)  # fmt: skip
def test_weekdays_are_counted_as_cron_users_count_and_stored_by_name(cron: str, named: str) -> None:
    assert clock.rule_from(None, f"0 9 * * {cron}") == f"cron 0 9 * * {named}"


def test_weekday_zero_is_sunday_on_the_calendar() -> None:
    sunday = "2026-11-22T09:00"
    for number in ("0", "7", "sun"):
        due = clock.next_due(clock.rule_from(None, f"0 9 * * {number}"), "UTC", 0, ms("2026-11-18T00:00"))
        assert due == (ms(sunday), sunday)


@pytest.mark.parametrize(
    "cron",
    ["", "* * * *", "* * * * * *",
     "61 * * * *", "* 24 * * *", "0 9 * * 8", "0 9 * * monday", "0 9 * * 1/2", "0 9 * * */0",
     "0 9 30 2 *", "0 9 31 feb,apr,jun *", "0 9 * 13 *", "x * * * *", "5-1 * * * *", "0 9 * * ,", "@daily"],
)  # fmt: skip
def test_what_is_no_cron_rule_or_never_comes_is_refused(cron: str) -> None:
    with pytest.raises(BadSchedule):
        clock.rule_from(None, cron)


def test_exactly_one_kind_of_rule_is_given() -> None:
    for every, cron in ((None, None), ("1h", "* * * * *")):
        with pytest.raises(BadSchedule, match="either"):
            clock.rule_from(every, cron)


@pytest.mark.parametrize(
    ("zone", "nearest"),
    [("europe/helsinki", "Europe/Helsinki"), ("Europe/Helsinky", "Europe/Helsinki"), ("Paris", "Europe/Paris"),
     ("new york", "America/New_York")],
)  # fmt: skip
def test_an_unknown_zone_is_refused_with_the_nearest(zone: str, nearest: str) -> None:
    with pytest.raises(BadSchedule, match=f'did you mean "{nearest}"'):
        clock.zone_of(zone)


@pytest.mark.parametrize("zone", ["", "../../etc/passwd", "/etc/localtime", "America", "nul\0"])
def test_a_zone_is_never_a_path(zone: str) -> None:
    with pytest.raises(BadSchedule):
        clock.zone_of(zone)
    assert clock.zone_of("Europe/Helsinki") == ZoneInfo("Europe/Helsinki")


# --- Both changes of the clocks ---------------------------------------------------------------------------------------


def test_a_doubled_time_comes_once_the_first_time() -> None:
    assert dues("45 1 * * *", "America/New_York", "2026-11-01T00:00", 2) == [
        "11-01 05:45 11-01T01:45", "11-02 06:45 11-02T01:45"]  # fmt: skip
    assert dues("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00", 2) == [
        "04-04 14:45 04-05T01:45", "04-05 15:15 04-06T01:45"]  # fmt: skip
    assert dues("*/30 * * * *", "Europe/Helsinki", "2026-10-24T23:45", 4) == [
        "10-25 00:00 10-25T03:00", "10-25 00:30 10-25T03:30",
        "10-25 02:00 10-25T04:00", "10-25 02:30 10-25T04:30"]  # fmt: skip


def test_a_skipped_time_comes_late_not_never() -> None:
    assert dues("30 2 * * *", "America/New_York", "2026-03-08T00:00", 2) == [
        "03-08 07:30 03-08T03:30", "03-09 06:30 03-09T02:30"]  # fmt: skip
    assert dues("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00", 2) == [
        "10-03 15:45 10-04T02:45", "10-04 15:15 10-05T02:15"]  # fmt: skip
    assert dues("15,45 2 * * *", "America/New_York", "2026-03-08T00:00", 3) == [
        "03-08 07:15 03-08T03:15", "03-08 07:45 03-08T03:45", "03-09 06:15 03-09T02:15"]  # fmt: skip


def test_a_skipped_time_that_falls_on_another_is_one() -> None:
    assert dues("*/30 * * * *", "America/New_York", "2026-03-08T06:30", 4) == [
        "03-08 07:00 03-08T03:00", "03-08 07:30 03-08T03:30",
        "03-08 08:00 03-08T04:00", "03-08 08:30 03-08T04:30"]  # fmt: skip


def test_a_daily_time_stays_at_its_wall_time() -> None:
    assert dues("0 9 * * *", "Europe/Helsinki", "2026-10-24T00:00") == [
        "10-24 06:00 10-24T09:00", "10-25 07:00 10-25T09:00", "10-26 07:00 10-26T09:00"]  # fmt: skip


def test_an_interval_counts_instants_through_the_doubled_hour() -> None:
    anchor = ms("2026-10-25T00:00")
    found = list(itertools.islice(clock.dues("every 900s", "Europe/Helsinki", anchor, anchor), 12))
    assert [at for at, _ in found] == [anchor + n * 900_000 for n in range(1, 13)]
    assert found[0][1] == "2026-10-25T00:15:00.000Z"


@settings(max_examples=150, deadline=None)
@given(
    zone=st.sampled_from(["America/New_York", "Europe/Helsinki", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]),
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    start=st.integers(ms("2025-01-01T00:00"), ms("2028-01-01T00:00")),
)
def test_a_daily_rule_is_due_once_on_every_day(zone: str, minute: int, hour: int, start: int) -> None:
    there = ZoneInfo(zone)
    rule = clock.rule_from(None, f"{minute} {hour} * * *")
    found = list(itertools.islice(clock.dues(rule, zone, 0, start), 10))
    days = [datetime.fromisoformat(key).date() for _, key in found]
    assert [day - days[0] for day in days] == [timedelta(days=n) for n in range(10)]
    for (at, key), day in zip(found, days, strict=True):
        wall = datetime(day.year, day.month, day.day, hour, minute)
        skipped = wall.replace(tzinfo=there).astimezone(UTC).astimezone(there).replace(tzinfo=None) != wall
        assert skipped or key == wall.isoformat(timespec="minutes")
        assert clock.utc(at).astimezone(there).isoformat(timespec="minutes")[:16] == key


CHANGES = {
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    "Australia/Lord_Howe": ("2026-10-03T15:30", "2026-04-04T15:00"),
}


@settings(max_examples=150, deadline=None)
@given(
    zone=st.sampled_from(sorted(CHANGES)),
    which=st.integers(0, 1),
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=4),
    hours=st.sets(st.integers(0, 4), min_size=1),
    asked=st.integers(-5 * 60, 5 * 60),
)
def test_around_a_change_the_next_instant_does_not_depend_on_when_we_ask(
    zone: str, which: int, minutes: set[int], hours: set[int], asked: int
) -> None:
    change = ms(CHANGES[zone][which])
    rule = clock.rule_from(None, f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *")
    wanted = set()
    for day, hour, minute in itertools.product((-1, 0, 1), hours, minutes):
        date = clock.utc(change).astimezone(ZoneInfo(zone)).date() + timedelta(days=day)
        wall = datetime(date.year, date.month, date.day, hour, minute, tzinfo=ZoneInfo(zone))
        wanted.add(round(wall.timestamp() * 1000))
    after = change + asked * 60_000
    found = clock.next_due(rule, zone, 0, after)
    assert found is not None
    assert found[0] == min((at for at in wanted if at > after), default=found[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**6), st.integers(0, 10**12), st.integers(0, 10**12))
def test_an_interval_is_due_strictly_later_on_its_grid(seconds: int, anchor: int, after: int) -> None:
    due = clock.next_due(f"every {seconds}s", "UTC", anchor, after)
    assert due is not None
    assert due[0] > max(after, anchor)
    assert (due[0] - anchor) % (seconds * 1000) == 0
    assert due[0] - seconds * 1000 <= max(after, anchor)


# --- Other rules ------------------------------------------------------------------------------------------------------


def test_day_and_weekday_together_mean_either_as_in_crontab() -> None:
    assert [due[:5] for due in dues("0 9 13 * fri", "UTC", "2026-02-07T00:00", 4)] == [
        "02-13",
        "02-20",
        "02-27",
        "03-06",
    ]
    assert [due[:5] for due in dues("0 9 1 * mon", "UTC", "2026-11-24T00:00", 3)] == ["11-30", "12-01", "12-07"]


def test_the_29th_of_february_waits_for_its_year() -> None:
    assert dues("0 9 29 2 *", "UTC", "2026-01-01T00:00", 1) == ["02-29 09:00 02-29T09:00"]


@pytest.mark.parametrize(
    ("rule", "first", "now", "last"),
    [
        ("cron * * * * *", "2025-01-01T00:00", "2026-11-01T00:00", "2026-11-01T00:00"),
        ("cron 0 0 1 1 *", "2024-01-01T00:00", "2026-11-01T00:00", "2026-01-01T00:00"),
        ("cron 0 9 * * mon", "2026-11-02T09:00", "2026-11-02T09:00", "2026-11-02T09:00"),
        ("cron 0 9 29 2 *", "2024-02-29T09:00", "2026-11-02T09:00", "2024-02-29T09:00"),
    ],
)
def test_the_last_due_moment_is_found_in_few_steps(rule: str, first: str, now: str, last: str) -> None:
    assert clock.latest_due(rule, "UTC", 0, ms(first), ms(now)) == (ms(last), last)


def test_before_the_first_there_is_no_last_due_moment() -> None:
    assert clock.latest_due("cron 0 9 * * *", "UTC", 0, ms("2026-11-02T09:00"), ms("2026-11-02T08:00")) is None


# --- The alarm --------------------------------------------------------------------------------------------------------


class Bell:
    def __init__(self, takes_s: float = 0.0, fails: bool = False) -> None:
        self.at: list[int] = []
        self.running = self.most = 0
        self.takes_s, self.fails = takes_s, fails

    async def ring(self) -> None:
        self.at.append(clock.now_ms())
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(self.takes_s)
        self.running -= 1
        if self.fails:
            raise RuntimeError("the bell is broken")


async def test_the_alarm_rings_at_the_start_and_at_the_time_it_is_set_to() -> None:
    bell = Bell()
    alarm = clock.Alarm(bell.ring)
    alarm.start()
    await asyncio.sleep(0.1)
    due = clock.now_ms() + 200
    alarm.set(due)
    await asyncio.sleep(0.5)
    await alarm.stop()
    assert len(bell.at) == 2
    assert due <= bell.at[1] < due + 150


async def test_the_alarm_rings_regularly_even_if_nobody_sets_it_or_the_ringing_fails() -> None:
    bell = Bell(fails=True)
    alarm = clock.Alarm(bell.ring, longest_s=0.1)
    alarm.start()
    await asyncio.sleep(0.65)
    await alarm.stop()
    assert 4 <= len(bell.at) <= 7
    rung = len(bell.at)
    await asyncio.sleep(0.25)
    assert len(bell.at) == rung


async def test_a_ringing_that_succeeds_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    alarm = clock.Alarm(Bell().ring, longest_s=0.05)
    alarm.start()
    await asyncio.sleep(0.2)
    await alarm.stop()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("apscheduler")] == []


async def test_what_becomes_due_during_a_ringing_rings_right_after_it() -> None:
    bell = Bell(takes_s=0.2)
    alarm = clock.Alarm(bell.ring)
    alarm.start()
    await asyncio.sleep(0.1)
    alarm.set(clock.now_ms())
    alarm.set(clock.now_ms() - HOUR)
    await asyncio.sleep(0.5)
    await alarm.stop()
    assert (len(bell.at), bell.most) == (2, 1)


async def test_stopping_cancels_the_ringing_and_waits_until_it_has_ended() -> None:
    ended: list[str] = []

    async def ring() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)  # such as a send that must be finished
            ended.append("in order")

    alarm = clock.Alarm(ring)
    alarm.start()
    await asyncio.sleep(0.05)
    await alarm.stop()
    assert ended == ["in order"]
    await alarm.stop()
