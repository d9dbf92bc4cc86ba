"""A post becomes one message, and what came of an attempt is said only where it is sure."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import discord
import discord.http
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import NotSent, Post, PostState, Refused, Unauthorized
from bot.platforms.discord.attempt import NONCE_LENGTH, nonce
from bot.platforms.discord.poster import DiscordPoster
from bot.store.outbox import in_crockford, new_id
from tests.platforms.discord.conftest import Online
from tests.servers.discord.objects import Permission

pytestmark = pytest.mark.discord
SEND = "POST /channels/{channel_id}/messages"
LOOK = "GET /channels/{channel_id}/messages"


def post(online: Online, text: str = "hello", key: str = "a", account: str | None = None, **more: Any) -> Post:
    account, now = account or online.channel.id, online.now()
    post_id = new_id(now, "discord", account, key)
    known = dict(state=PostState.SENDING, due_at=now, expires_at=now + 1, attempts=1, remote_id=None, error=None)
    return Post(post_id, "discord", account, key, text, **{**known, "claimed_at": now, **more})  # type: ignore[arg-type]


def poster(online: Online, **more: Any) -> DiscordPoster:
    return DiscordPoster(lambda: online.client, online.now, **more)


@contextlib.contextmanager
def elsewhere(base: str) -> Iterator[None]:
    before = discord.http.Route.BASE
    discord.http.Route.BASE = base
    try:
        yield
    finally:
        discord.http.Route.BASE = before


# --- The nonce --------------------------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 2**128 - 1), min_size=2, max_size=20))
def test_no_two_posts_share_a_nonce(numbers: set[int]) -> None:
    nonces = {nonce(in_crockford(number, 26)) for number in numbers}
    assert len(nonces) == len(numbers)
    assert {len(one) for one in nonces} == {NONCE_LENGTH}
    assert {int(one, 36) for one in nonces} == numbers


def test_the_last_ulid_has_a_nonce_and_what_is_none_has_not() -> None:
    assert nonce("7ZZZZZZZZZZZZZZZZZZZZZZZZZ") == "f5lxx1zz5pnorynqglhzmsp33"
    with pytest.raises(ValueError, match="no ULID"):
        nonce("ZZZZZZZZZZZZZZZZZZZZZZZZZZ")


# --- Sending ----------------------------------------------------------------------------------------------------------


async def test_a_post_is_a_message_that_pings_nobody(online: Online) -> None:
    said = post(online, f"*hi* @everyone <@{online.ann.id}>")
    remote_id = await poster(online).send(said)
    (message,) = online.channel.shown()
    assert remote_id == message.id
    assert message.content == f"\\*hi\\* @\u200beveryone <\u200b@{online.ann.id}>"
    assert (message.pings, message.mentions, message.nonce) == ([], [], nonce(said.id))
    (asked,) = online.server.asked(SEND)
    assert asked.body["enforce_nonce"] is True
    assert asked.body["allowed_mentions"] == {"parse": []}
    assert asked.body["flags"] == 4  # without embeds


@pytest.mark.parametrize("where", ["thread", "cause"])
async def test_a_reply_is_one_and_pings_nobody(online: Online, where: str) -> None:
    heard = online.world.say(online.channel, online.ann, "you there?")
    link = {"reply_to": heard.id} if where == "thread" else {"cause": {"in_reply_to": heard.id}}
    await poster(online).send(post(online, **link))
    answer = online.channel.shown()[-1]
    assert answer.reply_to is heard
    assert answer.pings == []


async def test_a_reply_to_what_was_deleted_is_said_all_the_same(online: Online) -> None:
    heard = online.world.say(online.channel, online.ann, "oops")
    online.world.remove(heard)
    said = post(online, cause={"in_reply_to": heard.id})
    remote_id = await poster(online).send(said)
    found = await poster(online).find(said)
    assert found is not None
    assert found.remote_id == remote_id


async def test_a_post_may_be_laid_out_with_buttons_and_is_found_by_them(online: Online) -> None:
    async def dressed(post: Post) -> discord.ui.LayoutView | None:
        view = discord.ui.LayoutView(timeout=None)
        view.add_item(discord.ui.TextDisplay(f"a draft: {post.text}"))
        view.add_item(discord.ui.ActionRow(discord.ui.Button(label="Drop", custom_id=f"mb:drop:{post.id}")))
        view.stop()
        return view

    said, other = post(online), post(online, key="b")
    remote_id = await poster(online, dressed=dressed).send(said)
    (message,) = online.channel.shown()
    assert (message.text, list(message.buttons())) == ("a draft: hello", ["Drop"])
    assert message.flags == 1 << 15 | 1 << 2
    found = await poster(online, dressed=dressed).find(said)
    assert found is not None
    assert found.remote_id == remote_id
    assert await poster(online).find(other) is None


# --- What an error means ----------------------------------------------------------------------------------------------


async def test_without_a_client_nothing_is_sent(online: Online) -> None:
    closed = discord.Client(intents=discord.Intents.none())
    for client in (None, closed):
        with pytest.raises(NotSent, match="no connection"):
            await DiscordPoster(lambda client=client: client).send(post(online))  # type: ignore[misc]
        with pytest.raises(ConnectionError):
            await DiscordPoster(lambda client=client: client).find(post(online))  # type: ignore[misc]


async def test_a_refused_connection_has_sent_nothing(online: Online) -> None:
    with elsewhere("http://127.0.0.1:9/api/v10"), pytest.raises(NotSent, match="no connection"):
        await poster(online).send(post(online))


@pytest.mark.parametrize("permission", [Permission.VIEW_CHANNEL, Permission.SEND_MESSAGES])
async def test_what_the_bot_may_not_do_is_refused_in_plain_words(online: Online, permission: Permission) -> None:
    online.world.forbid(online.channel, permission)
    with pytest.raises(Refused, match=r"the bot may not (see|write in) this channel"):
        await poster(online).send(post(online))


@pytest.mark.parametrize("account", ["123", "feed"])
async def test_a_channel_that_is_none_is_refused(online: Online, account: str) -> None:
    with pytest.raises(Refused, match=r"no (such )?channel"):
        await poster(online).send(post(online, account=account))


async def test_a_token_that_is_not_accepted_is_told_as_that(online: Online) -> None:
    online.client.http.token = "another"
    with pytest.raises(Unauthorized):
        await poster(online).send(post(online))


@pytest.mark.parametrize("retry_after_s", [0.1, 90.0])
async def test_a_limit_beyond_patience_is_waited_for_in_the_outbox(online: Online, retry_after_s: float) -> None:
    online.server.fault(SEND, "429", times=5, retry_after_s=retry_after_s)
    now = online.now()
    with pytest.raises(NotSent, match="wait") as raised:
        await poster(online).send(post(online))
    assert raised.value.retry_at is not None
    assert now + retry_after_s * 1000 <= raised.value.retry_at <= now + retry_after_s * 1000 + 2_000


@pytest.mark.parametrize("says", ["500", "502", "503", "504", "reset"])
@pytest.mark.parametrize("applied", [True, False])
async def test_what_may_have_arrived_is_unknown_and_is_found_if_it_did(
    online: Online, says: str, applied: bool
) -> None:
    online.server.fault(SEND, says, times=5, applied=applied)
    said = post(online)
    with pytest.raises(Exception) as raised:  # noqa: PT011
        await poster(online).send(said)
    assert not isinstance(raised.value, NotSent | Refused | Unauthorized)
    found = await poster(online).find(said)
    assert (found is not None) is applied
    assert len(online.channel.shown()) == applied


async def test_a_refusal_after_a_lost_answer_does_not_say_that_nothing_went_out(online: Online) -> None:
    """discord.py repeats what was answered by 502; what came of the second try says nothing of the first."""
    for says, more in (("429", {"times": 5, "retry_after_s": 60.0}), ("429", {"times": 4}), ("reset", {})):
        said = post(online, f"text {says} {more}", key=f"{says} {more}")
        online.server.fault(SEND, "502", applied=True)
        online.server.fault(SEND, says, **more)  # type: ignore[arg-type]
        with pytest.raises(Exception) as raised:  # noqa: PT011
            await poster(online).send(said)
        assert not isinstance(raised.value, NotSent | Refused | Unauthorized)
        assert await poster(online).find(said) is not None
        online.server.faults.clear()


async def test_without_a_trace_a_refusal_is_taken_for_unknown(online: Online) -> None:
    client = discord.Client(intents=discord.Intents.none())
    await client.login(online.server.token)
    try:
        with pytest.raises(discord.NotFound):
            await DiscordPoster(lambda: client).send(post(online, account="123"))
    finally:
        await client.close()


# --- Looking ----------------------------------------------------------------------------------------------------------


async def test_it_is_found_among_many_and_nobody_elses_is_taken_for_it(online: Online) -> None:
    world, channel = online.world, online.channel
    said = post(online, "it is  *me*\n")
    remote_id = await poster(online).send(said)
    elsewhere_said = world.say(channel, online.ann, channel.shown()[0].content)
    for number in range(150):
        world.say(channel, online.ann, str(number))
    found = await poster(online).find(said)
    assert found is not None
    assert found.remote_id == remote_id != elsewhere_said.id
    assert abs(found.posted_at - online.now()) < 10_000
    assert await poster(online).find(post(online, "it is me not", key="b")) is None
    reply = post(online, "it is  *me*\n", key="c", cause={"in_reply_to": elsewhere_said.id})
    assert await poster(online).find(reply) is not None  # as a reply whose message is gone
    await poster(online).send(post(online, "yes", key="d", cause={"in_reply_to": elsewhere_said.id}))
    assert await poster(online).find(post(online, "yes", key="e")) is None


async def test_a_history_that_may_not_be_read_does_not_look_empty(online: Online) -> None:
    assert await poster(online).find(post(online)) is None  # nobody has said anything
    await poster(online).send(post(online))
    online.world.forbid(online.channel, Permission.READ_MESSAGE_HISTORY)
    with pytest.raises(PermissionError, match="history"):
        await poster(online).find(post(online))
    online.world.forbid(online.channel, Permission.VIEW_CHANNEL)
    with pytest.raises(discord.Forbidden):
        await poster(online).find(post(online))


async def test_a_post_that_was_deleted_is_not_sent_again(online: Online) -> None:
    said = post(online)
    await poster(online).send(said)
    online.world.remove(online.channel.shown()[0])
    with pytest.raises(Refused, match="deleted"):
        await poster(online).send(said)
    assert online.channel.shown() == []
