"""Every kind of rule gets through both changes of the clocks; all times are UTC."""

import collections
import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot import clock

HOUR = 3_600_000


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def of(rule: str, zone: str, after: str, n: int, quiet: str = "") -> list[str]:
    """The next due instants in UTC, each with its wall key."""
    times = clock.Times(rule, zone, ms(after), quiet=quiet)
    return [f"{clock.utc(at):%m-%d %H:%M} {key[5:]}" for at, key in clock.upcoming(times, ms(after), n)]


def dues(cron: str, zone: str, after: str, n: int = 3) -> list[str]:
    """The next due instants in UTC, each with its wall key."""
    found = itertools.islice(clock.dues(clock.Times(clock.rule_from(None, cron), zone), ms(after)), n)
    return [f"{clock.utc(at):%m-%d %H:%M} {key[5:]}" for at, key in found]


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
    found = list(itertools.islice(clock.dues(clock.Times("every 900s", "Europe/Helsinki", anchor), anchor), 12))
    assert [at for at, _ in found] == [anchor + n * 900_000 for n in range(1, 13)]
    assert found[0][1] == "2026-10-25T00:15:00.000Z"


ZONES = ("America/New_York", "Europe/Helsinki", "Australia/Lord_Howe")
# In each zone: a wall time that is skipped, the day and instant it comes on instead, and the instant on the day before;
# a doubled one, its first instant, and that of the same wall time on the day after.
SKIPPED = {
    "America/New_York": ("02:30", "03-07 07:30", "03-08 07:30 03-08T03:30", "03-09 06:30"),
    "Europe/Helsinki": ("03:30", "03-28 01:30", "03-29 01:30 03-29T04:30", "03-30 00:30"),
    "Australia/Lord_Howe": ("02:15", "10-02 15:45", "10-03 15:45 10-04T02:45", "10-04 15:15"),
}
DOUBLED = {
    "America/New_York": ("01:45", "10-31 05:45", "11-01 05:45 11-01T01:45", "11-02 06:45"),
    "Europe/Helsinki": ("03:15", "10-24 00:15", "10-25 00:15 10-25T03:15", "10-26 01:15"),
    "Australia/Lord_Howe": ("01:45", "04-03 14:45", "04-04 14:45 04-05T01:45", "04-05 15:15"),
}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("changes", [SKIPPED, DOUBLED])
@pytest.mark.parametrize("kind", ["cron", "calendar"])
def test_every_day_has_its_time_once_also_when_the_clocks_change(
    zone: str, changes: dict[str, tuple[str, str, str, str]], kind: str
) -> None:
    at, before, then, after = changes[zone]
    hour, minute = at.split(":")
    rule = f"calendar 1d {at}" if kind == "calendar" else f"cron {int(minute)} {int(hour)} * * *"
    start = ms(f"2026-{before.replace(' ', 'T')}")
    found = of(rule, zone, clock.utc(start - 1000).isoformat()[:19], 3)
    assert [due[:11] for due in found] == [before, then[:11], after]
    assert found[1] == then


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("changes", [SKIPPED, DOUBLED])
def test_random_times_keep_number_and_distance_when_the_clocks_change(
    zone: str, changes: dict[str, tuple[str, str, str, str]]
) -> None:
    start = ms(f"2026-{changes[zone][1].replace(' ', 'T')}") - 26 * HOUR
    for seed in range(40):
        times = clock.Times("random 4 00:30-05:30 3600s", zone, start, seed)
        found = clock.upcoming(times, start, 16)
        assert min(later[0] - sooner[0] for sooner, later in itertools.pairwise(found)) >= HOUR
        assert len({key for _, key in found}) == 16
        per_day = collections.Counter(key[:10] for _, key in found)
        assert list(per_day.values())[1:-1] == [4] * (len(per_day) - 2)  # of the first and last day we may see a part


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("changes", [SKIPPED, DOUBLED])
def test_an_interval_knows_no_change_of_the_clocks(zone: str, changes: dict[str, tuple[str, str, str, str]]) -> None:
    start = ms(f"2026-{changes[zone][1].replace(' ', 'T')}")
    found = clock.upcoming(clock.Times("every 1800s", zone, start), start, 100)
    assert [at for at, _ in found] == [start + n * HOUR // 2 for n in range(1, 101)]
    assert len({key for _, key in found}) == 100


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("changes", [SKIPPED, DOUBLED])
def test_quiet_hours_are_those_of_the_clocks_on_the_wall(
    zone: str, changes: dict[str, tuple[str, str, str, str]]
) -> None:
    start = ms(f"2026-{changes[zone][1].replace(' ', 'T')}")
    times = clock.Times("every 300s", zone, start, quiet="01:50-02:20")
    walls = [clock.utc(at).astimezone(ZoneInfo(zone)) for at, _ in clock.upcoming(times, start, 600)]
    everything = [clock.utc(start + n * 300_000).astimezone(ZoneInfo(zone)) for n in range(1, 900)]
    loud = [wall for wall in everything if not "01:50" <= f"{wall:%H:%M}" < "02:20"]
    assert walls == loud[:600]


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
    found = list(itertools.islice(clock.dues(clock.Times(rule, zone), start), 10))
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
    found = clock.next_due(clock.Times(rule, zone), after)
    assert found is not None
    assert found[0] == min((at for at in wanted if at > after), default=found[0])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 10**6), st.integers(0, 10**12), st.integers(0, 10**12))
