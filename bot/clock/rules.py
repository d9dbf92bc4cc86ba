"""Rules: what a person writes for when something is to be said, and how it is stored."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from bot.clock.kinds import A_LEAP_YEAR, fits, next_wall_of
from bot.clock.window import DAY_MINUTES, parse_time, parse_window, written
from bot.errors import BadSchedule, did_you_mean

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
LONGEST_EVERY_DAYS = 366
LONGEST_EVERY = LONGEST_EVERY_DAYS * SECONDS["d"]
CALENDAR_DAYS = {"d": 1, "w": 7, "mo": 28}  # at least
# As crontab numbers them; 7 is Sunday too. APScheduler 3 counts from Monday instead, so numbers never reach it.
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def parse_every(text: str) -> int:
    """Seconds of `90s`, `30m`, `1h`, `2d` or `1w`; BadSchedule for anything else, nothing and over a year."""
    found = re.fullmatch(r"(\d{1,9})\s*([smhdw])", text.strip().lower())
    seconds = int(found[1]) * SECONDS[found[2]] if found else 0
    if not 1 <= seconds <= LONGEST_EVERY:
        raise BadSchedule(reason=f'"{text}" is not an interval up to a year: write 90s, 30m, 1h, 2d or 1w.')
    return seconds


def rule_from(
    every: str | None = None,
    cron: str | None = None,
    at: str | None = None,
    on: str | None = None,
    times: int | None = None,
    between: str | None = None,
    apart: str | None = None,
) -> str:
    """The rule as it is stored, from what a person wrote; BadSchedule if it is none, or never comes.

    `every 3600s`: an interval. `cron 0 9 * * mon-fri`: as crontab(5). `calendar 2d 09:00` and, with the date from which
    it counts, `calendar 1mo 09:00 2026-11-30`: every so many days, weeks or months at a wall time; a month without that
    day has it on its last. `random 3 09:00-21:00 7200s`: so many times a day between two wall times, so far apart.
    """
    if [every, cron, times].count(None) != 2:
        raise BadSchedule(
            reason='Give either an interval, such as 1h, or a cron rule, such as "0 9 * * mon-fri", or times a day.'
        )
    if every is None and (at is not None or on is not None):
        raise BadSchedule(reason="A time of day and a date go with an interval of days, weeks or months, such as 2d.")
    if times is None and (between is not None or apart is not None):
        raise BadSchedule(
            reason="A part of the day (between) and a distance (apart) go with a number of times a day, such as 3."
        )
    if times is not None:
        return _random(times, between, apart or "1m")
    if cron is not None:
        return _cron(cron)
    assert every is not None
    if at is not None or on is not None or re.fullmatch(r"\d+\s*mo", every.strip().lower()):
        return _calendar(every, at, on)
    return f"every {parse_every(every)}s"


def check_rule(rule: str) -> None:
    """Raises BadSchedule unless the rule is one as `rule_from` writes it."""
    kind, _, rest = rule.partition(" ")
    words = [*rest.split(" "), "", "", ""]
    kinds: dict[str, dict[str, Any]] = {
        "every": {"every": rest},
        "cron": {"cron": rest},
        "calendar": {"every": words[0], "at": words[1], "on": words[2] or None},
        "random": {"times": int(words[0]) if words[0].isdecimal() else 0, "between": words[1], "apart": words[2]},
    }
    if rule_from(**kinds.get(kind, {})) != rule:
        raise BadSchedule(reason=f'"{rule}" is not a rule as it is stored.')


def _calendar(every: str, at: str | None, on: str | None) -> str:
    found = re.fullmatch(r"([1-9]\d{0,2})\s*(d|w|mo)", every.strip().lower(), re.ASCII)
    if not found or int(found[1]) * CALENDAR_DAYS[found[2]] > LONGEST_EVERY_DAYS:
        raise BadSchedule(
            reason=f'A time of day and a date go with days, weeks or months up to a year (2d, 1w, 1mo), not "{every}".'
        )
    if at is None:
        raise BadSchedule(reason=f"Say at what time of the day, every {every.strip()}: for instance at 09:00.")
    minutes = parse_time(at)
    if minutes == DAY_MINUTES:
        raise BadSchedule(reason='"24:00" is the end of a day: write 00:00.')
    if on is None:
        return f"calendar {found[1]}{found[2]} {written(minutes)}"
    try:
        day = datetime.strptime(on.strip(), "%Y-%m-%d").date()
    except ValueError:
        raise BadSchedule(reason=f'"{on}" is not a date: write it like 2026-11-30.') from None
    return f"calendar {found[1]}{found[2]} {written(minutes)} {day.isoformat()}"


def _random(times: int, between: str | None, apart: str) -> str:
    if between is None:
        raise BadSchedule(reason=f"Say between which times of the day it is to come {times} times: 09:00-21:00.")
    window, apart_s = parse_window(between), parse_every(apart)
    if not 1 <= times <= DAY_MINUTES:
        raise BadSchedule(reason=f"{times} is not a number of times a day: write one from 1 to {DAY_MINUTES}.")
    if window.minutes - 1 + -(-apart_s // 60) > DAY_MINUTES:
        raise BadSchedule(
            reason=f"From the end of {window} to its next beginning it is less than {apart}: make the window smaller."
        )
    if not fits(times, str(window), apart_s):
        raise BadSchedule(
            reason=f"{times} times at least {apart} apart do not fit into {window}: the last must come before its end."
        )
    return f"random {times} {window} {apart_s}s"


def _cron(cron: str) -> str:
    fields = cron.lower().split()
    if len(fields) != 5:
        raise BadSchedule(reason=f'"{cron}" is not a cron rule: write minute, hour, day, month and weekday.')
    rule = f"cron {' '.join(fields[:4])} {_weekdays(fields[4])}"
    try:
        first = next_wall_of(rule, ZoneInfo("UTC"), 0, 0)(A_LEAP_YEAR)
    except ValueError as error:
        raise BadSchedule(reason=f'"{cron}" is not a cron rule ({error}).') from error
    if first is None:
        raise BadSchedule(reason=f'"{cron}" names a date that never comes.')
    return rule


def _weekdays(field: str) -> str:
    """Weekdays as cron users write them (`1-5`, `0,6`, `5-7`, `*/2`, `fri-mon`) -> by name, from Monday on."""
    if field == "*":
        return field
    days = {day for part in field.split(",") for day in _weekdays_of(part, field)}
    runs: list[list[str]] = [[]]
    for number in (1, 2, 3, 4, 5, 6, 0):
        if number in days:
            runs[-1].append(WEEKDAYS[number])
        elif runs[-1]:
            runs.append([])
    if len(days) == 7:
        return "*"
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ",".join(run) for run in runs if run)


def _weekdays_of(part: str, field: str) -> list[int]:
    found = re.fullmatch(r"(?:(\*)|([a-z]{3}|\d)(?:-([a-z]{3}|\d))?)(?:/(\d+))?", part)
    step = int(found[4] or 1) if found else 0
    if not found or step < 1 or (found[4] and found[2] and not found[3]):
        raise BadSchedule(reason=f'"{field}" names no weekdays: write 1-5, mon-fri or sat,sun.')
    if found[1]:
        return list(range(0, 7, step))
    first = _weekday(found[2], field)
    last = _weekday(found[3] or found[2], field)
    if last < first:
        last += 7  # fri-mon, or 5-0: over the end of the week
    return [day % 7 for day in range(first, last + 1, step)]


def _weekday(word: str, field: str) -> int:
    if word in WEEKDAYS:
        return WEEKDAYS.index(word)
    if word.isdecimal() and int(word) <= 7:
        return int(word)
    raise BadSchedule(reason=f'"{word}" in "{field}" is no weekday: write 0 (Sunday) to 6, or sun to sat.')


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this IANA name; BadSchedule with the nearest name if there is none."""
    known = available_timezones()
    if name in known:
        return ZoneInfo(name)
    of_city = {zone.rpartition("/")[2]: zone for zone in sorted(known) if "/" in zone}
    city = {town.lower(): zone for town, zone in of_city.items()}.get(name.strip().lower().replace(" ", "_"))
    nearest = f' (did you mean "{city}"?)' if city else did_you_mean(name, known)
    raise BadSchedule(reason=f'There is no time zone "{name}"{nearest}: write it like Europe/Helsinki.')
