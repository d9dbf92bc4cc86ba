"""Wall: what clocks on the wall show, and when; a rule is read on one that never changes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

# A wall time is written as if it were UTC: the changes of the clocks do not exist in it.
NextWall = Callable[[datetime], datetime | None]
"""The first wall time of a rule at or after another; None if there is none in nine years."""


def next_instant(next_wall: NextWall, zone: ZoneInfo, after: datetime) -> datetime | None:
    """The first instant of a rule strictly after `after`, in UTC.

    Only when the rule was read, on a wall clock that never changes, its wall times become instants: a skipped one moves
    to as long after the change as it was before (PEP 495, fold=0), a doubled one is the first of both. Left to
    themselves, APScheduler's CronTrigger forgets the rest of a skipped hour once it has passed the change, and its
    CalendarIntervalTrigger that whole day.
    """
    change = offset_of(after, zone) - offset_of(after - timedelta(hours=3), zone)
    wall = next_wall(wall_of(after, zone) - max(change, timedelta(0)))
    best: datetime | None = None
    while wall is not None and (best is None or wall < wall_of(best, zone)):
        instant = instant_of(wall, zone)
        if instant > after and (best is None or instant < best):
            best = instant
        more = best is None or wall < wall_of(best, zone)
        wall = next_wall(wall + timedelta(minutes=1)) if more else None
    return best


def wall_of(instant: datetime, zone: ZoneInfo) -> datetime:
    """The wall time there at an instant."""
    return instant.astimezone(zone).replace(tzinfo=UTC, fold=0)


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, at which the wall time is first shown there, or would have been."""
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def is_shown(wall: datetime, zone: ZoneInfo) -> bool:
    """Whether the clocks there ever show this wall time."""
    return wall_of(instant_of(wall, zone), zone) == wall


def offset_of(instant: datetime, zone: ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def utc(instant: int) -> datetime:
    """An instant, in milliseconds, as APScheduler and zones want it."""
    return datetime.fromtimestamp(instant // 1000, UTC) + timedelta(milliseconds=instant % 1000)


def iso(instant: int) -> str:
    return utc(instant).isoformat(timespec="seconds")
