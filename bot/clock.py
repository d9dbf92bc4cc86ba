"""The clock: what a schedule's rule means, when it is due next, and one alarm that rings then (hides APScheduler)."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from bot.errors import BadSchedule, did_you_mean

log = logging.getLogger(__name__)

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
LONGEST_EVERY = 366 * SECONDS["d"]
# As crontab numbers them; 7 is Sunday too. APScheduler 3 counts from Monday instead, so numbers never reach it.
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
HORIZON = timedelta(days=9 * 366)  # longer than between any two 29ths of February
A_LEAP_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
SOON = timedelta(milliseconds=20)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


# --- Rules ------------------------------------------------------------------------------------------------------------


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
        first = _next_of_cron(rule, ZoneInfo("UTC"), A_LEAP_YEAR)
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


# --- When is it due? --------------------------------------------------------------------------------------------------


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
    at = _next_of_cron(rule, there, utc(after))
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


def _next_of_cron(rule: str, zone: ZoneInfo, after: datetime) -> datetime | None:
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


# --- The alarm --------------------------------------------------------------------------------------------------------


class Alarm:
    """Rings once at the time it was set to, and at least every `longest_s` seconds; one ringing at a time."""

    def __init__(self, ring: Callable[[], Awaitable[None]], longest_s: float = 30.0) -> None:
        self._ring = ring
        self._longest = timedelta(seconds=longest_s)
        self._due: int | None = None
        self._ringing: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._scheduler: AsyncIOScheduler | None = None
        self._job: Job | None = None

    def start(self) -> None:
        """Starts in the running event loop and rings at once: something may have become due while we were away."""
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._job = self._scheduler.add_job(
            self._run,
            IntervalTrigger(seconds=self._longest.total_seconds(), timezone=UTC),
            next_run_time=datetime.now(UTC),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
        self._scheduler.start()

    def set(self, next_due_ms: int | None) -> None:
        """Sets the time to ring next, in place of the one before; None leaves only the regular ringing."""
        self._due = next_due_ms
        if self._idle.is_set():
            self._arm()

    async def stop(self) -> None:
        """Cancels a ringing under way, waits until it has ended, and rings no more."""
        scheduler, self._scheduler, self._job = self._scheduler, None, None
        if self._ringing is not None:
            self._ringing.cancel()
        await self._idle.wait()
        if scheduler is not None:
            scheduler.shutdown(wait=False)
            await asyncio.sleep(0)  # its shutdown is a callback of the loop

    async def _run(self) -> None:
        if self._job is None:
            return
        if self._due is not None and self._due <= now_ms():
            self._due = None
        self._idle.clear()
        # A task of our own, because APScheduler would abandon one of its own when it shuts down.
        self._ringing = asyncio.ensure_future(self._ring())
        await asyncio.wait([self._ringing])
        if not self._ringing.cancelled() and (error := self._ringing.exception()) is not None:
            log.error("what the alarm calls has failed; it rings again", exc_info=error)
        self._ringing = None
        self._idle.set()
        self._arm()

    def _arm(self) -> None:
        if self._job is None:
            return
        # Not at this very moment: the ringing that just ended still counts as running until the loop has turned.
        soonest = datetime.now(UTC) + SOON
        latest = datetime.now(UTC) + self._longest
        self._job.modify(next_run_time=latest if self._due is None else min(latest, max(soonest, utc(self._due))))
