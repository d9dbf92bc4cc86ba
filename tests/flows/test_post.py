"""What is asked for now is queued whole and once, explained, fresh, and not by who is muted."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.app import App
from bot.config import load_config
from bot.domain import Capability, Persona, Post, PostState
from bot.errors import BadPost, Muted, NothingAcceptable, NothingFresh, UnknownPersona
from bot.flows import quiet
from bot.flows.fire import Spoken
from bot.flows.post import MOST_ROUNDS, Imitate, post
from bot.moderation import Repeats
from bot.store import claims, outbox, personas, runs, timelines
from bot.store.database import Database, Db
from tests.factories import sentences

NOW = 1_700_000_000_000
HOUR = 3_600_000


def add_persona(db: Db) -> None:
    timelines.hold(db, "jo", None, [], NOW)
    persona = personas.create(db, ["jo"], NOW)
    personas.promote(db, persona.id, runs.begin(db, persona.id, "quick", 1, "abc", NOW))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path)
    await opened.run(add_persona)
    yield opened
    opened.close()


class Voice:
    """Says each of these texts in turn, however much has been said, and remembers what it was asked."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.asked: list[tuple[str, int, str | None]] = []
        self.recent: list[int] = []

    async def __call__(
        self, persona: Persona, prompt: str, seed: int, message: str | None, recent: Repeats, place: str
    ) -> Spoken:
        self.asked.append((prompt, seed, message))
        self.recent.append(len(recent))
        if not self.texts:
            raise NothingAcceptable(persona=persona.slug, reasons="repeats")
        return Spoken(self.texts.pop(0), {"checkpoint": "1", "seed_used": seed + 1})


async def ask(database: Database, voice: Imitate, parts: int = 1, key: str = "k", **others: object) -> list[Post]:
    wanted: dict[str, object] = {"persona": "jo", "prompt": "tea", "platform": "local", "account": "feed", **others}
    return await post(database, voice, parts=parts, key=key, now=NOW, max_late_ms=HOUR, **wanted)  # type: ignore[arg-type]


async def everything(database: Database) -> list[Post]:
    return await database.run(outbox.every)


async def test_a_thread_is_queued_whole_each_part_behind_the_one_before(database: Database) -> None:
    voice = Voice("one moth", "two kettles", "three buttons")
    posts = await ask(database, voice, parts=3, person="discord:7")
    assert [found.text for found in posts] == ["one moth", "two kettles", "three buttons"]
    assert [found.cause_key for found in posts] == ["now:k:1", "now:k:2", "now:k:3"]
    assert [found.parent_id for found in posts] == [None, posts[0].id, posts[1].id]
    assert {found.state for found in posts} == {PostState.QUEUED}
    assert {(found.due_at, found.expires_at) for found in posts} == {(NOW, NOW + HOUR)}
    assert [(prompt, message) for prompt, _, message in voice.asked] == [
        ("tea", None), ("", "one moth"), ("", "two kettles")
    ]  # fmt: skip
    assert voice.recent == [0, 1, 2]  # a part repeats neither the account nor the parts before it
    seeds = [seed for _, seed, _ in voice.asked]
    assert len(set(seeds)) == 3
    assert posts[1].cause == {
        "checkpoint": "1", "seed_used": seeds[1] + 1, "seed": seeds[1], "post": "k", "part": 2, "parts": 3,
        "persona": "jo", "prompt": "", "message": "one moth", "asked_by": "discord:7",
    }  # fmt: skip


async def test_the_same_key_queues_nothing_twice_and_nothing_is_written_again(database: Database) -> None:
    voice = Voice("one", "two", "three", "four", "five")
    posts = await ask(database, voice, parts=2)
    assert await ask(database, voice, parts=2) == posts
    assert await ask(database, voice, parts=1) == posts
    assert len(voice.asked) == 2
    assert len(await ask(database, voice, key="k:1")) == 1
    both = await asyncio.gather(ask(database, voice, key="other"), ask(database, voice, key="other"))
    assert both[0] == both[1]
    assert len(await everything(database)) == 4
    unlike = [ask(database, Voice(*texts), parts=len(texts), key="unlike") for texts in (["a", "b", "c"], ["d"])]
    long, short = await asyncio.gather(*unlike)
    assert long == short
    assert {found.cause["parts"] for found in long} == {len(long)}


