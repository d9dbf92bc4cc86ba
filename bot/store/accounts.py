"""Accounts that are paused, muted, or at a limit: they say nothing for now."""

from __future__ import annotations

from dataclasses import dataclass

import sqlite_utils


@dataclass(frozen=True)
class Account:
    """An account that was paused or reached a limit at least once; instants in ms."""

    platform: str
    account: str
    paused_at: int | None
    reason: str | None
    capped_until: int | None
    refused_until: int | None


def pause(db: sqlite_utils.Database, platform: str, account: str, reason: str, now: int) -> bool:
    """Silences an account until it is resumed; False if it was paused already, whose reason then stays."""
    rows = db.query(
        """INSERT INTO accounts (platform, account, paused_at, reason) VALUES (?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET paused_at = excluded.paused_at, reason = excluded.reason WHERE paused_at IS NULL
           RETURNING paused_at""",
        [platform, account, now, reason],
    )
    return len(list(rows)) == 1


def resume(db: sqlite_utils.Database, platform: str, account: str) -> bool:
    """Lets an account speak again; False if it was not paused."""
    rows = db.query(
        """UPDATE accounts SET paused_at = NULL, reason = NULL
           WHERE platform = ? AND account = ? AND paused_at IS NOT NULL RETURNING platform""",
        [platform, account],
    )
    return len(list(rows)) == 1


def cap(db: sqlite_utils.Database, platform: str, account: str, until: int) -> None:
    """A limit lets the account say nothing before `until`."""
    db.execute(
        """INSERT INTO accounts (platform, account, capped_until) VALUES (?, ?, ?)
           ON CONFLICT DO UPDATE SET capped_until = excluded.capped_until""",
        [platform, account, until],
    )


def hold_back(db: sqlite_utils.Database, platform: str, account: str, until: int) -> None:
    """The platform asked us to send nothing on this account before `until`, if it has not asked for longer already."""
    db.execute(
        """INSERT INTO accounts (platform, account, refused_until) VALUES (?, ?, ?)
           ON CONFLICT DO UPDATE SET refused_until = max(coalesce(refused_until, 0), excluded.refused_until)""",
        [platform, account, until],
    )


def forget_caps(db: sqlite_utils.Database) -> None:
    """The limits have changed: each account's next claim consults them anew."""
    db.execute("UPDATE accounts SET capped_until = NULL")


def known(db: sqlite_utils.Database) -> list[tuple[str, str]]:
    """(platform, account) of all that have something to say or a schedule, in alphabetical order."""
    rows = db.execute(
        """SELECT platform, account FROM outbox WHERE kind <> 'notice' UNION SELECT platform, account FROM schedules
           UNION SELECT platform, account FROM accounts ORDER BY 1, 2"""
    )
    return [(str(platform), str(account)) for platform, account in rows.fetchall()]


def may_be_of(db: sqlite_utils.Database, platform: str, account: str, place: str) -> bool:
    """Whether a place may take this account for its own: it is of the same platform, and no other place has anything
    to do with it (whoever runs the bot may speak there too)."""
    if place.partition(":")[0] != platform:
        return False
    others = """SELECT 1 FROM outbox
            WHERE platform = :platform AND account = :account AND place NOT IN (:place, 'shell')
        UNION ALL SELECT 1 FROM schedules
            WHERE platform = :platform AND account = :account AND place NOT IN (:place, 'shell')
        UNION ALL SELECT 1 FROM listening
            WHERE platform = :platform AND account = :account AND place NOT IN (:place, 'shell')
        UNION ALL SELECT 1 FROM places
            WHERE notices_platform = :platform AND notices_account = :account AND place <> :place
        LIMIT 1"""
    return db.execute(others, {"platform": platform, "account": account, "place": place}).fetchone() is None


def every(db: sqlite_utils.Database) -> list[Account]:
    return [Account(**row) for row in db.query("SELECT * FROM accounts ORDER BY platform, account")]


# Each is a condition on, or a value for, the row `candidate` of the outbox. Notices to the owner are never muted.

UNPAUSED = """NOT EXISTS (
    SELECT 1 FROM accounts WHERE accounts.platform = candidate.platform AND accounts.account = candidate.account
    AND paused_at IS NOT NULL)"""

# the instant from which the row may be said, as far as mutes and limits go; 0 if they say nothing of it
SILENT_UNTIL = """iif(candidate.kind = 'notice', 0, max(
    coalesce((SELECT max(coalesce(capped_until, 0), coalesce(refused_until, 0)) FROM accounts
              WHERE accounts.platform = candidate.platform AND accounts.account = candidate.account), 0),
    coalesce((SELECT max(until) FROM mutes WHERE scope IN (
              'everything', 'account:' || candidate.platform || '/' || candidate.account,
              'place:' || candidate.place,
              'persona:' || coalesce((SELECT name FROM personas WHERE personas.id = candidate.persona_id),
                                     json_extract(candidate.cause, '$.persona')))), 0)))"""
