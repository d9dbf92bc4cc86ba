"""Drafts and doubtful posts are decided by buttons: by those who may, once, also after a restart."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot import clock
from bot.domain import Post, PostState
from bot.flows.deliver import deliver_due
from bot.platforms.discord import review, withdraw
from bot.platforms.discord.poster import DiscordPoster
from bot.store import decisions, erase, outbox, places
from bot.store.database import Db
from bot.store.ledger import NO_LIMITS
from tests.platforms.discord.commanded import Commanded, connected, hold
from tests.servers.discord.conftest import Place, place
from tests.servers.discord.objects import Message, Permission, User

__all__ = ["place"]
pytestmark = pytest.mark.discord
DAY_MS = 86_400_000


@pytest.fixture
async def bot(place: Place, tmp_path: Path) -> AsyncIterator[Commanded]:
    async with connected(place, tmp_path) as bot:
        await bot.app.database.run(lambda db: hold(db, bot.place, "jo"))
        yield bot


def draft(db: Db, bot: Commanded, text: str = "the *kettle* sings", key: str = "schedule:1:a") -> Post:
    """A draft with another candidate, and its notice, as a schedule makes them."""
    now = clock.now_ms()
    post = outbox.add(
        db, "discord", bot.channel.id, key, {"persona": f"{bot.place}/jo", "prompt": ""}, text, now, now + DAY_MS, now,
        draft=True, persona_id=1, alternatives=[{"text": "a lamp hums", "seed": 2, "rank": 1.0}], place=bot.place,
    )  # fmt: skip
    wanted = f"A draft of jo waits for you: `mockingbird outbox approve {post.id}`. It is: {text}"
    outbox.notify(db, f"draft:{post.id}", wanted, now, {"about": post.id, "draft": True}, bot.place)
    return post


def doubt(db: Db, bot: Commanded) -> Post:
    """A post that was sent, and nobody knows whether it arrived."""
    now = clock.now_ms()
    cause = {"persona": f"{bot.place}/jo"}
    post = outbox.add(
        db, "discord", bot.channel.id, "said", cause, "is it there", now, now + DAY_MS, now, place=bot.place
    )
    db.execute("UPDATE outbox SET state = 'unknown', attempts = 1, ambiguous = 1 WHERE id = ?", [post.id])
    return outbox.review(db, post.id, "nobody could tell", now)


async def noticed(bot: Commanded, make: Any) -> tuple[Post, Message]:
    """A post, and the message that tells of it, sent as the bot sends it."""
    here = places.Settled(("discord", bot.channel.id))
    await bot.app.database.run(lambda db: places.settle(db, bot.place, here))
    post: Post = await bot.app.database.run(lambda db: make(db, bot))

    async def dressed(post: Post) -> Any:
        return await review.dressed(bot.front, post)

    poster = DiscordPoster(bot.front.client, dressed=dressed)
    await deliver_due(bot.app.database, {"discord": poster}, clock.now_ms, lambda: NO_LIMITS)
    return post, await bot.world.said(bot.channel)


async def state_of(bot: Commanded, post: Post) -> PostState:
    return await bot.app.database.run(lambda db: outbox.state_of(db, post.id))


async def settled(bot: Commanded, message: Message) -> None:
    await bot.world.until(lambda: not message.buttons())


async def test_a_draft_is_shown_without_the_shell_and_approved_once(bot: Commanded) -> None:
    post, message = await noticed(bot, draft)
    assert "mockingbird" not in message.text
    assert "the \\*kettle\\* sings" in message.text
    assert set(message.buttons()) == {"Approve", "Edit", "Another (1)", "Drop"}
    assert f"as soon as it is approved; given up <t:{post.expires_at // 1000}:f>" in message.text
    bot.world.press(message, bot.mod, "Approve")
    await settled(bot, message)
    assert f"Approved by <@{bot.mod.id}>." in message.text
    assert message.pings == []
    assert await state_of(bot, post) is PostState.QUEUED
    decided = await bot.app.database.run(lambda db: decisions.decided(db, post.id))
    assert decided == decisions.Decision(f"discord:{bot.mod.id}", decisions.APPROVED)


async def test_who_comes_second_is_told_who_decided(bot: Commanded, monkeypatch: pytest.MonkeyPatch) -> None:
    post, message = await noticed(bot, draft)
    await bot.app.database.run(lambda db: decisions.drop(db, post.id, 1))
    await bot.app.database.run(lambda db: decisions.sign(db, post.id, f"discord:{bot.ann.id}"))
    said = await bot.told(bot.world.press(message, bot.mod, "Approve"))
    assert said == f"That is settled already. Dropped by <@{bot.ann.id}>."
    assert await state_of(bot, post) is PostState.CANCELLED
    assert not message.buttons()


async def test_only_those_decide_who_may_use_the_command(bot: Commanded) -> None:
    post, message = await noticed(bot, draft)
    for label in ("Approve", "Edit", "Another (1)", "Drop"):
        said = await bot.told(bot.world.press(message, bot.ann, label))
        assert said == "This is for those who may use /outbox here."
    assert await state_of(bot, post) is PostState.DRAFT
    bot.world.settle(bot.guild, "outbox", {bot.ann.id: (2, True)})
    await bot.use(bot.mod, "status")  # after the event that tells of it
    bot.world.press(message, bot.ann, "Drop")
    await settled(bot, message)
    assert await state_of(bot, post) is PostState.CANCELLED


async def edit(bot: Commanded, message: Message, user: User, text: str) -> Any:
    asked = await bot.world.acknowledged(bot.world.press(message, user, "Edit"))
    return bot.world.submit(asked, text=text)


async def test_a_draft_is_edited_in_a_form_and_another_candidate_taken(bot: Commanded) -> None:
    post, message = await noticed(bot, draft)
    await edit(bot, message, bot.mod, "the lamp sings")
    await bot.world.until(lambda: "the lamp sings" in message.text)
    refused = await edit(bot, message, bot.mod, "call me: @somebody")
    assert (await bot.told(refused)).startswith("The text was refused (")
    assert "the lamp sings" in message.text
    bot.world.press(message, bot.mod, "Another (1)")
    await bot.world.until(lambda: "a lamp hums" in message.text)
    assert set(message.buttons()) == {"Approve", "Edit", "Another", "Drop"}
    assert await state_of(bot, post) is PostState.DRAFT


@pytest.mark.parametrize(
    ("label", "state", "outcome"),
    [
        ("It arrived", PostState.POSTED, "{} says that it is there."),
        ("Send again", PostState.QUEUED, "{} says that it is not there: it is sent again."),
        ("Drop", PostState.CANCELLED, "Dropped by {}."),
    ],
)
async def test_of_a_doubtful_post_people_say_whether_it_is_there(
    bot: Commanded, label: str, state: PostState, outcome: str
) -> None:
    post, message = await noticed(bot, doubt)
    assert "nobody could tell" in message.text
    bot.world.press(message, bot.mod, label)
    await settled(bot, message)
    assert await state_of(bot, post) is state
    assert outcome.format(f"<@{bot.mod.id}>") in message.text


async def test_the_outbox_lists_what_waits_and_settles_its_notice_too(bot: Commanded) -> None:
    post, message = await noticed(bot, draft)
    listed = await bot.use(bot.mod, "outbox")
    assert "**jo** · a draft: the" in listed.text
    opened = await bot.world.answer(bot.world.select(listed, bot.mod, post.id))
    bot.world.press(opened, bot.mod, "Approve")
    await settled(bot, opened)
    await settled(bot, message)
    assert f"Approved by <@{bot.mod.id}>." in message.text
    assert "Nothing waits for a decision." in (await bot.use(bot.mod, "outbox")).text


async def test_another_server_sees_and_decides_nothing_of_it(bot: Commanded) -> None:
    post, _ = await noticed(bot, draft)
    guild = bot.world.add_guild("Elsewhere")
    (channel,) = guild.channels.values()
    bot.world.join(guild, bot.ann, 1 << 5)
    there = dataclasses.replace(bot, guild=guild, channel=channel)
    assert "Nothing waits" in (await there.use(bot.ann, "outbox")).text
    theirs, copy = await noticed(there, lambda db, bot: draft(db, bot, "theirs"))
    for part in copy.buttons().values():  # as if somebody could press what is another server's
        part["custom_id"] = part["custom_id"].replace(theirs.id, post.id)
    said = await bot.told(bot.world.press(copy, bot.ann, "Approve"))
    assert said == f"There is no post {post.id} here: /outbox shows them."
    assert await state_of(bot, post) is PostState.DRAFT


async def test_buttons_and_forms_work_after_a_restart(place: Place, tmp_path: Path) -> None:
    async with connected(place, tmp_path) as bot:
        await bot.app.database.run(lambda db: hold(db, bot.place, "jo"))
        post, message = await noticed(bot, draft)
        form = await bot.world.acknowledged(bot.world.press(message, bot.mod, "Edit"))
    async with connected(place, tmp_path) as bot:
        bot.world.submit(form, text="the lamp sings")
        await bot.world.until(lambda: "the lamp sings" in message.text)
        bot.world.press(message, bot.mod, "Approve")
        await settled(bot, message)
        assert await state_of(bot, post) is PostState.QUEUED


async def test_other_notices_name_commands_of_discord(bot: Commanded) -> None:
    def tell(db: Db) -> Post:
        text = "jo is silent: `mockingbird train jo` makes it speak, `mockingbird outbox list` shows what waits."
        return outbox.notify(db, "k", text, clock.now_ms(), {}, bot.place)

    _, message = await noticed(bot, lambda db, bot: tell(db))
    assert "jo is silent: /train makes it speak, /outbox shows what waits." in message.text


async def test_a_button_that_is_no_longer_in_use_says_so(bot: Commanded) -> None:
    _, message = await noticed(bot, draft)
    message.buttons()["Drop"]["custom_id"] = "mb:unheard:1"
    said = await bot.told(bot.world.press(message, bot.mod, "Drop"))
    assert said == "This is no longer in use: ask again with a command."


async def test_a_draft_that_nobody_approved_in_time_says_so_when_it_is_pressed(bot: Commanded) -> None:
    post, message = await noticed(bot, draft)
    await bot.app.database.run(lambda db: outbox.expire(db, post.expires_at))
    said = await bot.told(bot.world.press(message, bot.mod, "Approve"))
    assert said == "That is settled already. It was missed."
    assert "It was missed." in message.text


async def scheduled(bot: Commanded) -> tuple[Post, Message]:
    """A draft of schedule 1, and its notice."""
    await bot.use(bot.mod, "schedule add", persona="jo", every="1h", approval="always")
    return await noticed(bot, draft)


async def test_drafts_that_go_with_their_schedule_lose_their_buttons(bot: Commanded) -> None:
    post, message = await scheduled(bot)
    said = (await bot.use(bot.mod, "schedule remove", schedule=1)).text
    assert "What it had queued is cancelled (1)." in said
    await settled(bot, message)
    assert await state_of(bot, post) is PostState.CANCELLED
    assert "It was cancelled." in message.text


async def test_drafts_of_who_is_forgotten_are_deleted(bot: Commanded) -> None:
    _, message = await noticed(bot, draft)
    asked = await bot.use(bot.mod, "forget", handle="jo")
    bot.world.press(asked, bot.mod, "Forget")
    await bot.world.until(lambda: message.deleted)
    async with asyncio.timeout(10):  # it is not deleted again
        while await bot.app.database.run(lambda db: erase.standing(db, "discord", 9)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_cannot_be_deleted_is_said_in_the_log_and_hinders_nothing(
    bot: Commanded, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = bot.world.add_channel(bot.guild, "hidden")
    bot.world.forbid(hidden, Permission.VIEW_CHANNEL)
    _, message = await noticed(bot, draft)

    def forgotten(db: Db) -> None:
        now = clock.now_ms()
        for account, id in ((hidden.id, "77"), (bot.channel.id, "78")):
            outbox.add(db, "discord", account, id, {}, "", now, now + 1, now, kind="notice", place=bot.place)
            db.execute("UPDATE outbox SET remote_id = ? WHERE cause_key = ?", [id, id])
        values = "state = 'posted', text = '', cause = ?"
        db.execute(f"UPDATE outbox SET {values} WHERE kind = 'notice'", [erase.REDUCED])

    await bot.app.database.run(forgotten)
    await withdraw.withdraw(bot.front)
    assert message.deleted
    assert "message 77 tells of what is forgotten and cannot be deleted" in caplog.text
    assert await bot.app.database.run(lambda db: erase.standing(db, "discord", 9)) == []
