"""The ledger: what attempts and reads have used up, reserved before they are made, so that no limit is exceeded."""

from __future__ import annotations

from dataclasses import dataclass

import sqlite_utils

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MONTH_MS = 31 * DAY_MS  # as long as the longest month, so that none of them can exceed a limit


@dataclass(frozen=True)
class Limits:
    """What an account may use up in any hour, day or 31 days; 0 is no limit."""

    posts_per_hour: int = 0
    posts_per_day: int = 0
    micros_per_day: int = 0  # millionths of a dollar
    reads_per_month: int = 0


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Wait:
    """Nothing was reserved: this limit would be exceeded before `until`, or always if that is None."""

    limit: str
    window_ms: int
    until: int | None


def reserve(
    db: sqlite_utils.Database,
    limits: Limits,
    platform: str,
    account: str,
    kind: str,
    count: int,
    micros: int,
    now: int,
    outbox_id: str,
) -> Wait | None:
    """Books `count` posts or reads (`kind` is "post" or "read") at this price, unless a limit says to wait."""
    waits = []
    for limit, most, window_ms, what, wanted in (
        ("posts_per_hour", limits.posts_per_hour, HOUR_MS, "post", count if kind == "post" else 0),
        ("posts_per_day", limits.posts_per_day, DAY_MS, "post", count if kind == "post" else 0),
        ("dollars_per_day", limits.micros_per_day, DAY_MS, "micros", micros),
        ("reads_per_month", limits.reads_per_month, MONTH_MS, "read", count if kind == "read" else 0),
    ):
        if most and wanted:
            until = _fits_at(db, platform, account, what, most - wanted, window_ms, now)
            if until is None or until > now:
                waits.append(Wait(limit, window_ms, until))
    if waits:
        return max(waits, key=lambda wait: float("inf") if wait.until is None else wait.until)
    _book(db, platform, account, kind, count, micros, now, outbox_id)
    return None


def give_back(db: sqlite_utils.Database, outbox_id: str) -> None:
    """The last attempt of this post surely was not made. It is booked back at the moment it was booked, so that both
    leave a window together."""
    rows = db.query(
        "SELECT * FROM ledger WHERE outbox_id = ? AND kind = 'post' AND count > 0 ORDER BY id DESC LIMIT 1", [outbox_id]
    )
    for row in list(rows):
        values = (row["platform"], row["account"], "post", -row["count"], -row["micros"], row["at"], outbox_id)
        _book(db, *values)


def used(db: sqlite_utils.Database, platform: str, account: str, now: int) -> dict[str, int]:
    """What counts against each limit now, by its name; dollars in millionths."""
    windows = (
        ("posts_per_hour", "post", HOUR_MS), ("posts_per_day", "post", DAY_MS),
        ("micros_per_day", "micros", DAY_MS), ("reads_per_month", "read", MONTH_MS),
    )  # fmt: skip
    return {
        name: sum(amount for _, amount in _entries(db, platform, account, what, now - window_ms))
        for name, what, window_ms in windows
    }


def of_post(db: sqlite_utils.Database, outbox_id: str) -> list[dict[str, object]]:
    """What was booked for a post, the oldest first."""
    return list(db.query("SELECT kind, count, micros, at FROM ledger WHERE outbox_id = ? ORDER BY id", [outbox_id]))


def prune(db: sqlite_utils.Database, now: int) -> None:
    """Forgets what no window can reach any more."""
    db.execute("DELETE FROM ledger WHERE at <= ?", [now - MONTH_MS])


def _fits_at(
    db: sqlite_utils.Database, platform: str, account: str, what: str, room: int, window_ms: int, now: int
) -> int | None:
    """When no more than `room` is used up within the window: `now`, later, or never."""
    entries = _entries(db, platform, account, what, now - window_ms)
    total = sum(amount for _, amount in entries)
    at = now
    for booked_at, amount in entries:
        if total <= room:
            return at
        total -= amount
        at = booked_at + window_ms
    return at if total <= room else None


def _entries(db: sqlite_utils.Database, platform: str, account: str, what: str, after: int) -> list[tuple[int, int]]:
    """(moment, amount) of what was booked after this moment, even in a future that a clock set back has left behind."""
    amount = "micros" if what == "micros" else "count"
    kinds = "" if what == "micros" else f"AND kind = '{what}'"
    rows = db.execute(
        f"""SELECT at, sum({amount}) FROM ledger WHERE platform = ? AND account = ? AND at > ? {kinds}
            GROUP BY at HAVING sum({amount}) <> 0 ORDER BY at""",
        [platform, account, after],
    )
    return [(int(at), int(total)) for at, total in rows.fetchall()]


def _book(
    db: sqlite_utils.Database,
    platform: str,
    account: str,
    kind: str,
    count: int,
    micros: int,
    at: int,
    outbox_id: str,
) -> None:
    db.execute(
        "INSERT INTO ledger (platform, account, kind, count, micros, at, outbox_id) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [platform, account, kind, count, micros, at, outbox_id],
    )