def test_an_interval_is_due_strictly_later_on_its_grid(seconds: int, anchor: int, after: int) -> None:
    due = clock.next_due(clock.Times(f"every {seconds}s", anchor=anchor), after)
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
    assert clock.latest_due(clock.Times(rule), ms(first), ms(now)) == (ms(last), last)


def test_before_the_first_there_is_no_last_due_moment() -> None:
    assert clock.latest_due(clock.Times("cron 0 9 * * *"), ms("2026-11-02T09:00"), ms("2026-11-02T08:00")) is None


def test_every_second_day_counts_from_its_date_or_from_the_next_time() -> None:
    assert of("calendar 2d 09:00", "Europe/Helsinki", "2026-11-21T06:59", 3) == [
        "11-21 07:00 11-21T09:00", "11-23 07:00 11-23T09:00", "11-25 07:00 11-25T09:00"]  # fmt: skip
    assert of("calendar 2d 09:00", "Europe/Helsinki", "2026-11-21T07:00", 1) == ["11-22 07:00 11-22T09:00"]
    assert of("calendar 2w 09:00 2026-11-02", "UTC", "2026-11-21T07:00", 2) == [
        "11-30 09:00 11-30T09:00", "12-14 09:00 12-14T09:00"]  # fmt: skip
    assert of("calendar 1w 09:00 2026-12-24", "UTC", "2026-11-21T07:00", 1) == ["12-24 09:00 12-24T09:00"]


def test_a_month_without_the_31st_has_its_last_day() -> None:
    assert [due[:5] for due in of("calendar 1mo 09:00 2027-10-31", "UTC", "2027-10-30T00:00", 6)] == [
        "10-31", "11-30", "12-31", "01-31", "02-29", "03-31"]  # fmt: skip
    assert [due[:5] for due in of("calendar 5mo 09:00 2026-01-30", "UTC", "2026-02-01T00:00", 4)] == [
        "06-30", "11-30", "04-30", "09-30"]  # fmt: skip


def test_what_is_due_in_quiet_hours_is_not_due() -> None:
    assert of("cron 0 */8 * * *", "Europe/Helsinki", "2026-11-21T00:00", 3, quiet="22:00-08:00") == [
        "11-21 06:00 11-21T08:00", "11-21 14:00 11-21T16:00", "11-22 06:00 11-22T08:00"]  # fmt: skip


def test_random_times_change_from_day_to_day_and_with_the_seed_and_stay_otherwise() -> None:
    def drawn(seed: int) -> list[str]:
        times = clock.Times("random 3 09:00-21:00 7200s", "Europe/Helsinki", 0, seed)
        return [key for _, key in clock.upcoming(times, ms("2026-11-21T00:00"), 30)]

    assert drawn(7)[:3] == ["2026-11-21T11:58", "2026-11-21T17:29", "2026-11-21T19:56"]
    assert len({key[11:] for key in drawn(7)}) > 20
    assert set(drawn(7)).isdisjoint(drawn(8))


def test_every_choice_of_random_times_is_as_likely() -> None:
    times = clock.Times("random 2 10:00-10:05 120s", "UTC")  # 0 2, 0 3, 0 4, 1 3, 1 4, 2 4
    keys = [key for _, key in clock.upcoming(times, ms("2026-01-01T00:00"), 2 * 1200)]
    pairs = zip(keys[::2], keys[1::2], strict=True)
    choices = collections.Counter((first[15:], second[15:]) for first, second in pairs)
    assert set(choices) == {("0", "2"), ("0", "3"), ("0", "4"), ("1", "3"), ("1", "4"), ("2", "4")}
    assert all(140 < count < 260 for count in choices.values())  # 200 each, give or take four standard deviations
