"""Threads as `post` queues them, of given texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.domain import Post
from bot.store import outbox
from bot.store.database import Db


def add_thread(
    db: Db,
    platform: str,
    account: str,
    cause_key: str,
    cause: Mapping[str, Any],
    texts: Sequence[str],
    due_at: int,
    expires_at: int,
    now: int,
    draft: bool = False,
    persona_id: int | None = None,
) -> list[Post]:
    """Queues parts that follow one another, each a row of its own that waits until the one before is posted. The first
    has the cause key as it is, the others add ":part-2" and so on. Raises SaidAlready, after which the transaction must
    be rolled back."""
    parts: list[Post] = []
    for number, text in enumerate(texts, start=1):
        key = cause_key if number == 1 else f"{cause_key}:part-{number}"
        parent_id = parts[-1].id if parts else None
        facts = {**cause, "part": number, "parts": len(texts)}
        parts.append(
            outbox.add(
                db, platform, account, key, facts, text, due_at, expires_at, now, "post", draft, parent_id, persona_id
            )
        )
    return parts
