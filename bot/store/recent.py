"""Recent: what an account has said lately, so that it does not say it again."""

from __future__ import annotations

import sqlite_utils

from bot.store.outbox import FRESH_MS, beginning_at

MOST = 1_000


def texts(db: sqlite_utils.Database, platform: str, account: str, now: int) -> dict[str, str]:
    """The newest 1,000 texts, by the ids of their posts, that an account has said within 30 days or may yet say."""
    rows = db.query(
        """SELECT id, text FROM outbox WHERE platform = ? AND account = ? AND id > ? AND kind <> 'notice'
           AND text <> '' AND state NOT IN ('rejected', 'missed', 'cancelled') ORDER BY id DESC LIMIT ?""",
        [platform, account, beginning_at(now - FRESH_MS), MOST],  # an id begins with its time
    )
    return {str(row["id"]): str(row["text"]) for row in rows}
