"""A banned phrase is not said any more, wherever a text comes from; a muted one is silent until its time."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot import clock
from bot.app import App
from bot.config import load_config
from bot.domain import Capability, Post, PostState
from bot.errors import (
    BadMute,
    BadPhrase,
    MessageRefused,
    Muted,
    NotBanned,
    NotMuted,
    PromptRefused,
    UnknownPersona,
)
from bot.flows import quiet
from bot.store import claims, mutes, outbox, phrases
from bot.store.database import Database

PERSONA = "gullwatcher"
NOW = 1_700_000_000_000


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


async def add(
    database: Database, cause: str, text: str, draft: bool = False, parent: Post | None = None, kind: str = "post"
) -> Post:
    parent_id = None if parent is None else parent.id
    return await database.run(
        lambda db: outbox.add(
            db, "local", "feed", cause, {}, text, NOW, NOW + 1000, NOW, kind, draft=draft, parent_id=parent_id
        )
    )


async def state(database: Database, post: Post) -> PostState:
    posts = await database.run(outbox.every)
    return next(found.state for found in posts if found.id == post.id)


# --- Phrases ----------------------------------------------------------------------------------------------------------


async def test_a_ban_cancels_what_holds_the_phrase_and_surely_never_went_out(database: Database) -> None:
    said = await add(database, "said", "the kettle is out")
    await database.run(lambda db: claims.claim(db, {"local": Capability()}, NOW))
    await database.run(lambda db: outbox.posted(db, said.id, "1", NOW))
    tried = await add(database, "tried", "a kettle may be out")
    await database.run(lambda db: claims.claim(db, {"local": Capability()}, NOW))
    await database.run(lambda db: outbox.unknown(db, tried.id, "?", NOW))
    await database.run(lambda db: outbox.absent(db, tried.id, "not there", NOW, NOW))
    queued = await add(database, "queued", "my K3TTLE sings")
    draft = await add(database, "draft", "k e t t l e s no, k.e.t.t.l.e", draft=True)
    notice = await add(database, "notice", "Posted: the kettle is out", kind="notice")
    other = await add(database, "other", "kettledrums are something else")
    cancelled = await quiet.ban(database, "  KETTLE ", NOW + 1)
    assert {post.id for post in cancelled} == {queued.id, draft.id}
    assert {post.state for post in cancelled} == {PostState.CANCELLED}
    assert {post.error for post in cancelled} == {'it holds "kettle", which was banned'}
    for post, expected in ((said, "posted"), (tried, "queued"), (notice, "queued"), (other, "queued")):
        assert await state(database, post) == expected
    assert await database.run(phrases.of) == ["kettle"]
    assert await quiet.ban(database, "kettle", NOW + 2) == []


async def test_what_follows_a_cancelled_part_of_a_thread_is_cancelled_with_it(database: Database) -> None:
    first = await add(database, "1", "one moth")
    second = await add(database, "2", "two kettles", parent=first)
    third = await add(database, "3", "three buttons", parent=second)
    cancelled = await quiet.ban(database, "two kettles", NOW)
    assert {post.id for post in cancelled} == {second.id, third.id}
    assert await state(database, first) == PostState.QUEUED


@pytest.mark.parametrize(
    ("phrase", "sentence"),
    [
        ("", "A phrase to ban has at least one word: this one is empty."),
        (" \n\u200b", "A phrase to ban has at least one word: this one is empty."),
        ("…!?", '"...!?" holds no letter and no digit: a phrase to ban has at least one word.'),
        ("e", '"e" stands in too many texts: ban a longer phrase.'),
        ("The", '"the" stands in too many texts: ban a longer phrase.'),
        ("x" * 101, "A phrase to ban has at most 100 characters: this one has 101."),
    ],
)
async def test_a_phrase_that_would_not_do_is_refused_and_not_held(
    database: Database, phrase: str, sentence: str
) -> None:
    with pytest.raises(BadPhrase) as caught:
        await quiet.ban(database, phrase, NOW)
    assert str(caught.value) == sentence
    assert await database.run(phrases.of) == []


async def test_only_what_is_banned_can_be_allowed_again(database: Database) -> None:
    await quiet.ban(database, "Seven  Loaves", NOW)
    with pytest.raises(NotBanned, match="did you mean"):
        await quiet.unban(database, "seven loafs")
    with pytest.raises(NotBanned):
        await quiet.unban(database, "\udcff")
    await quiet.ban(database, "caf\udcff", NOW)
    assert await database.run(phrases.of) == ["caf\ufffd", "seven loaves"]
    assert await quiet.unban(database, "SEVEN loaves") == "seven loaves"
    assert await database.run(phrases.of) == ["caf\ufffd"]


# --- Mutes ------------------------------------------------------------------------------------------------------------


async def test_a_mute_is_set_listed_and_lifted(database: Database) -> None:
    assert await quiet.mute(database, " Everything ", 60, NOW) == ("everything", NOW + 60_000)
    assert await quiet.mute(database, "account:X/Jo", 30, NOW) == ("account:x/Jo", NOW + 30_000)
    assert await database.run(lambda db: mutes.every(db, NOW)) == [
        ("account:x/Jo", NOW + 30_000),
        ("everything", NOW + 60_000),
    ]
    assert await quiet.unmute(database, "everything", NOW) == "everything"
    with pytest.raises(NotMuted, match="everything is not muted"):
        await quiet.unmute(database, "everything", NOW)
    assert await database.run(lambda db: mutes.every(db, NOW + 30_000)) == []


@pytest.mark.parametrize("scope", ["", "nobody", "persona:", "account:x", "account:/jo", "everything:x"])
async def test_what_cannot_be_muted_is_refused(database: Database, scope: str) -> None:
    with pytest.raises(BadMute, match="write everything, persona:NAME or account:PLATFORM/NAME"):
        await quiet.mute(database, scope, 60, NOW)
    with pytest.raises(UnknownPersona):
        await quiet.mute(database, "persona:kevin", 60, NOW)
    with pytest.raises(BadMute, match="from a second to a year"):
        await quiet.mute(database, "everything", 0, NOW)
    assert await database.run(lambda db: mutes.every(db, 0)) == []


# --- With a worker ----------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path, trained_data: Path) -> Path:
    return Path(shutil.copytree(trained_data, tmp_path / "data"))


@asynccontextmanager
async def opened(data: Path, environ: dict[str, str], **settings: object) -> AsyncIterator[App]:
    chosen = {f"MOCKINGBIRD__{name}": str(value) for name, value in settings.items()}
    async with App(load_config(None, environ | chosen), data, {}) as app:
        yield app


def longest_word(text: str) -> str:
    return max(text.split(), key=lambda word: sum(map(str.isalpha, word)))


async def test_a_ban_holds_for_texts_prompts_and_messages_and_after_a_restart(
    data: Path, environ: dict[str, str]
) -> None:
    async with opened(data, environ) as app:
        before = (await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling)).accepted[0]
        word = longest_word(before.text)
        making = asyncio.create_task(app.imitator.imitate(PERSONA, "", 1, 7, app.sampling))
        await asyncio.sleep(0)  # it is under way when the phrase is banned
        await app.ban(word)
        for done in (await making, await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling)):
            assert all(found.text != before.text for found in done.accepted)
    async with opened(data, environ) as app:
        assert app.moderators.of().judge_text(before.text).reasons[:1] == ("blocked",)
        assert app.moderators.of("discord:1").forbids(before.text) == "it holds a blocked or banned phrase"
        with pytest.raises(PromptRefused):
            await app.imitator.imitate(PERSONA, f"so {word} then", 1, 7, app.sampling)
        with pytest.raises(MessageRefused):
            await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling, f"so {word} then")
        with pytest.raises(BadPhrase):
            await app.ban("e")
        assert app.moderators.of("discord:1").forbids(before.text) is not None
        await app.unban(word)
        assert app.moderators.of("discord:1").forbids(before.text) is None
        assert (await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling)).accepted[0] == before


async def test_what_repeats_the_account_is_not_accepted_and_another_text_is_tried(
    data: Path, environ: dict[str, str]
) -> None:
    async with opened(data, environ) as app:
        first = (await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling)).accepted[0]
        now = clock.now_ms()
        await app.database.run(
            lambda db: outbox.add(db, "local", "feed", "a", {}, f"{first.text.upper()}!!", now, now + 1000, now)
        )
        said = await app.speaker.freshness.of("local", "feed", now)
        assert len(said) == 1
        other = (await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling, recent=said)).accepted[0]
        assert other.text != first.text
        assert not said.hold(other.text)
        elsewhere = await app.speaker.freshness.of("local", "other", now)
        assert (await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling, recent=elsewhere)).accepted == (first,)
        month_later = now + outbox.FRESH_MS + 1
        assert len(await app.speaker.freshness.of("local", "feed", month_later)) == 0


async def test_a_muted_persona_is_silent_until_its_time(data: Path, environ: dict[str, str]) -> None:
    async with opened(data, environ, AHEAD__TEXTS=0) as app:
        app.imitator.now = lambda: NOW
        await quiet.mute(app.database, f"persona:@{PERSONA.upper()}", 3600, NOW)
        with pytest.raises(Muted) as caught:
            await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling)
        assert str(caught.value) == "gullwatcher is muted until 2023-11-14 23:13:20 UTC."
        await quiet.mute(app.database, "account:local/feed", 7200, NOW)
        app.imitator.now = lambda: NOW + 3_600_000
        assert (await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling)).accepted
        await quiet.mute(app.database, "everything", 7200, NOW)
        with pytest.raises(Muted):
            await app.imitator.imitate(PERSONA, "", 1, 7, app.sampling)
