"""Rules and zones are read as people mean them; what is none is refused with a reason."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot import clock
from bot.errors import BadSchedule


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


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
        due = clock.next_due(clock.Times(clock.rule_from(None, f"0 9 * * {number}")), ms("2026-11-18T00:00"))
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


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"every": "2d", "at": "9:00"}, "calendar 2d 09:00"),
        ({"every": "1W", "at": "00:00", "on": "2026-11-30"}, "calendar 1w 00:00 2026-11-30"),
        ({"every": "12mo", "at": "23:59"}, "calendar 12mo 23:59"),
        ({"times": 3, "between": "9:00-21:00", "apart": "2h"}, "random 3 09:00-21:00 7200s"),
        ({"times": 1, "between": "22:00-02:00"}, "random 1 22:00-02:00 60s"),
        ({"times": 24, "between": "00:00-24:00", "apart": "1m"}, "random 24 00:00-24:00 60s"),
    ],
)
def test_calendar_rules_and_random_times(given: dict[str, Any], stored: str) -> None:
    assert clock.rule_from(**given) == stored
    clock.check(clock.Times(stored), ms("2026-11-20T00:00"))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"every": "2h", "at": "09:00"}, "go with days, weeks or months"),
        ({"every": "0d", "at": "09:00"}, "go with days, weeks or months"),
        ({"every": "14mo", "at": "09:00"}, "up to a year"),
        ({"every": "1mo"}, "at what time"),
        ({"every": "1d", "on": "2026-11-30"}, "at what time"),
        ({"every": "1d", "at": "24:00"}, "write 00:00"),
        ({"every": "1d", "at": "9"}, "not a time of day"),
        ({"every": "1d", "at": "09:60"}, "not a time of day"),
        ({"every": "1d", "at": "25:00"}, "not a time of day"),
        ({"every": "1d", "at": "09:00", "on": "2026-02-30"}, "not a date"),
        ({"every": "1d", "at": "09:00", "on": "tomorrow"}, "not a date"),
        ({"cron": "0 9 * * *", "at": "09:00"}, "go with an interval"),
        ({"every": "1h", "between": "09:00-21:00"}, "go with a number of times a day"),
        ({"times": 3}, "between which times"),
        ({"times": 0, "between": "09:00-21:00"}, "not a number of times"),
        ({"times": 3, "between": "09:00"}, "not a part of the day"),
        ({"times": 3, "between": "09:00-09:00"}, "begins and ends at the same time"),
        ({"times": 3, "between": "09:00-12:00", "apart": "2h"}, "do not fit into 09:00-12:00"),
        ({"times": 3, "between": "09:00-13:00", "apart": "2h"}, "the last must come before its end"),
        ({"times": 3, "between": "00:00-24:00", "apart": "2h"}, "make the window smaller"),
        ({"times": 3, "between": "09:00-21:00", "apart": "2x"}, "not an interval"),
        ({"times": 3, "every": "1h", "between": "09:00-21:00"}, "either"),
    ],
)
def test_what_is_no_calendar_rule_and_what_does_not_fit_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(BadSchedule, match=why):
        clock.rule_from(**given)


@pytest.mark.parametrize(
    ("times", "why"),
    [
        (clock.Times("every 0s"), "not an interval"),
        (clock.Times("daily 09:00"), "either"),
        (clock.Times("cron 0 9 * * 1"), "as it is stored"),
        (clock.Times("calendar 1d 9:00"), "as it is stored"),
        (clock.Times("random 3 09:00-21:00"), "as it is stored"),
        (clock.Times("every 60s", "Mars/Olympus"), "no time zone"),
        (clock.Times("every 60s", quiet="22:00"), "not a part of the day"),
        (clock.Times("every 60s", quiet="7:00-22:00"), "as 07:00-22:00"),
        (clock.Times("every 60s", quiet="00:00-24:00"), "once in two years, because of the quiet hours"),
        (clock.Times("cron 0 23 * * *", quiet="22:00-07:00"), "once in two years, because of the quiet hours"),
        (clock.Times("random 2 09:00-22:01 60s", quiet="22:00-07:00"), "reach into"),
        (clock.Times("random 2 09:00-22:00 60s", jitter_s=1), "need no jitter"),
        (clock.Times("every 60s", jitter_s=61), "longer than the 60 s"),
        (clock.Times("cron 0,5 9 * * *", jitter_s=301), "longer than the 300 s"),
        (clock.Times("every 60s", jitter_s=-1), "0 or more"),
        (clock.Times("calendar 1d 09:00 2028-11-30"), "once in two years"),
    ],
)
def test_a_schedule_that_makes_no_sense_or_never_speaks_is_refused(times: clock.Times, why: str) -> None:
    with pytest.raises(BadSchedule, match=why):
        clock.check(times, ms("2026-11-20T00:00"))


def test_a_schedule_that_barely_makes_sense_is_taken() -> None:
    for times in (
        clock.Times("every 60s", jitter_s=60),
        clock.Times("cron 0 22 * * *", quiet="22:01-22:00"),
        clock.Times("random 2 09:00-22:00 60s", quiet="22:00-09:00"),
        clock.Times("cron 0 9 29 2 *"),
    ):
        clock.check(times, ms("2026-11-20T00:00"))
