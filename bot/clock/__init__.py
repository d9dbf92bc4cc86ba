"""The clock: what a schedule's rule and conditions mean, when it is due next, and one alarm that rings then (hides
APScheduler)."""

from bot.clock.alarm import Alarm, now_ms
from bot.clock.check import check
from bot.clock.due import (
    Times,
    dues,
    latest_due,
    next_due,
    quiet_at,
    quiet_turns,
    speaks,
    times_of,
    upcoming,
)
from bot.clock.rules import parse_every, rule_from, zone_of
from bot.clock.wall import iso, utc
from bot.clock.window import window_from

__all__ = [
    "Alarm",
    "Times",
    "check",
    "dues",
    "iso",
    "latest_due",
    "next_due",
    "now_ms",
    "parse_every",
    "quiet_at",
    "quiet_turns",
    "rule_from",
    "speaks",
    "times_of",
    "upcoming",
    "utc",
    "window_from",
    "zone_of",
]
