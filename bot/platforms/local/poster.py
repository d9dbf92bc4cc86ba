"""Posting to the local feed, which is a table of our own: here exactly once can be proved."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bot.clock import now_ms
from bot.domain import Capability, FeedEntry, Found, Post
from bot.store import feed
from bot.store.database import Database, Db

log = logging.getLogger(__name__)

NOTIFIER = "mockingbird"  # who speaks to the owner


FEED = ("local", "feed")  # the platform and the account that are always there


class LocalPoster:
    """Publishes posts in the feed and tells `on_post` of each, for instance to print it."""

    platform = "local"
    capability = Capability(searchable=True, read_count=0)  # a look into our own table counts as no read

    def __init__(
        self, database: Database, on_post: Callable[[FeedEntry], None], now: Callable[[], int] = now_ms
    ) -> None:
        self._database = database
        self._on_post = on_post
        self._now = now

    async def send(self, post: Post) -> str:
        author = NOTIFIER if post.kind == "notice" else str(post.cause.get("persona", post.account))

        def publish(db: Db) -> tuple[FeedEntry, bool]:
            is_new = feed.find(db, post.id) is None
            feed.publish(db, post.id, author, post.text, self._now())
            entry = feed.find(db, post.id)
            assert entry is not None
            return entry, is_new

        entry, is_new = await self._database.run(publish)
        if is_new:
            self._tell(entry)
        return str(entry.id)

    async def find(self, post: Post) -> Found | None:
        entry = await self._database.run(lambda db: feed.find(db, post.id))
        return None if entry is None else Found(str(entry.id), entry.posted_at)

    def _tell(self, entry: FeedEntry) -> None:
        try:
            self._on_post(entry)
        except Exception:
            log.exception("the post %s is out, but telling of it failed", entry.outbox_id)
