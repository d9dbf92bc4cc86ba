"""The local platform publishes a post once and tells of it."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.domain import FeedEntry, Found, Post, PostState
from bot.platforms.local.poster import LocalPoster
from bot.store import claims, feed, outbox
from bot.store.database import Database
from bot.store.ledger import Limits


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


def post(id: str = "A", **cause: object) -> Post:
    return Post(id, "local", "feed", f"cause {id}", "hello", PostState.SENDING, 0, 10, 1, None, None, cause)


async def test_a_post_appears_in_the_feed_once_and_is_told(database: Database) -> None:
    told: list[FeedEntry] = []
    poster = LocalPoster(database, told.append, now=lambda: 5)
    assert await poster.find(post()) is None
    remote_id = await poster.send(post(persona="jo"))
    assert await poster.send(post(persona="jo")) == remote_id
    assert await poster.find(post()) == Found(remote_id, 5)
    assert await database.run(lambda db: feed.find(db, "A")) == FeedEntry(1, "A", "jo", "hello", 5)
    assert told == [FeedEntry(1, "A", "jo", "hello", 5)]


async def test_without_a_persona_the_account_is_the_author(database: Database) -> None:
    poster = LocalPoster(database, lambda entry: None)
    await poster.send(post())
    entry = await database.run(lambda db: feed.find(db, "A"))
    assert entry is not None
    assert entry.author == "feed"


async def test_a_notice_is_told_by_mockingbird_itself(database: Database) -> None:
    told: list[FeedEntry] = []
    await LocalPoster(database, told.append).send(replace(post(persona="jo"), kind="notice"))
    assert [entry.author for entry in told] == ["mockingbird"]


async def test_telling_may_fail_without_unsaying(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    def tell(entry: FeedEntry) -> None:
        raise OSError("the terminal is gone")

    assert await LocalPoster(database, tell).send(post()) == "1"
    assert "telling of it failed" in caplog.text


async def test_looking_into_our_own_feed_is_no_read_that_a_limit_counts(database: Database) -> None:
    capabilities = {"local": LocalPoster.capability}
    for number in (1, 2):
        await database.run(lambda db, key=f"{number}": outbox.notify(db, key, "hello", 1_000))  # type: ignore[misc]
        await database.run(lambda db: claims.claim(db, capabilities, 1_000))
        await database.run(lambda db: outbox.recover(db, 1_000))
        looked = await database.run(lambda db: claims.look(db, capabilities, 1_000, Limits(reads_per_month=1)))
        assert looked is not None
        await database.run(lambda db, id=looked.id: outbox.posted(db, id, f"remote-{id}", 1_000))  # type: ignore[misc]
