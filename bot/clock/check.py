"""Check: whether a rule and its conditions are what they seem, and are ever due."""

from __future__ import annotations

import itertools
from dataclasses import replace

from bot.clock.due import Times, upcoming
from bot.clock.rules import check_rule, zone_of
from bot.clock.window import parse_window
from bot.errors import BadSchedule

LONGEST_WAIT_MS = 2 * 366 * 86_400_000
LOOKED_AT = 30  # times whose distances are compared with the jitter


def check(times: Times, now: int) -> None:
    """Raises BadSchedule with what is wrong, first of all."""
    check_rule(times.rule)
    zone_of(times.zone)
    if times.quiet:
        _check_quiet(times)
    _check_jitter(times, now)
    if not (first := upcoming(times, now, 1)) or first[0][0] > now + LONGEST_WAIT_MS:
        unheard = f", because of the quiet hours {times.quiet}" if times.quiet else ""
        raise BadSchedule(reason=f"This would not be due once in two years{unheard}.")


def _check_quiet(times: Times) -> None:
    quiet = parse_window(times.quiet)
    if str(quiet) != times.quiet:
        raise BadSchedule(reason=f"Write the quiet hours as {quiet}.")
    kind, _, rest = times.rule.partition(" ")
    if kind == "random" and parse_window(between := rest.split()[1]).overlaps(quiet):
        raise BadSchedule(reason=f"The quiet hours {quiet} reach into {between}: choose a window outside of them.")


def _check_jitter(times: Times, now: int) -> None:
    if times.jitter_s < 0:
        raise BadSchedule(reason=f"{times.jitter_s} s is no jitter: it is 0 or more.")
    if times.jitter_s and times.rule.startswith("random "):
        raise BadSchedule(
            reason="Random times need no jitter, and with it could come closer to each other than wished."
        )
    if times.jitter_s:
        named = upcoming(replace(times, jitter_s=0, quiet=""), now, LOOKED_AT)
        shortest = min((later[0] - sooner[0] for sooner, later in itertools.pairwise(named)), default=None)
        if shortest is not None and times.jitter_s * 1000 > shortest:
            between = f"the {shortest / 1000:g} s between two of its times"
            raise BadSchedule(reason=f"A jitter of {times.jitter_s} s is longer than {between}.")
