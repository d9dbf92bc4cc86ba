"""The scripted platform does what its script says, and its record says what stands there, whatever the client saw."""

from collections.abc import Iterator
from dataclasses import replace

import aiohttp
import pytest

from bot.domain import Capability, Duplicate, Found, NotSent, Post, PostState, Refused, Unauthorized
from tests.servers.platform import Answer, Applies, Look, Platform, Says, World
from tests.servers.poster import HttpPoster

SEARCHABLE = Capability(searchable=True)
KEY = Capability(key_ms=1_000)
POST = Post("row-1", "loopback", "one", "cause", "Fish & chips", PostState.SENDING, 0, 0, 1, None, None)


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform() as platform:
        yield platform


class Clock:
    now = 5_000


def poster(platform: Platform, world: World, capability: Capability = SEARCHABLE) -> HttpPoster:
    platform.worlds["w"] = world
    return HttpPoster("loopback", capability, lambda: platform.url("w"), lambda: Clock.now, total_s=1.0)


async def send(platform: Platform, world: World, capability: Capability = SEARCHABLE) -> str:
    async with poster(platform, world, capability) as speaks:
        return await speaks.send(POST)


def always(answer: Answer) -> World:
    return World(lambda account, number: answer)


async def test_what_is_accepted_and_confirmed_stands_in_the_record_by_the_id_that_was_told(platform: Platform) -> None:
    world = World()
    async with poster(platform, world) as speaks:
        first = await speaks.send(POST)
        second = await speaks.send(replace(POST, id="row-2", text="More", reply_to=first))
        assert await speaks.find(POST) == Found(first, 5_000)
        assert await speaks.find(replace(POST, text="Never said")) is None
    assert [(post.id, post.row, post.text, post.reply_to, post.at) for post in world.record()] == [
        (first, "row-1", "Fish & chips", None, 5_000),
        (second, "row-2", "More", first, 5_000),
    ]


@pytest.mark.parametrize(
    ("says", "seen"),
    [
        ("reset", aiohttp.ClientOSError),
        ("closed", aiohttp.ServerDisconnectedError),
        ("503 json", aiohttp.ClientResponseError),
        ("503 html", aiohttp.ClientResponseError),
        ("empty", (TypeError, ValueError)),
        ("truncated", (TypeError, ValueError)),
        ("no id", TypeError),
        ("hang", TimeoutError),
    ],
)
@pytest.mark.parametrize("applies", ["now", "later", "never"])
async def test_an_unclear_answer_is_no_refusal(platform: Platform, says: Says, applies: Applies, seen: type) -> None:
    world = always(Answer(says, applies, later_ms=60_000))
    with pytest.raises(seen) as raised:
        await send(platform, world)
    assert not isinstance(raised.value, NotSent | Refused | Unauthorized | Duplicate)
    assert len(world.record()) == (applies == "now")
    world.at(Clock.now + 59_999)
    assert len(world.record()) == (applies == "now")
    world.at(Clock.now + 60_000)
    assert len(world.record()) == (applies != "never")
    assert len(world.asked()) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "retry_at"),
    [
        (Answer("400", "never"), Refused, None),
        (Answer("403", "never"), Refused, None),
        (Answer("401", "never"), Unauthorized, None),
        (Answer("429", "never"), NotSent, None),
        (Answer("429", "never", reset_s=30), NotSent, 35_000),
    ],
)
async def test_a_refusal_is_told_as_one(
    platform: Platform, answer: Answer, kind: type[Exception], retry_at: int | None
) -> None:
    world = always(answer)
    with pytest.raises(kind) as raised:
        await send(platform, world)
    assert getattr(raised.value, "retry_at", None) == retry_at
    assert world.record() == []


async def test_where_nobody_listens_nothing_was_sent() -> None:
    async with HttpPoster("loopback", SEARCHABLE, lambda: "http://127.0.0.1:9", lambda: 0) as speaks:
        with pytest.raises(NotSent):
            await speaks.send(POST)


async def test_the_same_text_is_refused_where_the_platform_looks_for_it(platform: Platform) -> None:
    world = World(duplicates=False)
    await send(platform, world)
    with pytest.raises(Duplicate):
        await send(platform, world)
    assert len(world.record()) == 1


async def test_a_key_gives_the_first_post_again_until_it_is_forgotten(platform: Platform) -> None:
    world = World(key_ms=1_000)
    try:
        first = await send(platform, world, KEY)
        Clock.now += 1_000
        assert await send(platform, world, KEY) == first
        Clock.now += 1
        assert await send(platform, world, KEY) != first
    finally:
        Clock.now = 5_000


async def test_a_timeline_may_lag_or_fail(platform: Platform) -> None:
    looks = [Look("ok", 1), Look("ok", None), Look("503"), Look("reset"), Look("hang"), Look("nonsense"), Look()]
    world = World(look=lambda account, number: looks[number])
    async with poster(platform, world) as speaks:
        remote_id = await speaks.send(POST)
        assert [await speaks.find(POST) for _ in range(2)] == [None, None]
        for _ in range(4):
            with pytest.raises((aiohttp.ClientError, TimeoutError, ValueError)):
                await speaks.find(POST)
        assert await speaks.find(POST) == Found(remote_id, 5_000)