async def test_drafts_wait(database: Database) -> None:
    posts = await ask(database, Voice("one", "two"), parts=2, draft=True)
    assert {found.state for found in posts} == {PostState.DRAFT}
    assert await database.run(lambda db: claims.claim(db, {"local": Capability()}, NOW)) is None


async def test_what_was_said_already_is_written_anew_by_another_seed_with_all_that_followed(database: Database) -> None:
    await ask(database, Voice("Two  KETTLES"), key="earlier")
    voice = Voice("one", "two kettles", "three", "four", "five")
    posts = await ask(database, voice, parts=3)
    assert [found.text for found in posts] == ["one", "four", "five"]
    assert [message for _, _, message in voice.asked] == [None, "one", "two kettles", "one", "four"]
    assert len({seed for _, seed, _ in voice.asked}) == 5
    assert voice.recent == [1, 2, 3, 2, 3]


async def test_what_stays_the_same_ends_in_a_clear_error_and_queues_nothing(database: Database) -> None:
    await ask(database, Voice("always this"), key="earlier")
    voice = Voice(*["a beginning"], *["always this"] * 99)
    with pytest.raises(NothingFresh) as caught:
        await ask(database, voice, parts=2)
    assert str(caught.value) == ("All that jo wrote had been said on local/feed within 30 days: try another prompt.")
    assert len(voice.asked) == MOST_ROUNDS + 1
    with pytest.raises(NothingAcceptable):
        await ask(database, Voice("one", "two"), parts=3)
    assert len(await everything(database)) == 1
    assert len(await ask(database, Voice("one", "two", "three"), parts=3)) == 3


async def test_who_is_muted_says_nothing_but_hears_what_stands_there(database: Database) -> None:
    posts = await ask(database, Voice("one"))
    for scope in ("account:local/feed", "persona:jo", "everything"):
        await quiet.mute(database, scope, 60, NOW)
        with pytest.raises(Muted, match="jo is muted until 2023-11-14 22:14:20 UTC"):
            await ask(database, Voice("two"), key="two")
        assert await ask(database, Voice()) == posts
        await quiet.unmute(database, scope, NOW)
    await quiet.mute(database, "account:local/other", 60, NOW)
    assert len(await ask(database, Voice("two"), key="two")) == 1


@pytest.mark.parametrize("parts", [-1, 0, 26])
async def test_a_thread_has_one_to_twenty_five_parts(database: Database, parts: int) -> None:
    with pytest.raises(BadPost, match=f"1 to 25 parts, not {parts}"):
        await ask(database, Voice("one"), parts=parts)
    with pytest.raises(UnknownPersona):
        await ask(database, Voice("one"), persona="kevin")
    assert await everything(database) == []


async def test_the_longest_thread_is_said_in_order(database: Database) -> None:
    posts = await ask(database, Voice(*sentences(25)), parts=25)
    order = sorted(await everything(database), key=lambda found: int(found.cause_key.split(":")[2]))
    assert order == posts
    assert [found.parent_id for found in posts[1:]] == [found.id for found in posts[:-1]]


async def test_a_persona_writes_a_thread_that_explains_itself(
    tmp_path: Path, trained_data: Path, environ: dict[str, str]
) -> None:
    data = shutil.copytree(trained_data, tmp_path / "data")
    async with App(load_config(None, environ), data, {}) as app:
        posts = await app.post("gullwatcher", "the gull", 3, "local", "feed", "k", draft=True)
        assert len({found.text for found in posts}) == 3
        assert posts[0].text.startswith("the gull")
        said = [found.cause for found in posts]
        assert {cause["checkpoint"] for cause in said} == {"1"}
        assert all(cause["sampling"] == json.loads(json.dumps(vars(app.sampling))) for cause in said)
        assert await app.post("gullwatcher", "", 1, "local", "feed", "k", draft=True) == posts
        for found, cause in zip(posts, said, strict=True):
            message = cause["message"]
            again = await app.imitator.imitate(
                "gullwatcher", cause["prompt"], 1, cause["seed_used"], app.sampling, message
            )
            assert again.accepted[0].text == found.text
