"""Rules: what a person writes for when something is to be said, and how it is stored."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, available_timezones

from bot.clock.due import next_of_cron
from bot.errors import BadSchedule, did_you_mean

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
LONGEST_EVERY = 366 * SECONDS["d"]
# As crontab numbers them; 7 is Sunday too. APScheduler 3 counts from Monday instead, so numbers never reach it.
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
A_LEAP_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


def parse_every(text: str) -> int:
    """Seconds of `90s`, `30m`, `1h`, `2d` or `1w`; BadSchedule for anything else, nothing and over a year."""
    found = re.fullmatch(r"(\d{1,9})\s*([smhdw])", text.strip().lower())
    seconds = int(found[1]) * SECONDS[found[2]] if found else 0
    if not 1 <= seconds <= LONGEST_EVERY:
        raise BadSchedule(reason=f'"{text}" is not an interval up to a year: write 90s, 30m, 1h or 2d.')
    return seconds


def rule_from(every: str | None, cron: str | None) -> str:
    """The rule as it is stored, `every 3600s` or `cron 0 9 * * mon-fri`, from what a person wrote."""
    if (every is None) == (cron is None):
        raise BadSchedule(reason='Give either an interval, such as 1h, or a cron rule, such as "0 9 * * mon-fri".')
    if every is not None:
        return f"every {parse_every(every)}s"
    assert cron is not None
    fields = cron.lower().split()
    if len(fields) != 5:
        raise BadSchedule(reason=f'"{cron}" is not a cron rule: write minute, hour, day, month and weekday.')
    rule = f"cron {' '.join(fields[:4])} {_weekdays(fields[4])}"
    try:
        first = next_of_cron(rule, ZoneInfo("UTC"), A_LEAP_YEAR)
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
