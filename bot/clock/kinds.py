"""Kinds: the wall times that a cron rule, a calendar rule and a rule of random times name."""

from __future__ import annotations

import hashlib
from calendar import monthrange
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from bot.clock.wall import NextWall, instant_of, is_shown, utc, wall_of
from bot.clock.window import DAY_MINUTES, parse_time, parse_window

HORIZON = timedelta(days=9 * 366)  # longer than between any two 29ths of February
A_LEAP_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def next_wall_of(rule: str, zone: ZoneInfo, anchor: int, seed: int) -> NextWall:
    """How the wall times of a rule are found, one after another."""
    kind, *words = rule.split()
    if kind == "cron":
        triggers = _triggers(rule)
        return lambda start: _of_cron(triggers, start)
    if kind == "calendar":
        first = _first_of_calendar(words[1], words[2] if len(words) > 2 else None, zone, anchor)
        number, months = count_of(words[0])
        return lambda start: _of_months(first, number, start) if months else _of_days(first, number * DAY, start)
    count, between, apart = words
    return lambda start: _of_random(int(count), between, int(apart.removesuffix("s")), zone, seed, start)


# --- Cron -------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _triggers(rule: str) -> Sequence[CronTrigger]:
    """One for each way in which the rule can be met; those that never are would search until the year 9999."""
    minute, hour, day, month, weekday = rule.split()[1:]
    dates = [(day, weekday)]
    if not day.startswith("*") and not weekday.startswith("*"):
        dates = [(day, "*"), ("*", weekday)]  # crontab(5): with both given, either is enough
    found = []
    for on_day, on_weekday in dates:
        fields = {"minute": minute, "hour": hour, "day": on_day, "month": month, "day_of_week": on_weekday}
        bounded = CronTrigger(**fields, timezone=UTC, end_date=A_LEAP_YEAR + HORIZON)
        if bounded.get_next_fire_time(None, A_LEAP_YEAR) is not None:
            found.append(CronTrigger(**fields, timezone=UTC))
    return tuple(found)


def _of_cron(triggers: Sequence[CronTrigger], start: datetime) -> datetime | None:
    walls = (trigger.get_next_fire_time(None, start) for trigger in triggers)
    return min((wall for wall in walls if wall is not None), default=None)


# --- Calendar ---------------------------------------------------------------------------------------------------------


def count_of(step: str) -> tuple[int, bool]:
    """(2, True) of `2mo`, two months; (14, False) of `2w`, fourteen days."""
    if step.endswith("mo"):
        return int(step.removesuffix("mo")), True
    return int(step[:-1]) * (7 if step.endswith("w") else 1), False


def _first_of_calendar(at: str, on: str | None, zone: ZoneInfo, anchor: int) -> datetime:
    """The wall time from which a calendar rule counts: on its date, or the first one after `anchor`."""
    minutes = parse_time(at) * MINUTE
    if on is not None:
        return datetime.combine(date.fromisoformat(on), time(), UTC) + minutes
    made = wall_of(utc(anchor), zone)
    first = datetime.combine(made, time(), UTC) + minutes
    return first if first > made else first + DAY


def _of_days(first: datetime, step: timedelta, start: datetime) -> datetime:
    return first + max(0, -((first - start) // step)) * step


def _of_months(first: datetime, step: int, start: datetime) -> datetime:
    """On the same day of the month, or on the last one of a shorter month."""
    number = max(0, ((start.year - first.year) * 12 + start.month - first.month) // step)
    while True:
        year, month = divmod(first.year * 12 + first.month - 1 + number * step, 12)
        wall = first.replace(year=year, month=month + 1, day=min(first.day, monthrange(year, month + 1)[1]))
        if wall >= start:
            return wall
        number += 1


# --- Random times -----------------------------------------------------------------------------------------------------


def _of_random(count: int, between: str, apart_s: int, zone: ZoneInfo, seed: int, start: datetime) -> datetime | None:
    day = start.date() - DAY  # whose window may reach over midnight
    while day < start.date() + HORIZON:
        for wall in draw_walls(count, between, apart_s, zone, seed, day):
            if wall >= start:
                return wall
        day += DAY
    return None


@lru_cache(maxsize=4096)
def draw_walls(count: int, between: str, apart_s: int, zone: ZoneInfo, seed: int, day: date) -> Sequence[datetime]:
    """The wall times drawn for the window that begins on this day: every choice of minutes in which no two are closer
    than wished is equally likely. Where a change of the clocks takes so much that not all fit, fewer."""
    window, apart = parse_window(between), -(-apart_s // 60)
    start = datetime.combine(day, time(), UTC) + window.start * MINUTE
    minutes = shown_minutes(start, window.minutes, zone)
    # Only a change between yesterday's window and this one can bring them closer than the rule allows.
    yesterday = start - DAY + (window.minutes - 1) * MINUTE
    minutes = minutes[max(0, apart - (instant_of(start, zone) - instant_of(yesterday, zone)) // MINUTE) :]
    if not minutes:
        return ()
    count = min(count, 1 + (len(minutes) - 1) // apart)
    # The distances are taken out, the rest drawn freely, and the distances put in again.
    free = _draw(count, len(minutes) - (count - 1) * (apart - 1), f"{seed}:{day}")
    return tuple(start + minutes[minute + number * (apart - 1)] * MINUTE for number, minute in enumerate(free))


def shown_minutes(start: datetime, minutes: int, zone: ZoneInfo) -> Sequence[int]:
    """The minutes from a wall time on that clocks there show, without those which a change of the clocks skips: two of
    them are at least as far apart in time as in this list."""
    last = start + (minutes - 1) * MINUTE
    before = start.replace(tzinfo=zone, fold=0).utcoffset()
    after = last.replace(tzinfo=zone, fold=1).utcoffset()
    assert before is not None
    assert after is not None
    if after <= before:
        return range(minutes)
    return [minute for minute in range(minutes) if is_shown(start + minute * MINUTE, zone)]


def _draw(count: int, of: int, key: str) -> list[int]:
    """So many different numbers below `of`, in order, every choice as likely (R. Floyd's algorithm); by a hash, since
    Python's own generator does not promise the same samples in its next version."""
    chosen: set[int] = set()
    for number in range(of - count, of):
        drawn = int.from_bytes(hashlib.sha256(f"{key}:{number}".encode()).digest(), "big") % (number + 1)
        chosen.add(number if drawn in chosen else drawn)
    return sorted(chosen)


def fits(count: int, between: str, apart_s: int) -> bool:
    """Whether so many times fit into the window, so far apart from each other and from those of the next day."""
    minutes, apart = parse_window(between).minutes, -(-apart_s // 60)
    return (count - 1) * apart < minutes and minutes - 1 + apart <= DAY_MINUTES
