"""Synced commands: the fingerprint of the commands that a platform was last told of, for each application."""

from __future__ import annotations

import sqlite_utils


def fingerprint(db: sqlite_utils.Database, application: str) -> str | None:
    """Of what this application's commands were when they were last told; None if they never were."""
    row = db.execute("SELECT fingerprint FROM synced_commands WHERE application = ?", [application]).fetchone()
    return None if row is None else str(row[0])


def put(db: sqlite_utils.Database, application: str, fingerprint: str, now: int) -> None:
    """The platform has been told of these."""
    statement = """
        INSERT INTO synced_commands (application, fingerprint, at) VALUES (?, ?, ?)
        ON CONFLICT (application) DO UPDATE SET fingerprint = excluded.fingerprint, at = excluded.at
    """
    db.execute(statement, [application, fingerprint, now])
