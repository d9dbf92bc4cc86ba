"""Places: what the people of a server or a chat have settled for it."""

from __future__ import annotations

from dataclasses import dataclass

import sqlite_utils


@dataclass(frozen=True)
class Settled:
    """`notices`: platform and account where drafts and notices for them go, None for whoever runs the bot; `webhooks`:
    whether answers to commands may speak under the persona's own name."""

    notices: tuple[str, str] | None = None
    webhooks: bool = False


def get(db: sqlite_utils.Database, place: str) -> Settled:
    row = next(iter(db.query("SELECT * FROM places WHERE place = ?", [place])), None)
    if row is None:
        return Settled()
    notices = None if row["notices_account"] is None else (row["notices_platform"], row["notices_account"])
    return Settled(notices, bool(row["webhooks"]))


def settle(db: sqlite_utils.Database, place: str, settled: Settled) -> None:
    db.execute(
        """INSERT INTO places (place, notices_platform, notices_account, webhooks) VALUES (?, ?, ?, ?)
           ON CONFLICT (place) DO UPDATE SET notices_platform = excluded.notices_platform,
               notices_account = excluded.notices_account, webhooks = excluded.webhooks""",
        [place, *(settled.notices or (None, None)), int(settled.webhooks)],
    )


def notices_of(db: sqlite_utils.Database, place: str) -> tuple[str, str] | None:
    """Platform and account where the notices for a place go, if it has settled that."""
    return get(db, place).notices
