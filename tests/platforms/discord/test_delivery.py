"""What stands in the outbox becomes one message on Discord, whatever goes wrong: none twice, none forgotten.

DISCORD_FAULTS says how many random sequences of faults are tried.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import discord.http
import pytest

from bot.domain import Post, PostState
from bot.flows import deliver
from bot.flows.deliver import deliver_due
from bot.platforms.discord.poster import DiscordPoster
from bot.platforms.discord.texts import said
from bot.store import outbox
from bot.store.claims import allows
from bot.store.database import Database, Db
from bot.store.ledger import NO_LIMITS
from tests.platforms.discord.conftest import Online
from tests.platforms.discord.supervised import a_bot
from tests.servers.discord.objects import Channel, Permission

pytestmark = pytest.mark.discord
SEND = "POST /channels/{channel_id}/messages"
LOOK = "GET /channels/{channel_id}/messages"
SEQUENCES = int(os.environ.get("DISCORD_FAULTS", "60"))
DAY_MS = 86_400_000
LONGEST_S = 0.1  # that we wait for an answer, instead of half a minute


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(tmp_path)
    yield opened
    opened.close()


async def add(
    database: Database, online: Online, channel: Channel, text: str, parent: Post | None = None, reply_to: str = ""
) -> Post:
    now = online.now()
    kind = "reply" if reply_to else "post"
    cause = {"in_reply_to": reply_to} if reply_to else {}
    parent_id = None if parent is None else parent.id

    def transaction(db: Db) -> Post:
        return outbox.add(
            db, "discord", channel.id, text, cause, text, now, now + DAY_MS, now, kind=kind, parent_id=parent_id
        )

    return await database.run(transaction)


async def step(database: Database, poster: DiscordPoster, online: Online, chance: random.Random) -> bool:
    """One thing that the outbox does, with the bot killed at it now and then; whether there was any."""
    posters = {"discord": poster.capability}
    taken = await deliver.take_next(database, posters, online.now, NO_LIMITS, allows)
    if taken is None:
        return False
    killed = chance.random()
    if taken.state is PostState.SENDING and killed < 0.25:
        if killed < 0.15:  # between sending and recording; else before it was sent
            with contextlib.suppress(Exception):
                async with asyncio.timeout(LONGEST_S):
                    await poster.send(taken)
        await database.run(lambda db: outbox.recover(db, online.now()))
    else:
        act = deliver.say if taken.state is PostState.SENDING else deliver.look_up
        await act(database, poster, taken, online.now, LONGEST_S)
    return True


def go_wrong(online: Online, chance: random.Random, patience: list[float]) -> None:
    """Something befalls the next requests, more often than not."""
    online.server.faults.clear()
    discord.http.Route.BASE = online.server.api_url
    number = chance.random()
    if number < 0.1:
        discord.http.Route.BASE = "http://127.0.0.1:9/api/v10"
    elif number < 0.2:
        online.server.fault(SEND, "429", times=chance.choice([1, 5]), retry_after_s=chance.choice([0.01, 40.0, 400.0]))
    elif number < 0.7:
        says = chance.choice(["500", "502", "503", "504", "reset", "hang"])
        applied, times = chance.random() < 0.6, chance.choice([1, 1, 2, 5])
        online.server.fault(SEND, says, times=times, applied=applied)
        if chance.random() < 0.3:  # and then something else, within the tries of discord.py
            online.server.fault(
                SEND, chance.choice(["429", "503", "reset"]), retry_after_s=chance.choice([0.01, 400.0])
            )
    if chance.random() < 0.3:
        online.server.fault(LOOK, chance.choice(["500", "503", "reset"]), times=5)
    patience[0] -= 1
    if patience[0] <= 0:  # at last all is well
        online.server.faults.clear()
        discord.http.Route.BASE = online.server.api_url


async def until_settled(database: Database, poster: DiscordPoster, online: Online, chance: random.Random) -> None:
    """Time goes by as the outbox needs it, or as the bot was off."""
    patience = [float(chance.randint(0, 8))]
    for _ in range(200):
        go_wrong(online, chance, patience)
        if not await step(database, poster, online, chance):
            due = await database.run(lambda db: outbox.earliest(db, ["discord"]))
            if due is None:
                break
            wait_s = max((due - online.now()) / 1000, 0.01)
            online.world.pass_time(wait_s + chance.choice([0, 0, 0, 1, 100, 1000]))
    else:
        raise AssertionError("it never came to an end")
    online.server.faults.clear()
    discord.http.Route.BASE = online.server.api_url


async def test_random_faults_and_kills_double_nothing_and_lose_nothing(
    database: Database, online: Online, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(discord.http.Route, "BASE", online.server.api_url)  # and back, in the end
    logging.disable()  # thousands of tracebacks
    request.addfinalizer(lambda: logging.disable(logging.NOTSET))
    poster = DiscordPoster(lambda: online.client, online.now)
    ends: collections.Counter[str] = collections.Counter()
    for seed in range(SEQUENCES):
        chance = random.Random(seed)
        channel = online.world.add_channel(online.guild, f"channel-{seed}")
        heard = online.world.say(channel, online.ann, "hello?")
        first = await add(database, online, channel, f"*one* {seed}", reply_to=heard.id if seed % 2 else "")
        await add(database, online, channel, f"two_{seed} @everyone", parent=first)
        await add(database, online, channel, f"> three {seed}")
        await until_settled(database, poster, online, chance)

        posts = [post for post in await database.run(outbox.every) if post.account == channel.id]
        messages = [message for message in channel.shown() if message.author is online.world.bot]
        assert len({message.content for message in messages}) == len(messages), f"said twice with seed {seed}"
        stands = {message.id: message for message in messages}
        for post in posts:
            ends[post.state] += 1
            if post.state is PostState.POSTED:
                message = stands.pop(str(post.remote_id))
                assert message.content == said(post.text)
                expected = post.cause.get("in_reply_to") or (post.parent_id and remote_id_of(posts, post.parent_id))
                assert (message.reply_to.id if message.reply_to else None) == expected
            elif post.state is not PostState.REVIEW:  # what follows a post that is in doubt waits for it
                assert post.state is PostState.QUEUED, (seed, post)
                assert post.parent_id is not None
        in_doubt = {said(post.text) for post in posts if post.state is PostState.REVIEW}
        assert {message.content for message in stands.values()} <= in_doubt, f"said and not known with seed {seed}"
        assert [message.pings for message in messages if message.pings] == []
    print(SEQUENCES, "sequences:", dict(ends))
    assert ends[PostState.POSTED] > 0.9 * ends.total()


def remote_id_of(posts: list[Post], post_id: str) -> str | None:
    return next(post.remote_id for post in posts if post.id == post_id)


@pytest.mark.parametrize("says", ["500", "502", "503", "504", "reset"])
async def test_an_answer_that_was_lost_doubles_nothing(database: Database, online: Online, says: str) -> None:
    fault = online.server.fault(SEND, says, times=1, applied=True)
    poster = DiscordPoster(lambda: online.client, online.now)
    await add(database, online, online.channel, "once")
    assert await deliver_due(database, {"discord": poster}, online.now) in (0, 1)
    online.world.pass_time(6)
    await deliver_due(database, {"discord": poster}, online.now)
    (post,) = await database.run(outbox.every)
    (message,) = online.channel.shown()
    assert (post.state, post.remote_id, message.content, fault.happened) == (PostState.POSTED, message.id, "once", 1)
    assert online.server.asked(LOOK) == []  # the nonce told


async def test_the_bot_that_was_off_for_an_hour_looks_before_it_speaks(database: Database, online: Online) -> None:
    poster = DiscordPoster(lambda: online.client, online.now)
    await add(database, online, online.channel, "sent")
    taken = await deliver.take_next(database, {"discord": poster.capability}, online.now, NO_LIMITS, allows)
    assert taken is not None
    remote_id = await poster.send(taken)
    online.world.pass_time(3600)
    await database.run(lambda db: outbox.recover(db, online.now()))
    await deliver_due(database, {"discord": poster}, online.now)
    (post,) = await database.run(outbox.every)
    assert (post.state, post.remote_id) == (PostState.POSTED, remote_id)
    assert len(online.server.asked(SEND)) == 1


async def test_a_channel_that_is_closed_to_the_bot_refuses_once(database: Database, online: Online) -> None:
    poster = DiscordPoster(lambda: online.client, online.now)
    online.world.forbid(online.channel, Permission.SEND_MESSAGES)
    await add(database, online, online.channel, "never")
    removed = Channel(str(int(online.channel.id) + 1), "gone", online.guild)
    await add(database, online, removed, "nowhere")
    for _ in range(3):
        await deliver_due(database, {"discord": poster}, online.now)
        online.world.pass_time(600)
    posts = {post.text: post for post in await database.run(outbox.every)}
    assert (posts["never"].state, posts["never"].error) == (
        PostState.REJECTED,
        "the bot may not write in this channel",
    )
    assert (posts["nowhere"].state, posts["nowhere"].error) == (
        PostState.REJECTED,
        "there is no such channel any more",
    )
    assert len(online.server.asked(SEND)) == 2


async def test_a_history_that_cannot_be_read_leaves_it_to_people(database: Database, online: Online) -> None:
    poster = DiscordPoster(lambda: online.client, online.now)
    await add(database, online, online.channel, "perhaps")
    taken = await deliver.take_next(database, {"discord": poster.capability}, online.now, NO_LIMITS, allows)
    assert taken is not None
    await poster.send(taken)
    online.world.pass_time(600)
    await database.run(lambda db: outbox.recover(db, online.now()))
    online.world.forbid(online.channel, Permission.READ_MESSAGE_HISTORY)
    for _ in range(12):
        await deliver_due(database, {"discord": poster}, online.now)
        online.world.pass_time(601)
    post = next(post for post in await database.run(outbox.every) if post.text == "perhaps")
    assert post.state is PostState.REVIEW
    assert "may not read this channel's history" in str(post.error)
    assert len(online.server.asked(SEND)) == 1


async def test_the_client_of_the_bot_lets_the_poster_count_its_tries(tmp_path: Path) -> None:
    async with a_bot(tmp_path) as bot, bot.running():
        await bot.online()
        poster = DiscordPoster(lambda: bot.connection.client)
        bot.world.forbid(bot.channel, Permission.SEND_MESSAGES)
        now = int(bot.world.now() * 1000)
        for text in ("no", "neither"):
            values = ("discord", bot.channel.id, text, {}, text, now, now + DAY_MS, now)
            await bot.database.run(lambda db, values=values: outbox.add(db, *values))  # type: ignore[misc]
            await deliver_due(bot.database, {"discord": poster}, lambda: now)
        states = {post.text: post.state for post in await bot.database.run(outbox.every) if post.kind == "post"}
        assert states == {"no": PostState.REJECTED, "neither": PostState.REJECTED}
