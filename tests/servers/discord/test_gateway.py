"""The gateway, spoken to directly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.servers.discord.conftest import Place
from tests.servers.discord.record import DIRECT_MESSAGES, GUILD_MESSAGES, GUILDS, MESSAGE_CONTENT

pytestmark = pytest.mark.discord
INTENTS = GUILDS | GUILD_MESSAGES | DIRECT_MESSAGES


class Wire:
    """A connection without compression, which reads one message at a time."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, token: str) -> None:
        self.socket = socket
        self.token = token

    async def say(self, op: int, data: Any = None) -> None:
        await self.socket.send_json({"op": op, "d": data})

    async def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = await self.socket.receive_json(timeout=5)
        return message

    async def identify(self, intents: int = INTENTS) -> str:
        """As far as the first guild; the id of the session."""
        await self.say(2, {"token": self.token, "intents": intents, "properties": {}})
        ready = await self.hear()
        assert ready["t"] == "READY"
        if intents & GUILDS:
            assert (await self.hear())["t"] == "GUILD_CREATE"
        session: str = ready["d"]["session_id"]
        return session

    async def code(self) -> int | None:
        """With which it is closed next."""
        message = await self.socket.receive(timeout=5)
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        return self.socket.close_code


@asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Wire]:
    async with aiohttp.ClientSession() as session, session.ws_connect(place.server.gateway_url) as socket:
        wire = Wire(socket, place.server.token)
        hello = await wire.hear()
        assert (hello["op"], hello["d"]["heartbeat_interval"]) == (10, 41250)
        yield wire


@pytest.mark.parametrize(
    ("op", "data", "code"),
    [
        (99, None, 4001),
        (8, {"guild_id": "1"}, 4003),
        (2, {"token": "wrong", "intents": 0}, 4004),
        (6, {"token": "wrong", "session_id": "x", "seq": 1}, 4004),
        (2, {"token": None, "intents": 1 << 26}, 4013),
        (2, {"token": None, "intents": MESSAGE_CONTENT}, 4014),
        (1, "x" * 4096, 4002),
    ],
)
async def test_what_a_bot_may_not_say_closes_with_its_code(place: Place, op: int, data: Any, code: int) -> None:
    async with connected(place) as wire:
        if isinstance(data, dict) and data.get("token", "") is None:
            data = {**data, "token": wire.token}
        await wire.say(op, data)
        assert await wire.code() == code


async def test_it_takes_120_messages_a_minute_and_one_identify(place: Place) -> None:
    async with connected(place) as wire:
        await wire.identify()
        await wire.say(2, {"token": wire.token, "intents": 0})
        assert await wire.code() == 4005
    async with connected(place) as wire:
        for _ in range(121):
            await wire.say(1)
        for _ in range(120):
            assert (await wire.hear())["op"] == 11
        assert await wire.code() == 4008


async def test_a_session_is_resumed_where_it_was_left_and_an_unknown_one_is_not(place: Place) -> None:
    world = place.world
    async with connected(place) as wire:
        session = await wire.identify()
        world.say(place.channel, place.ann, "one @bot")
        assert (await wire.hear())["s"] == 3
        place.server.gateway.close(4000)
        world.say(place.channel, place.ann, "two @bot")
        assert await wire.code() == 4000
    async with connected(place) as wire:
        await wire.say(6, {"token": wire.token, "session_id": session, "seq": 2})
        told = [await wire.hear() for _ in range(3)]
        assert [event["s"] for event in told] == [3, 4, 5]
        assert [event["d"].get("content", "")[:3] for event in told] == ["one", "two", ""]
        place.server.gateway.close(4009)
    async with connected(place) as wire:
        await wire.say(6, {"token": wire.token, "session_id": session, "seq": 5})
        answer = await wire.hear()
        assert (answer["op"], answer["d"]) == (9, False)


async def test_only_what_was_asked_for_is_told_and_with_content_only_where_granted(place: Place) -> None:
    world = place.world
    async with connected(place) as wire:
        await wire.identify(GUILDS | DIRECT_MESSAGES)
        world.say(place.channel, place.ann, "nothing")
        world.say(world.direct(place.ann), place.ann, "between us")
        assert (await wire.hear())["d"]["content"] == "between us"
    world.message_content = True
    async with connected(place) as wire:
        await wire.identify(INTENTS | MESSAGE_CONTENT)
        first = world.say(place.channel, place.ann, "a secret", files=[("a.txt", b"a", "text/plain")])
        told = (await wire.hear())["d"]
        assert (told["content"], len(told["attachments"])) == ("a secret", 1)
        world.say(place.channel, place.ann, "an answer", reply_to=first)
        assert (await wire.hear())["d"]["referenced_message"]["content"] == "a secret"


async def test_a_bot_hears_nothing_of_where_it_is_not(place: Place) -> None:
    world = place.world
    elsewhere = world.add_guild("Elsewhere", installed=False)
    (channel,) = elsewhere.channels.values()
    world.join(elsewhere, place.ann)
    world.commands[None] = [{"id": "1", "name": "imitate", "type": 1, "default_member_permissions": None}]
    async with connected(place) as wire:
        await wire.identify()
        world.say(channel, place.ann, "hello @bot")
        world.slash(channel, place.ann, "imitate")  # which ann has installed for herself
        told = (await wire.hear())["d"]
        assert told["authorizing_integration_owners"] == {"1": place.ann.id}
