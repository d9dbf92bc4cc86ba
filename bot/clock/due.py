"""Due: the instants at which something is due, by its rule and the conditions of its schedule."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from bot.clock.kinds import next_wall_of
from bot.clock.wall import next_instant, utc, wall_of
from bot.clock.window import inside, parse_window, turns
from bot.domain import Schedule

LONGEST_SILENCE_MS = 2 * 366 * 86_400_000  # quiet hours that take every time for so long take them for ever


@dataclass(frozen=True)
class Times:
    """What decides when something is due: a rule as `rule_from` writes it, and conditions (see domain.Schedule)."""

    rule: str
    zone: str = "UTC"
    anchor: int = 0  # what intervals, and calendar rules without a date, count from
    seed: int = 0
    quiet: str = ""
    jitter_s: int = 0


def times_of(schedule: Schedule) -> Times:
    return Times(schedule.rule, schedule.zone, schedule.anchor, schedule.seed, schedule.quiet, schedule.jitter_s)


def next_due(times: Times, after: int) -> tuple[int, str] | None:
    """The first due instant strictly after `after`, and its wall key; None if there is none in nine years, or none
    that quiet hours leave in two.

    The wall key of an interval is the instant that its rule names. That of every other rule is the local wall time
    without offset, so that an hour which autumn doubles is one occurrence whoever computes it. Jitter is not in it.
    """
    return next(dues(times, after), None)


def dues(times: Times, after: int) -> Iterator[tuple[int, str]]:
    """All due instants strictly after `after`, with their wall keys."""
    for instant, wall_key in _heard(times, after - times.jitter_s * 1000):
        due = instant + _lateness(times, instant, wall_key)
        if due > after:
            yield due, wall_key


def upcoming(times: Times, after: int, n: int = 5) -> list[tuple[int, str]]:
    """The next `n` due instants strictly after `after`, with their wall keys."""
    return list(itertools.islice(dues(times, after), n))


def latest_due(times: Times, first: int, now: int) -> tuple[int, str] | None:
    """The last due instant from `first` up to `now` and its wall key, by bisection instead of walking there."""
    earliest = next_due(times, first - 1)
    if earliest is None or earliest[0] > now:
        return None
    last = next_due(times, earliest[0])
    if last is None or last[0] > now:
        return earliest
    none_after, middle = now, max(last[0], now - (last[0] - earliest[0]))
    due = next_due(times, middle)
    if due is not None and due[0] <= now:
        last, middle = due, due[0]  # of a regular rule the last one already: nothing follows it
    while last[0] < none_after:
        due = next_due(times, middle)
        if due is None or due[0] > now:
            none_after = middle
        else:
            last = due
        middle = (last[0] + none_after) // 2
    return last


def quiet_at(times: Times, instant: int) -> bool:
    """Whether nothing may be said then."""
    return bool(times.quiet) and inside(parse_window(times.quiet), ZoneInfo(times.zone), instant)


def quiet_turns(times: Times, instant: int) -> int | None:
    """When the quiet hours begin or, within them, end next; None without any."""
    return turns(parse_window(times.quiet), ZoneInfo(times.zone), instant) if times.quiet else None


def speaks(seed: int, chance: float, wall_key: str) -> bool:
    """Whether chance lets this occurrence speak: the same answer whenever it is asked."""
    return drawn(seed, "chance", wall_key) < chance * 2**64


def drawn(seed: int, what: str, wall_key: str) -> int:
    """64 bits that follow from these alone."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{what}:{wall_key}".encode()).digest()[:8], "big")


def _named(times: Times) -> Callable[[int], tuple[int, str] | None]:
    """How the instants that the rule names are found, one after another, whatever the conditions."""
    kind, _, rest = times.rule.partition(" ")
    if kind == "every":
        step = int(rest.removesuffix("s")) * 1000

        def next_of_interval(after: int) -> tuple[int, str]:
            due = times.anchor + max(1, (after - times.anchor) // step + 1) * step
            return due, utc(due).isoformat(timespec="milliseconds").replace("+00:00", "Z")

        return next_of_interval
    zone = ZoneInfo(times.zone)
    next_wall = next_wall_of(times.rule, zone, times.anchor, times.seed)

    def next_of_wall(after: int) -> tuple[int, str] | None:
        at = next_instant(next_wall, zone, utc(after))
        return None if at is None else (round(at.timestamp() * 1000), wall_of(at, zone).strftime("%Y-%m-%dT%H:%M"))

    return next_of_wall


def _heard(times: Times, after: int) -> Iterator[tuple[int, str]]:
    """What the rule names outside the quiet hours."""
    next_named = _named(times)
    quiet, zone = (parse_window(times.quiet) if times.quiet else None), ZoneInfo(times.zone)
    latest = after + LONGEST_SILENCE_MS
    while (found := next_named(after)) is not None:
        after = found[0]
        if quiet is None or not inside(quiet, zone, after):
            latest = after + LONGEST_SILENCE_MS
            yield found
        elif after > latest:
            return
        else:
            after = turns(quiet, zone, after) - 1


def _lateness(times: Times, instant: int, wall_key: str) -> int:
    """Milliseconds of jitter: never up to what the rule names next, and never into quiet hours."""
    if not times.jitter_s:
        return 0
    following = _named(times)(instant)
    bounds = (None if following is None else following[0], quiet_turns(times, instant))
    room = (min((bound for bound in bounds if bound is not None), default=instant + 10**12) - instant - 1) // 1000
    return drawn(times.seed, "jitter", wall_key) % (min(times.jitter_s, room) + 1) * 1000
