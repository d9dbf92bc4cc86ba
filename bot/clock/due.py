"""Due: the instants at which a rule is due, through both changes of the clocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

HORIZON = timedelta(days=9 * 366)  # longer than between any two 29ths of February


def next_due(rule: str, zone: str, anchor: int, after: int) -> tuple[int, str] | None:
    """The first due instant strictly after `after`, and its wall key; None if there is none in nine years.

    The wall key of a cron rule is the local wall time without offset, so that an hour which autumn doubles is one
    occurrence whoever computes it; that of an interval, which counts from `anchor`, is the instant itself.
    """
    kind, _, rest = rule.partition(" ")
    if kind == "every":
        step = int(rest.removesuffix("s")) * 1000
        due = anchor + max(1, (after - anchor) // step + 1) * step
        return due, utc(due).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    there = ZoneInfo(zone)
    at = next_of_cron(rule, there, utc(after))
    if at is None:
        return None
    return round(at.timestamp() * 1000), at.astimezone(there).strftime("%Y-%m-%dT%H:%M")


def dues(rule: str, zone: str, anchor: int, after: int) -> Iterator[tuple[int, str]]:
    """All due instants strictly after `after`, with their wall keys."""
    while (due := next_due(rule, zone, anchor, after)) is not None:
        after = due[0]
        yield due


def upcoming(rule: str, zone: str, anchor: int, after: int, n: int = 5) -> list[int]:
    """The next `n` due instants strictly after `after`."""
    return [instant for instant, _ in itertools.islice(dues(rule, zone, anchor, after), n)]


def latest_due(rule: str, zone: str, anchor: int, first: int, now: int) -> tuple[int, str] | None:
    """The last due instant from `first` up to `now` and its wall key, found without walking through all of them:
    it looks back ever further, so that a frequent rule after a long silence takes few steps, and a rare one too."""
    for span in (60, 3600, 86_400, 32 * 86_400, 366 * 86_400, (now - first) // 1000 + 1):
        since = max(first - 1, now - span * 1000)
        last = None
        for due in itertools.takewhile(lambda due: due[0] <= now, dues(rule, zone, anchor, since)):
            last = due
        if last is not None:
            return last
    return None


def next_of_cron(rule: str, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first instant strictly after `after`, in UTC.

    The rule is read on a wall clock that never changes, and only then its wall times become instants: a skipped one
    moves to as long after the change as it was before (PEP 495, fold=0), a doubled one is the first of both. Left to
    itself, CronTrigger forgets the rest of a skipped hour once it has passed the change.
    """
    triggers = _triggers(rule)
    change = _offset(after, zone) - _offset(after - timedelta(hours=3), zone)
    wall = _next_wall(triggers, _wall(after, zone) - max(change, timedelta(0)))
    best: datetime | None = None
    while wall is not None and (best is None or wall < _wall(best, zone)):
        instant = wall.replace(tzinfo=zone).astimezone(UTC)
        if instant > after and (best is None or instant < best):
            best = instant
        wall = _next_wall(triggers, wall + timedelta(minutes=1)) if best is None or wall < _wall(best, zone) else None
    return best


def _triggers(rule: str) -> list[CronTrigger]:
    minute, hour, day, month, weekday = rule.split()[1:]
    dates = [(day, weekday)]
    if not day.startswith("*") and not weekday.startswith("*"):
        dates = [(day, "*"), ("*", weekday)]  # crontab(5): with both given, either is enough
    return [
        CronTrigger(minute=minute, hour=hour, day=on_day, month=month, day_of_week=on_weekday, timezone=UTC)
        for on_day, on_weekday in dates
    ]


def _next_wall(triggers: list[CronTrigger], start: datetime) -> datetime | None:
    found = []
    for trigger in triggers:
        trigger.end_date = start + HORIZON
        found.append(trigger.get_next_fire_time(None, start))
    return min((wall for wall in found if wall is not None), default=None)


def _wall(instant: datetime, zone: ZoneInfo) -> datetime:
    """The wall time there, written as if it were UTC: the changes of the clocks do not exist in it."""
    return instant.astimezone(zone).replace(tzinfo=UTC, fold=0)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def utc(instant: int) -> datetime:
    return datetime.fromtimestamp(instant // 1000, UTC) + timedelta(milliseconds=instant % 1000)
