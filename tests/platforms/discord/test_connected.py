"""Whatever Discord's gateway does, the bot is there again, and answers."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import discord
import pytest

from bot.store import identifies
from bot.store.database import Database
from tests.platforms.discord.supervised import QUICK, Bot, a_bot
from tests.servers.discord.server import LoopbackDiscord

pytestmark = pytest.mark.discord
ME = "GET /users/@me"


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    async with a_bot(tmp_path) as made:
        yield made


async def booked(bot: Bot) -> int:
    return await bot.database.run(lambda db: identifies.count(db, 0))


# --- Closed connections -----------------------------------------------------------------------------------------------


async def test_a_session_goes_on_after_each_way_to_lose_a_connection_and_each_event_is_heard_once(bot: Bot) -> None:
    gateway = bot.gateway
    bot.pace = replace(QUICK, steady_s=0)
    async with bot.running():
        await bot.online()
        await bot.known()
        ways = [lambda code=code: gateway.close(code) for code in (4000, 4001, 4002, 4003, 4005, 4008)]  # type: ignore[misc]
        ways += [gateway.drop, gateway.reconnect, lambda: gateway.invalidate(True)]
        for number, lose in enumerate(ways, 1):
            lose()
            bot.world.say(bot.channel, bot.ann, f"@bot {number}")
            await bot.answers()
            assert len(gateway.resumes) == number
        gateway.replay(last=20)
        await bot.answers()
    assert len(bot.clients) == len(gateway.identifies) == await booked(bot) == 1
    assert len(bot.pinged) == len(set(bot.pinged)) == len(ways) + 1
    assert bot.interactions == bot.pinged
    assert [text.split()[-1] for text in bot.messages if "@" in text] == [str(n) for n in range(1, len(ways) + 1)]
    assert bot.told == []


@pytest.mark.parametrize("code", [1000, 4007, 4009, None])
async def test_a_session_that_is_over_is_begun_anew_by_the_same_client_and_counted(bot: Bot, code: int | None) -> None:
    async with bot.running():
        await bot.online()
        if code is None:
            bot.gateway.invalidate()
        else:
            bot.gateway.close(code)
        await bot.world.until(lambda: len(bot.gateway.identifies) == 2)
        await bot.gateway.ready()
        await bot.answers()
        assert await booked(bot) == 2
    assert len(bot.clients) == 1


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (4004, "Reset Token"),
        (4010, "2,500"),
        (4011, "2,500"),
        (4012, "update"),
        (4013, "update"),
        (4014, "Message Content Intent"),
    ],
)
async def test_a_fatal_code_is_told_once_in_words_and_tried_again_slowly(bot: Bot, code: int, what: str) -> None:
    async with bot.running():
        await bot.online()
        for number in (1, 2):
            bot.gateway.close(code)
            await bot.world.until(lambda number=number: len(bot.gateway.identifies) == number + 1)  # type: ignore[misc]
            await bot.online()
        await bot.answers()
    assert [what in sentence for sentence in bot.told] == [True]
    assert len(bot.clients) == 3


async def test_a_heartbeat_that_is_not_acknowledged_ends_the_connection_but_not_the_session(tmp_path: Path) -> None:
    async with a_bot(tmp_path, heartbeat_s=0.2, heartbeat_timeout=0.3) as bot, bot.running():
        bot.gateway.acknowledge = False
        await bot.world.until(lambda: bot.gateway.resumes)
        bot.gateway.acknowledge = True
        await bot.answers()
    assert 4000 in bot.gateway.closed
    assert len(bot.clients) == 1


# --- What cannot be read ----------------------------------------------------------------------------------------------


async def test_an_event_that_cannot_be_read_is_skipped_and_logged(bot: Bot, caplog: pytest.LogCaptureFixture) -> None:
    async with bot.running():
        await bot.online()
        await bot.known()
        for name in ("GUILD_CREATE", "INTERACTION_CREATE", "MESSAGE_CREATE", "CHANNEL_UPDATE"):
            bot.gateway.raw(name, {"unavailable": False, "type": 2})
            assert (await bot.answers()).text.startswith("pong")
    assert len(bot.clients) == len(bot.gateway.identifies) == 1
    assert [record.message.split(", ref")[0] for record in caplog.records if "cannot be read" in record.message] == [
        f"an event of the kind {name} cannot be read"
        for name in ("GUILD_CREATE", "INTERACTION_CREATE", "MESSAGE_CREATE", "CHANNEL_UPDATE")
    ]


async def test_a_client_that_cannot_go_on_hangs_up_and_a_fresh_one_takes_its_place(bot: Bot) -> None:
    async with bot.running():
        await bot.online()
        (connection,) = bot.gateway.connections
        assert connection.transport is not None
        connection.transport.pause_reading()  # and it does not hear that it is hung up on
        connection.waiting.put_nowait("not even JSON")
        await bot.world.until(lambda: len(bot.gateway.identifies) == 2)
        connection.transport.resume_reading()
        await bot.online()
        assert (await bot.answers()).text == "pong 1"
        assert len(bot.gateway.connections) == 1
        assert bot.connection.client is bot.clients[-1] is not bot.clients[0]
        bot.gateway.raw("READY", {})
        await bot.world.until(lambda: len(bot.gateway.identifies) == 3)
        await bot.online()
        assert (await bot.answers()).text == "pong 2"


async def test_what_fails_in_answering_is_logged_with_a_reference_and_ends_nothing(
    bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    async with bot.running():
        await bot.online()
        await bot.known()
        bot.world.say(bot.channel, bot.ann, "@bot break")
        await bot.answers()
    logged = [record.message for record in caplog.records if "reference" in record.message]
    assert any(message.startswith("on_message failed") for message in logged)
    assert len(bot.clients) == 1


# --- Outages ----------------------------------------------------------------------------------------------------------


async def test_it_comes_although_discord_was_not_there_when_it_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    database = Database(tmp_path)
    absent = LoopbackDiscord(port=port)
    absent._listening.close()
    async with Bot(absent, database).running():
        await asyncio.sleep(0.2)
        async with LoopbackDiscord(port=port) as server:
            await server.gateway.ready()
    database.close()
    assert server.spec.findings == []
    assert len(server.gateway.identifies) == 1


async def test_it_comes_although_the_gateway_took_no_first_connection(bot: Bot) -> None:
    bot.gateway.accept = False
    async with bot.running():
        await bot.world.until(lambda: len(bot.server.asked(ME)) == 3)
        bot.gateway.accept = True
        await bot.online()
        await bot.answers()
    assert len(bot.gateway.identifies) == await booked(bot) == 1


async def test_after_a_short_outage_the_session_goes_on_with_what_happened_meanwhile(bot: Bot) -> None:
    async with bot.running():
        await bot.online()
        bot.gateway.accept = False
        bot.gateway.drop()
        bot.world.say(bot.channel, bot.ann, "@bot meanwhile")
        await asyncio.sleep(0.6)
        assert not bot.connection.online
        assert bot.connection.client is bot.clients[0]  # which can still speak
        bot.gateway.accept = True
        ended = time.monotonic()
        await bot.gateway.ready()
        assert time.monotonic() - ended < 1
        await bot.answers()
    assert bot.messages[0].endswith("meanwhile")
    assert len(bot.clients) == len(bot.gateway.identifies) == 1


async def test_after_a_long_outage_a_fresh_client_comes(bot: Bot) -> None:
    async with bot.running():
        await bot.online()
        bot.gateway.accept = False
        bot.gateway.drop()
        await bot.world.until(lambda: len(bot.server.asked(ME)) >= 2)
        bot.gateway.accept = True
        await bot.world.until(lambda: len(bot.gateway.identifies) == 2)
        await bot.online()
        await bot.answers()


@pytest.mark.parametrize("invalid", [False, True])
async def test_a_gateway_that_ends_each_connection_at_once_is_not_asked_again_at_once(bot: Bot, invalid: bool) -> None:
    async with bot.running():
        await bot.online()
        until = time.monotonic() + 1
        while time.monotonic() < until:
            bot.gateway.invalidate() if invalid else bot.gateway.close(4000)
            await asyncio.sleep(0.005)
        assert 1 < len(bot.gateway.identifies) + len(bot.gateway.resumes) < 30
        await bot.online()
        await bot.answers()


# --- Logging in -------------------------------------------------------------------------------------------------------


async def test_a_token_that_is_refused_is_told_once_and_another_is_used_as_soon_as_it_is_there(
    bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    bot.pace = replace(QUICK, refused_s=60.0)
    good = bot.token
    for bad in (None, "not a\ntoken", "MTIz.wrong.token"):
        bot.token = bad
        bot.told.clear()
        async with bot.running():
            await bot.world.until(lambda bad=bad: bad != "MTIz.wrong.token" or bot.server.asked(ME))  # type: ignore[misc]
            await asyncio.sleep(0.15)
            assert len(bot.told) == 1
            assert "token" in bot.told[0]
            assert bad is None or bad not in bot.told[0]
            bot.token = good
            await bot.online()
            await bot.answers()
            assert len(bot.told) == 1
    assert [request.status for request in bot.server.asked(ME)] == [200, 200, 401, 200]
    assert len(bot.world.tokens) == 3  # of the commands
    for secret in (bot.token, "MTIz.wrong.token", *bot.world.tokens):
        assert str(secret) not in caplog.text


async def test_refused_and_failed_logins_are_tried_again(bot: Bot) -> None:
    for route in (ME, "GET /oauth2/applications/@me"):
        bot.server.fault(route, "429", retry_after_s=0.1)
        bot.server.fault(route, "503", times=2)
        bot.server.fault(route, "reset")
    bot.server.fault(ME, "500")
    async with bot.running():
        await bot.online()
        await bot.answers()
    assert all(fault.happened == fault.times for fault in bot.server.faults)
    assert len(bot.gateway.identifies) == 1
    assert bot.told == []


async def test_a_login_that_is_not_answered_is_given_up_and_tried_again(bot: Bot) -> None:
    bot.pace = replace(QUICK, login_s=0.3)
    bot.server.fault(ME, "hang")
    async with bot.running():
        await bot.online()
        await bot.answers()


async def test_messages_are_read_only_where_that_is_allowed(bot: Bot) -> None:
    bot.message_content = True
    async with bot.running():
        await bot.world.until(lambda: bot.gateway.identifies)
        async with asyncio.timeout(5):
            while not bot.told:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert "message_content = false" in bot.told[0]
        bot.world.message_content = True
        await bot.online()
        bot.world.say(bot.channel, bot.ann, "to nobody")
        await bot.answers()
    assert bot.messages[0] == "to nobody"
    assert bot.gateway.identifies[0]["intents"] == 1 << 0 | 1 << 9 | 1 << 12 | 1 << 15


# --- Sessions are counted ---------------------------------------------------------------------------------------------


async def test_when_so_many_sessions_were_begun_it_waits_until_there_is_room(bot: Bot) -> None:
    now = bot.now()
    full = QUICK.sessions_per_day

    def fill(db: object) -> None:
        for number in range(full):
            identifies.add(db, now - identifies.WINDOW_MS + 1_000_000 + number)  # type: ignore[arg-type]

    await bot.database.run(fill)
    later = 0
    bot.now = lambda: now + later
    async with bot.running():
        await asyncio.sleep(0.4)
        assert bot.server.world.requests == bot.gateway.identifies == []
        assert len(bot.told) == 1
        assert str(full) in bot.told[0]
        later = 1_000_000
        await bot.online()
        assert len(bot.gateway.identifies) == 1
        bot.gateway.invalidate()  # and there is room for one only
        await asyncio.sleep(0.3)
        assert not bot.gateway.online
        later += 1
        await bot.online()
        await bot.answers()
    assert len(bot.gateway.identifies) == 2


async def test_two_sessions_are_apart_as_discord_asks_also_those_of_two_processes(bot: Bot) -> None:
    bot.pace = replace(QUICK, identify_s=1.5)
    for _ in range(2):
        async with bot.running():
            await bot.online()
    first, second = await bot.database.run(lambda db: [row["at"] for row in db["identifies"].rows])
    assert second - first >= 1500


# --- The end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hangs", [False, True])
async def test_it_ends_in_order_also_when_the_gateway_hangs(bot: Bot, hangs: bool) -> None:
    async with bot.running() as keeping:
        await bot.online()
        await bot.known()
        if hangs:
            for connection in bot.gateway.connections:
                assert connection.transport is not None
                connection.transport.pause_reading()
        began = time.monotonic()
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
        assert time.monotonic() - began < 3
        assert bot.clients[0].is_closed()
        assert bot.connection.client is None
        for connection in bot.gateway.connections:
            connection.transport.resume_reading()  # type: ignore[union-attr]
        await bot.world.until(lambda: not bot.gateway.connections)


@pytest.mark.parametrize("when", ["logging in", "opening", "away"])
async def test_it_ends_in_order_while_it_is_not_connected(bot: Bot, when: str) -> None:
    bot.pace = replace(QUICK, outage_s=60.0, first_s=60.0)
    if when == "logging in":
        bot.server.fault(ME, "hang")
    elif when == "opening":
        bot.pace = replace(bot.pace, identify_s=60.0, open_s=60.0)
        await bot.database.run(lambda db: identifies.add(db, bot.now()))
    else:
        bot.gateway.accept = False
    async with bot.running() as keeping:
        await bot.world.until(lambda: bot.gateway.connections or when != "opening")
        await asyncio.sleep(0.2)
        began = time.monotonic()
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
        assert time.monotonic() - began < 3
    assert bot.gateway.identifies == []
    await bot.world.until(lambda: not bot.gateway.connections)


async def test_an_answer_that_is_being_made_is_given_a_moment(bot: Bot) -> None:
    async def slow(asked: discord.Interaction[discord.Client]) -> None:
        await asked.response.defer(thinking=True)
        await asyncio.sleep(0.2)
        await asked.edit_original_response(content="there it is")

    bot.commands = lambda tree: tree.command(name="slow", description="Takes its time")(slow) and None  # type: ignore[func-returns-value]
    async with bot.running():
        await bot.online()
        await bot.known()
        asked = await bot.world.acknowledged(bot.world.slash(bot.channel, bot.ann, "slow"))
    assert asked.answered
