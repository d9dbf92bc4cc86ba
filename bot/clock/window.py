"""Window: a part of the day in wall time, such as quiet hours, and the instants at which it begins and ends."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from bot.clock.wall import offset_of, utc, wall_of
from bot.errors import BadSchedule

DAY_MINUTES = 24 * 60
MINUTE_MS = 60_000
DAY_MS = DAY_MINUTES * MINUTE_MS


@dataclass(frozen=True)
class Window:
    """From one minute of the day up to, not including, another; over midnight if that is not later."""

    start: int
    end: int  # at most 24 * 60

    @property
    def minutes(self) -> int:
        """How long it is on a day without a change of the clocks."""
        return (self.end - self.start - 1) % DAY_MINUTES + 1

    def holds(self, minute: int) -> bool:
        return (minute - self.start) % DAY_MINUTES < self.minutes

    def overlaps(self, other: Window) -> bool:
        return self.holds(other.start) or other.holds(self.start)

    def __str__(self) -> str:
        return f"{written(self.start)}-{written(self.end)}"


def parse_time(text: str) -> int:
    """Minutes since midnight of `09:30`; BadSchedule for anything else. 24:00 is the end of the day."""
    found = re.fullmatch(r"(\d{1,2}):(\d\d)", text.strip(), re.ASCII)
    minutes = int(found[1]) * 60 + int(found[2]) if found and int(found[2]) < 60 else -1
    if not 0 <= minutes <= DAY_MINUTES:
        raise BadSchedule(reason=f'"{text}" is not a time of day: write it like 09:30.')
    return minutes


@lru_cache(maxsize=1024)
def parse_window(text: str) -> Window:
    """The window that `22:00-07:00` means; BadSchedule for anything else, also for one without length."""
    start, dash, end = text.partition("-")
    if not dash:
        raise BadSchedule(reason=f'"{text}" is not a part of the day: write it like 22:00-07:00.')
    window = Window(parse_time(start) % DAY_MINUTES, parse_time(end))
    if window.start == window.end:
        raise BadSchedule(reason=f'"{text}" begins and ends at the same time: the whole day is 00:00-24:00.')
    return window


def window_from(text: str) -> str:
    """The window as it is stored, `07:00-09:30`, from what a person wrote; BadSchedule if it is none."""
    return str(parse_window(text))


def inside(window: Window, zone: ZoneInfo, instant: int) -> bool:
    """Whether the clocks there show a time within the window."""
    return window.holds(_ms_of_day(zone, instant) // MINUTE_MS)


def turns(window: Window, zone: ZoneInfo, instant: int) -> int:
    """The first instant after this one at which the clocks there come into the window or out of it."""
    within = inside(window, zone, instant)
    edge = (window.end if within else window.start) * MINUTE_MS
    turn = instant + ((edge - _ms_of_day(zone, instant) - 1) % DAY_MS + 1)
    if _offset(zone, turn) == _offset(zone, instant):
        return turn
    change = _change(zone, instant, turn)  # which may leap over the edge, or back before it
    return change if inside(window, zone, change) != within else turns(window, zone, change)


def _change(zone: ZoneInfo, before: int, after: int) -> int:
    """The instant, after the one and up to the other, from which on the clocks are as they are at the other."""
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == _offset(zone, before):
            before = middle
        else:
            after = middle
    return after


def _ms_of_day(zone: ZoneInfo, instant: int) -> int:
    wall = wall_of(utc(instant), zone)
    return (wall.hour * 60 + wall.minute) * MINUTE_MS + wall.second * 1000 + wall.microsecond // 1000


def _offset(zone: ZoneInfo, instant: int) -> timedelta:
    return offset_of(utc(instant), zone)


def written(minutes: int) -> str:
    """09:30 of 570."""
    return f"{minutes // 60:02}:{minutes % 60:02}"
