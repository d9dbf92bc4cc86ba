"""The clock: what a schedule's rule means, when it is due next, and one alarm that rings then (hides APScheduler)."""

from bot.clock.alarm import Alarm, now_ms
from bot.clock.due import dues, latest_due, next_due, upcoming, utc
from bot.clock.rules import parse_every, rule_from, zone_of

__all__ = [
    "Alarm",
    "dues",
    "latest_due",
    "next_due",
    "now_ms",
    "parse_every",
    "rule_from",
    "upcoming",
    "utc",
    "zone_of",
]
