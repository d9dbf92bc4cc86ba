"""A file of tweets is held as a whole or not at all."""

import asyncio
import gzip
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlite_utils

from bot.domain import Asker
from bot.errors import AuthorUnknown, ImportRefused, NeedsPermission
from bot.flows.ingest import Ingested, ingest
from bot.store import consents, timelines
from bot.store.database import Database
from training.timeline import Counts


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "data")
    yield opened
    opened.close()


def lines(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def tweet(number: int, text: str = "the gull walks along the wall", **more: object) -> dict[str, object]:
    return {"id": str(number), "text": text, "author_handle": "Jo_1", **more}


async def held(database: Database) -> list[str]:
    return await database.run(timelines.handles)


async def test_a_file_is_held_once_however_often_it_is_imported(
    database: Database, timeline: Callable[..., Path]
) -> None:
    file = timeline("GullWatcher", 130)
    first = await ingest(database, file, None, 1)
    assert first == Ingested("GullWatcher", Counts(130, 0, 0, 130), 130)
    assert await ingest(database, file, "@gullwatcher", 2) == Ingested("GullWatcher", first.counts, 0)
    assert await held(database) == ["GullWatcher"]


async def test_the_counts_are_of_all_that_is_held_and_new_of_the_file(database: Database, tmp_path: Path) -> None:
    await ingest(database, lines(tmp_path / "1.jsonl", tweet(1), tweet(2, "so short")), None, 1)
    more = lines(tmp_path / "2.jsonl", tweet(2, "so short"), tweet(3), tweet(4, "RT @a: the cat walks along the wall"))
    assert await ingest(database, more, None, 2) == Ingested("Jo_1", Counts(4, 1, 1, 2), 2)


async def test_a_dry_run_counts_everything_and_holds_nothing(
    database: Database, tmp_path: Path, timeline: Callable[..., Path]
) -> None:
    await ingest(database, lines(tmp_path / "1.jsonl", tweet(1)), None, 1)

    def dump(db: sqlite_utils.Database) -> list[str]:
        return list(db.conn.iterdump())

    before = await database.run(dump)
    assert (await ingest(database, timeline("kevin", 40), None, 2, dry_run=True)).new == 40
    assert (await ingest(database, lines(tmp_path / "2.jsonl", tweet(2)), None, 2, dry_run=True)).counts.downloaded == 2
    assert await database.run(dump) == before


GOOD = json.dumps(tweet(1)).encode() + b"\n"


@pytest.mark.parametrize(
    ("name", "content", "handle", "sentence"),
    [
        ("a.jsonl", b"", None, "a.jsonl is empty"),
        ("a.jsonl", b"\n \n", None, "a.jsonl is empty"),
        ("a.jsonl", GOOD + b'{"id": "2", "te', None, "a.jsonl"),
        ("a.jsonl", GOOD + b'{"id": "2", "text": "caf\xe9 au lait is warm"}\n', None, "line 2 is not UTF-8 text"),
        ("a.jsonl.gz", gzip.compress(GOOD * 50, mtime=0)[:-20], None, "damaged"),
        ("a.csv", b"id,text\n", "jo", "no tweets"),
        ("a.jsonl", GOOD, "kevin", "holds no tweets of @kevin, only of @Jo_1"),
        ("a.jsonl", GOOD, "no such handle!", "'no such handle!' is not a handle"),
        ("a.jsonl", json.dumps({"id": "1", "text": "a b c d"}).encode(), None, "--handle"),
        ("a.txt", GOOD, None, "a.txt is .txt, which is not a timeline"),
        ("missing", None, None, "cannot be opened (No such file or directory)"),
    ],
)
async def test_a_bad_file_is_refused_in_a_sentence_and_nothing_of_it_is_held(
    database: Database, tmp_path: Path, name: str, content: bytes | None, handle: str | None, sentence: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ImportRefused) as caught:
        await ingest(database, file, handle, 1)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")
    assert await held(database) == []


@pytest.mark.parametrize("after_s", [0.02, 0.3])
async def test_cancelled_it_stops_at_once_and_holds_nothing(database: Database, tmp_path: Path, after_s: float) -> None:
    file = lines(tmp_path / "big.jsonl", *(tweet(number) for number in range(60_000)))
    importing = asyncio.create_task(ingest(database, file, None, 1))
    await asyncio.sleep(after_s)
    began = time.monotonic()
    importing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await importing
    assert time.monotonic() - began < 1  # the whole file takes several seconds
    assert await held(database) == []
    assert time.monotonic() - began < 1


# --- On what grounds --------------------------------------------------------------------------------------------------

ANN = Asker("discord:7", "discord:1")


def archive(path: Path, account: str | None) -> Path:
    record = {"tweet": {"id_str": "1", "full_text": "the gull walks along the wall"}}
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("data/tweets.js", f"window.YTD.tweets.part0 = {json.dumps([record])}")
        if account is not None:
            named = json.dumps([{"account": {"username": account}}])
            packed.writestr("data/account.js", f"window.YTD.account.part0 = {named}")
    return path


async def grounds(database: Database, place: str, handle: str) -> list[tuple[str, str, str]]:
    found = await database.run(lambda db: consents.of(db, place, handle))
    return [(consent.grounds, consent.person, consent.detail) for consent in found]


async def test_what_is_held_is_held_on_the_grounds_that_its_file_and_its_giver_have(
    database: Database, tmp_path: Path
) -> None:
    signed, bare = archive(tmp_path / "signed.zip", "Jo_1"), archive(tmp_path / "bare.zip", None)
    rows = lines(tmp_path / "1.jsonl", tweet(1))
    await ingest(database, signed, None, 1, by=ANN)
    await ingest(database, bare, "jo_1", 1, by=ANN, permission=True, name="tweets.zip")
    await ingest(database, rows, None, 1)
    held = await grounds(database, ANN.place, "JO_1")
    assert held == [
        ("archive", "discord:7", f"signed.zip, {signed.stat().st_size:,} bytes"),
        ("permission", "discord:7", f"tweets.zip, {bare.stat().st_size:,} bytes"),
    ]
    assert [found[:2] for found in await grounds(database, "shell", "Jo_1")] == [("operator", "operator")]
    own = await database.run(lambda db: consents.gave_own(db, ANN.place, "jo_1", "discord:7"))
    other = await database.run(lambda db: consents.gave_own(db, ANN.place, "jo_1", "discord:8"))
    assert (own, other) == (True, False)


@pytest.mark.parametrize("handle", ["jo_1", None])
async def test_without_grounds_nothing_is_held(database: Database, tmp_path: Path, handle: str | None) -> None:
    files = [archive(tmp_path / "bare.zip", None), lines(tmp_path / "1.jsonl", tweet(1))]
    for file, error in zip(files, (NeedsPermission if handle else AuthorUnknown, NeedsPermission), strict=True):
        with pytest.raises(error):
            await ingest(database, file, handle, 1, by=ANN)
    assert await database.run(lambda db: timelines.handles(db, ANN.place)) == []
    assert await database.run(lambda db: list(db.execute("SELECT * FROM consents"))) == []
