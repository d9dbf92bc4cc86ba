"""What Discord enforces, the loopback Discord enforces: asked for directly, without a client that would prevent it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from tests.servers.discord.conftest import Place
from tests.servers.discord.objects import EPHEMERAL, Interaction, Permission
from tests.servers.discord.world import Impossible

pytestmark = pytest.mark.discord
Call = Callable[..., Awaitable[tuple[int, Any]]]
SEND = "POST /channels/{channel_id}/messages"
NONE: dict[str, Any] = {"parse": []}
COMMANDS = [
    {
        "name": "imitate", "description": "Says something", "options": [
            {"type": 3, "name": "handle", "description": "who", "required": True, "autocomplete": True},
            {"type": 4, "name": "count", "description": "how many", "min_value": 1, "max_value": 5},
        ],
    },
    {"name": "train", "description": "Learns", "default_member_permissions": int(Permission.MANAGE_GUILD)},
    {"name": "schedule", "description": "Times", "options": [
        {"type": 1, "name": "add", "description": "One more", "options": [
            {"type": 3, "name": "cron", "description": "when", "required": True},
        ]},
    ]},
]  # fmt: skip


@pytest.fixture
async def call(place: Place) -> AsyncIterator[Call]:
    """Sends a request and gives the status and the body; the commands are there."""
    async with aiohttp.ClientSession() as session:

        async def send(method: str, path: str, body: Any = None, files: list[bytes] = [], **more: Any) -> Any:  # noqa: B006
            given: dict[str, Any] = {"json": body} if body is not None else {}
            if files:
                form = aiohttp.FormData({"payload_json": json.dumps(body or {})})
                for number, data in enumerate(files):
                    form.add_field(f"files[{number}]", data, filename=f"{number}.txt")
                given = {"data": form}
            headers = more.get("headers", {"Authorization": f"Bot {place.server.token}"})
            url = place.server.api_url + path
            async with session.request(method, url, headers=headers, params=more.get("params"), **given) as answer:
                return answer.status, await answer.json() if await answer.read() else None

        place.world.commands = {}
        status, _ = await send("PUT", f"/applications/{place.world.bot.id}/commands", COMMANDS)
        assert status == 200
        yield send


def answer_path(asked: Interaction) -> str:
    return f"/interactions/{asked.id}/{asked.token}/callback"


def token_path(asked: Interaction, more: str = "/messages/@original") -> str:
    return f"/webhooks/800000000000000001/{asked.token}{more}"


async def test_a_text_has_at_most_2000_characters_wherever_it_is_sent(place: Place, call: Call) -> None:
    asked = place.world.slash(place.channel, place.ann, "imitate", handle="jo")
    long, fits = {"content": "x" * 2001}, {"content": "x" * 2000}
    messages = f"/channels/{place.channel.id}/messages"
    refused = [
        await call("POST", messages, long),
        await call("POST", answer_path(asked), {"type": 4, "data": long}),
    ]
    _, sent = await call("POST", messages, fits)
    refused.append(await call("PATCH", f"{messages}/{sent['id']}", long))
    assert (await call("POST", answer_path(asked), {"type": 4, "data": fits}))[0] == 204
    refused += [await call("PATCH", token_path(asked), long), await call("POST", token_path(asked, ""), long)]
    assert [(status, body["code"]) for status, body in refused] == [(400, 50035)] * 5
    assert [len(message.text) for message in place.channel.shown()] == [2000, 2000]
    assert (await call("POST", messages, {"content": " "}))[1]["code"] == 50006
    # the document allows 4000 where a message is sent, which only people may
    found = place.server.spec.findings
    assert place.server.spec.missing or len([finding for finding in found if "2001 is more than 2000" in finding]) == 3
    found.clear()


async def test_there_are_at_most_25_choices(place: Place, call: Call) -> None:
    for count, status in ((25, 204), (26, 400)):
        asked = place.world.autocomplete(place.channel, place.ann, "imitate", "handle", handle="j")
        choices = [{"name": str(number), "value": str(number)} for number in range(count)]
        assert (await call("POST", answer_path(asked), {"type": 8, "data": {"choices": choices}}))[0] == status
        assert (asked.callback is None) == (status == 400)
    if not place.server.spec.missing:
        assert any("26 is more than 25" in finding for finding in place.server.spec.findings)
    place.server.spec.findings.clear()


async def test_an_interaction_is_acknowledged_once_and_within_3_seconds(place: Place, call: Call) -> None:
    world = place.world
    asked, late = (world.slash(place.channel, place.ann, "imitate", handle="jo") for _ in range(2))
    assert (await call("POST", answer_path(asked), {"type": 5}))[0] == 204
    assert await call("POST", answer_path(asked), {"type": 5}) == (
        400, {"code": 40060, "message": "Interaction has already been acknowledged."},
    )  # fmt: skip
    assert (await call("PATCH", token_path(late), {"content": "too soon"}))[1]["code"] == 10015
    world.pass_time(3.1)
    assert (await call("POST", answer_path(late), {"type": 5}))[1]["code"] == 10062
    status, body = await call("POST", f"/interactions/{late.id}/wrong/callback", {"type": 5})
    assert (status, body["code"]) == (404, 10062)


async def test_its_token_is_good_for_15_minutes(place: Place, call: Call) -> None:
    asked = place.world.slash(place.channel, place.ann, "imitate", handle="jo")
    body = {"type": 5, "data": {"flags": EPHEMERAL}}
    _, answer = await call("POST", answer_path(asked), body, headers={}, params={"with_response": "true"})
    assert set(answer) == {"interaction"}
    place.world.pass_time(14 * 60)
    assert (await call("PATCH", token_path(asked), {"content": "early"}, headers={}))[0] == 200
    assert (await call("POST", token_path(asked, ""), {"content": "more"}, headers={}))[0] == 200
    place.world.pass_time(61)
    for method, path in (("PATCH", token_path(asked)), ("POST", token_path(asked, "")), ("GET", token_path(asked))):
        body = {"content": "late"} if method != "GET" else None
        assert await call(method, path, body) == (401, {"code": 50027, "message": "Invalid Webhook Token"})
    assert asked.original is not None
    assert [version.content for version in asked.original.history] == ["", "early"]
    assert place.channel.shown() == [message for message in asked.followups if not message.flags]


async def test_the_first_message_after_a_deferral_is_the_answer(place: Place, call: Call) -> None:
    asked = place.world.slash(place.channel, place.ann, "imitate", handle="jo")
    await call("POST", answer_path(asked), {"type": 5})
    await call("POST", token_path(asked, ""), {"content": "the answer"})
    assert (await place.world.answer(asked)).text == "the answer"
    assert asked.followups == []


async def test_permissions_are_those_of_the_channel(place: Place, call: Call) -> None:
    messages = f"/channels/{place.channel.id}/messages"
    said = place.world.say(place.channel, place.ann, "mine")
    assert (await call("DELETE", f"{messages}/{said.id}"))[1]["code"] == 50013
    assert (await call("PATCH", f"{messages}/{said.id}", {"content": "yours"}))[1]["code"] == 50005
    place.world.forbid(place.channel, Permission.SEND_MESSAGES)
    assert await call("POST", messages, {"content": "x"}) == (403, {"code": 50013, "message": "Missing Permissions"})
    place.world.forbid(place.channel, Permission.VIEW_CHANNEL)
    assert (await call("POST", messages, {"content": "x"}))[1]["code"] == 50001
    assert (await call("GET", "/users/@me", headers={}))[0] == 401
    assert (await call("GET", "/channels/1"))[1]["code"] == 10003


async def test_uploads_are_bounded_and_can_be_fetched(place: Place, call: Call) -> None:
    messages = f"/channels/{place.channel.id}/messages"
    place.world.upload_bytes = 1000
    assert (await call("POST", messages, {"content": "x"}, [b"x" * 1001]))[1]["code"] == 40005
    status, sent = await call("POST", messages, None, [b"a" * 1000, b"b"])
    assert status == 200
    async with aiohttp.ClientSession() as session, session.get(sent["attachments"][1]["url"]) as answer:
        assert await answer.read() == b"b"


async def test_a_webhook_knows_its_token_and_no_other(place: Place, call: Call) -> None:
    place.world.join(place.guild, place.world.bot, Permission.MANAGE_WEBHOOKS)
    _, made = await call("POST", f"/channels/{place.channel.id}/webhooks", {"name": "mockingbird"})
    path = f"/webhooks/{made['id']}/{made['token']}"
    assert (await call("POST", path, {"content": "hi", "username": "jo"}, headers={}))[0] == 204
    assert (await call("POST", f"/webhooks/{made['id']}/wrong", {"content": "hi"}))[1]["code"] == 50027
    assert (await call("POST", "/webhooks/1/wrong", {"content": "hi"}))[1]["code"] == 10015
    assert [message.author.name for message in place.channel.shown()] == ["jo"]


async def test_what_notifies_is_what_was_allowed_to(place: Place, call: Call) -> None:
    place.world.join(place.guild, place.world.bot, Permission.MENTION_EVERYONE)
    text = f"@everyone @here <@{place.ann.id}> <@&{place.guild.id}>"
    messages = f"/channels/{place.channel.id}/messages"
    await call("POST", messages, {"content": text})
    await call("POST", messages, {"content": text, "allowed_mentions": {"parse": []}})
    await call("POST", messages, {"content": text, "allowed_mentions": {"users": [place.ann.id]}})
    asked = place.world.slash(place.channel, place.ann, "imitate", handle="jo")
    await call("POST", answer_path(asked), {"type": 4, "data": {"content": text}})
    pings = [message.pings for message in place.channel.shown()]
    everyone = [place.ann.id, place.guild.id, "everyone", "here"]
    assert pings == [everyone, [], [place.ann.id], [place.ann.id]]


async def test_people_can_only_do_what_discord_lets_them(place: Place, call: Call) -> None:
    world, channel, ann = place.world, place.channel, place.ann
    boss = world.add_user("boss")
    world.join(place.guild, boss, Permission.MANAGE_GUILD)
    assert world.slash(channel, boss, "train").data["name"] == "train"
    added = world.slash(channel, ann, "schedule add", cron="daily")
    assert added.data["options"][0]["options"] == [{"name": "cron", "type": 3, "value": "daily"}]
    message = world.say(channel, ann, "no buttons")
    impossible: list[Callable[[], Any]] = [
        lambda: world.slash(channel, ann, "train"),
        lambda: world.slash(channel, ann, "sing"),
        lambda: world.slash(channel, ann, "imitate"),
        lambda: world.slash(channel, ann, "imitate", handle="jo", count=6),
        lambda: world.slash(channel, ann, "imitate", handle="jo", wings=2),
        lambda: world.slash(channel, ann, "schedule drop", cron="daily"),
        lambda: world.autocomplete(channel, ann, "imitate", "count", count=1),
        lambda: world.press(message, ann, "Again"),
        lambda: world.menu(message, ann, "Answer as ..."),
    ]
    for act in impossible:
        with pytest.raises(Impossible):
            act()


@pytest.mark.parametrize("says", ["500", "502", "503", "504", "429"])
async def test_every_route_fails_on_demand_and_does_nothing(place: Place, call: Call, says: str) -> None:
    fault = place.server.fault("*", says, times=2, skip=1)
    messages = f"/channels/{place.channel.id}/messages"
    statuses = [(await call("POST", messages, {"content": str(number)}))[0] for number in range(4)]
    assert statuses == [200, int(says), int(says), 200]
    assert fault.happened == 2
    assert [message.text for message in place.channel.shown()] == ["0", "3"]


@pytest.mark.parametrize("says", ["reset", "hang"])
async def test_an_answer_is_lost_before_or_after_the_request_was_done(place: Place, call: Call, says: str) -> None:
    messages = f"/channels/{place.channel.id}/messages"
    for number, applied in enumerate((False, True), start=1):
        place.server.fault(SEND, says, applied=applied)
        sending = asyncio.ensure_future(call("POST", messages, {"content": str(applied)}))
        await place.world.until(lambda wanted=number: len(place.server.asked(SEND)) == wanted)
        if says == "hang":
            assert not sending.done()
            sending.cancel()
        with pytest.raises((aiohttp.ClientError, asyncio.CancelledError)):
            await sending
    assert [message.text for message in place.channel.shown()] == ["True"]
    assert [request.status for request in place.server.asked(SEND)] == [0, 0]


async def test_a_spent_limit_is_refused_with_all_that_a_client_goes_by(place: Place) -> None:
    place.server.limits[SEND] = (1, 60.0)
    url = f"{place.server.api_url}/channels/{place.channel.id}/messages"
    headers = {"Authorization": f"Bot {place.server.token}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(url, json={"content": "1"}) as answer:
            assert (answer.status, answer.headers["X-RateLimit-Remaining"]) == (200, "0")
        async with session.post(url, json={"content": "2"}) as answer:
            body = await answer.json()
            assert (answer.status, answer.headers["Content-Type"]) == (429, "application/json")
            assert {"Via", "Retry-After", "X-RateLimit-Reset", "X-RateLimit-Bucket"} <= set(answer.headers)
            assert 0 < body["retry_after"] <= 60
            assert float(answer.headers["X-RateLimit-Reset-After"]) == body["retry_after"]


# --- The check against the specification ------------------------------------------------------------------------------


async def test_the_official_specification_finds_what_is_wrong(place: Place, call: Call) -> None:
    spec = place.server.spec
    if spec.missing:
        pytest.skip(spec.missing)
    messages = f"/channels/{place.channel.id}/messages"
    await call("POST", messages, {"content": "right"})
    assert (spec.findings, spec.checked) == ([], 4)
    await call("POST", messages, {"content": 7})
    await call("GET", messages, params={"limit": "200"})
    await call("GET", messages, params={"limits": "2"})
    await call("GET", "/guilds/templates/x")
    spec.response("GET", "/users/@me", 200, {"id": 7})
    findings = "\n".join(spec.findings)
    for wrong in ("body.content: 7 is not", "limit: 200 is more than 100", "?limits: is not a parameter"):
        assert wrong in findings
    assert "this server has no such route" in findings
    assert "response 200 GET /users/@me: body.id: 7 is not string" in findings
    assert "body.username: is missing" in findings
    spec.findings.clear()
