"""/imitate, its completion and its buttons, "Answer as ...", and a training that ends with the imitation asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import pytest

from bot.domain import Job, JobState, Post
from bot.errors import TrainingFailed
from bot.flows import quiet
from bot.platforms.discord.answers import progress
from bot.platforms.discord.commands import imitate
from bot.platforms.discord.commands.imitate import Looked
from bot.store import opt_outs, outbox
from models.wire import Progress
from tests.platforms.discord.fronted import Bot, hasten
from tests.servers.discord.clients import send_discord_py
from tests.servers.discord.conftest import Place, place
from tests.servers.discord.objects import Interaction, Message, User, walk

__all__ = ["place"]
pytestmark = pytest.mark.discord

ORIGINAL = "PATCH /webhooks/{webhook_id}/{webhook_token}/messages/@original"


@pytest.fixture
async def bot(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    send_discord_py(monkeypatch, place.server)
    hasten(monkeypatch)
    monkeypatch.setattr(progress, "FIRST_S", 0.05)
    monkeypatch.setattr(progress, "EVERY_S", 0.05)
    bot = Bot(place, tmp_path / "data")
    await bot.start()
    yield bot
    await bot.stop()


async def imitated(bot: Bot, handle: str = "jo", **more: object) -> Message:
    answer = await bot.world.answer(bot.world.slash(bot.channel, bot.ann, "imitate", handle=handle, **more))
    await bot.world.until(lambda: answer.buttons())
    return answer


async def pressed(bot: Bot, message: Message, label: str, who: User | None = None) -> Message:
    return await bot.world.answer(bot.world.press(message, who or bot.ann, label))


async def posts(bot: Bot) -> list[Post]:
    return await bot.database.run(lambda db: outbox.every(db, 10))


# --- Who is meant -----------------------------------------------------------------------------------------------------


async def test_handles_are_completed_with_those_who_can_speak_here(bot: Bot) -> None:
    await bot.persona("jo")
    await bot.persona("joan", trained=False)
    await bot.persona("Ben")
    await bot.persona("ben", "kim")
    await bot.persona("jordan", where="discord:1")
    await bot.persona("jonas", where="shell")

    async def completed(typed: str) -> list[str]:
        asked = bot.world.autocomplete(bot.channel, bot.ann, "imitate", "handle", handle=typed)
        return (await bot.world.acknowledged(asked)).choices

    assert await completed("") == ["ben", "ben+kim", "jo"]
    assert await completed("@J") == ["jo"]
    assert await completed("ki") == ["ben+kim"]
    assert await completed("ben+") == ["ben+kim", "ben+jo"]
    assert await completed("jo be") == ["jo+ben"]
    assert await completed("x") == []


async def test_at_most_25_are_offered(bot: Bot) -> None:
    for number in range(30):
        await bot.persona(f"jo{number}")
    asked = bot.world.autocomplete(bot.channel, bot.ann, "imitate", "handle", handle="jo")
    assert len((await bot.world.acknowledged(asked)).choices) == 25


@pytest.mark.parametrize("typed", ["Kim+ben", "@ben, @kim", "ben kim"])
async def test_a_cyborg_is_found_as_it_is_typed(bot: Bot, typed: str) -> None:
    made = await bot.persona("ben", "kim")
    answer = await imitated(bot, typed)
    assert bot.script.asked[0]["persona"] == made.name
    assert "ben+kim" in answer.text
    assert "AI imitation" in answer.text


async def test_a_persona_of_another_server_is_none_here(bot: Bot) -> None:
    await bot.persona("jo", where="discord:1")
    await bot.persona("joe")
    asked = await bot.world.acknowledged(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    assert asked.original is not None
    assert asked.original.text.startswith("There is no persona **@jo** here.\nDid you mean **joe**?")
    assert bot.channel.shown() == []


# --- Buttons ----------------------------------------------------------------------------------------------------------


async def test_an_answer_can_be_had_again_more_often_longer_and_shorter_also_after_a_restart(bot: Bot) -> None:
    await bot.persona("jo")
    first = await imitated(bot, prompt="the sea")
    await bot.closed()
    await bot.stop()
    await bot.start()
    again = await pressed(bot, first, "Again")
    assert again is not first
    assert "text 2.1" in again.text
    more = await pressed(bot, again, "More")
    assert "text 3.5" in more.text
    longer = await pressed(bot, more, "Longer")
    assert "text 4.5" in longer.text
    assert "text 4.1" not in longer.text
    longer_again = await pressed(bot, longer, "Again")
    assert "text 5.5" in longer_again.text
    shorter = await pressed(bot, longer, "Shorter")
    assert "text 6.1" in shorter.text
    assert "text 6.5" not in shorter.text
    assert [asked["n"] for asked in bot.script.asked] == [1, 1, 5, 5, 5, 5]
    assert {asked["prompt"] for asked in bot.script.asked} == {"the sea"}
    assert bot.script.asked[3]["max_tokens"] == 200
    assert "max_tokens" not in bot.script.asked[5]


async def test_a_persona_can_be_spoken_to(bot: Bot) -> None:
    await bot.persona("jo")
    first = await imitated(bot)
    form = await bot.world.acknowledged(bot.world.press(first, bot.ann, "Reply"))
    answer = await bot.world.answer(bot.world.submit(form, text="do you *like* soup?"))
    assert bot.script.asked[1]["reply_to"] == "do you *like* soup?"
    assert "soup" in answer.text


async def test_votes_are_counted_once_for_each_person_and_taken_back(bot: Bot) -> None:
    await bot.persona("jo")
    first = await imitated(bot, count=2)
    ben = bot.world.add_user("ben")
    bot.world.join(bot.place.guild, ben)
    up, down = (f"mb:{verb}:{first.interaction.id}:1" for verb in ("up", "down"))  # type: ignore[union-attr]
    said = [
        (await pressed(bot, first, button, who)).text
        for button, who in [(up, bot.ann), (up, ben), (down, ben), (up, bot.ann)]
    ]
    assert said == [
        "Thanks: 1 up, 0 down.",
        "Thanks: 2 up, 0 down.",
        "Thanks: 1 up, 1 down.",
        "Taken back: 0 up, 1 down.",
    ]


async def test_only_those_who_may_post_an_answer_and_once(bot: Bot) -> None:
    await bot.persona("jo")
    first = await imitated(bot)
    await bot.closed()
    refused = await pressed(bot, first, "Post…")
    assert "for those who may use /outbox here" in refused.text
    owner = bot.place.guild.owner
    asked = bot.world.press(first, owner, "Post…")
    confirm = await bot.world.answer(asked)
    assert f"Post this in <#{bot.channel.id}>?" in confirm.text
    presses = [bot.world.press(confirm, owner, "Post it") for _ in range(2)]
    for press in presses:
        await bot.world.acknowledged(press)
    (post,) = await posts(bot)
    assert (post.text, post.account, post.cause["asked_by"]) == ("text 1.1", bot.channel.id, f"discord:{owner.id}")
    said = await bot.world.until(lambda: next((m for m in bot.channel.shown() if m.interaction is None), None))
    assert said.text == "text 1.1"
    once_more = await bot.world.answer(bot.world.press(first, owner, "Post…"))
    bot.world.press(once_more, owner, "Post it")
    await bot.world.until(lambda: "was put into the outbox before" in once_more.text)


async def test_the_buttons_of_an_answer_are_for_those_who_may_imitate(bot: Bot) -> None:
    await bot.persona("jo")
    first = await imitated(bot)
    await bot.closed()
    bot.world.settle(bot.place.guild, "imitate", {bot.ann.id: (2, False)})
    for button in ("Again", "More", "Longer", "Shorter", "Reply"):
        assert "for those who may use /imitate here" in (await pressed(bot, first, button)).text
    assert len(bot.script.asked) == 1


async def test_nothing_is_posted_of_who_does_not_want_to_be_imitated_any_more(bot: Bot) -> None:
    await bot.persona("jo")
    first = await imitated(bot)
    await bot.closed()
    owner = bot.place.guild.owner
    confirm = await bot.world.answer(bot.world.press(first, owner, "Post…"))
    await bot.database.run(lambda db: opt_outs.add(db, opt_outs.handle("jo"), 1))
    said = await bot.world.answer(bot.world.press(confirm, owner, "Post it"))
    assert "@jo does not want to be imitated" in said.text
    assert await posts(bot) == []


async def test_a_button_of_another_server_or_an_old_one_says_so(bot: Bot) -> None:
    await bot.persona("jo")
    first = await imitated(bot)
    other = bot.world.add_guild("Hill")
    bot.world.join(other, bot.ann)
    (channel,) = other.channels.values()
    assert first.interaction is not None
    data = {"custom_id": f"mb:again:{first.interaction.id}", "component_type": 2}
    forged = bot.world._interact(3, data, channel, bot.ann, first)
    assert "not from here" in (await bot.world.answer(forged)).text
    bot.pass_time(31 * 86_400)
    assert "more than 30 days old" in (await pressed(bot, first, "Again")).text
    assert len(bot.script.asked) == 1


# --- Answering a message ----------------------------------------------------------------------------------------------


async def test_a_message_is_answered_and_not_kept(bot: Bot) -> None:
    await bot.persona("jo")
    said = bot.world.say(bot.channel, bot.ann, "who saw the lighthouse")
    answer = await bot.world.answer(bot.world.menu(said, bot.ann, "Answer as ..."))
    assert f"In answer to https://discord.com/channels/{bot.place.guild.id}/{bot.channel.id}/{said.id}" in answer.text
    assert bot.script.asked[0]["reply_to"] == "who saw the lighthouse"
    await bot.closed()
    refused = await pressed(bot, answer, "Again")
    assert "What this answered is not kept" in refused.text
    kept = await bot.database.run(lambda db: "\n".join(db.conn.iterdump()))
    assert "lighthouse" not in kept


async def test_what_a_persona_said_is_answered_without_what_stands_around_it(bot: Bot) -> None:
    await bot.persona("jo")
    bot.script.says = "-# the *sea*\nis loud"
    said = await imitated(bot, count=2)
    await bot.world.answer(bot.world.menu(said, bot.ann, "Answer as ..."))
    await bot.asked(2)
    assert bot.script.asked[1]["reply_to"] == "-# the *sea*\nis loud\n-# the *sea*\nis loud"


@pytest.mark.parametrize(("scope", "who"), [("everything", "Everything here"), ("persona:jo", "jo")])
async def test_who_is_muted_is_told_of_to_whoever_asked_alone(bot: Bot, scope: str, who: str) -> None:
    await bot.persona("jo")
    _, until = await quiet.mute(bot.database, scope, 3600, bot.now(), bot.home)
    refused = await bot.world.answer(bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo"))
    assert refused.text == f"{who} is muted until <t:{until // 1000}:f> (<t:{until // 1000}:R>)."
    assert refused.flags & 64
    assert bot.script.asked == []


async def test_nobody_is_answered_who_wants_nothing_to_do_with_us(bot: Bot) -> None:
    await bot.persona("jo")
    said = bot.world.say(bot.channel, bot.place.guild.owner, "leave me alone")
    subject = f"person:discord:{said.author.id}"
    await bot.database.run(lambda db: db.execute("INSERT INTO opt_outs VALUES (?, 1)", [subject]))
    refused = await bot.world.answer(bot.world.menu(said, bot.ann, "Answer as ..."))
    assert "does not want to be answered" in refused.text
    assert bot.script.asked == []


async def test_whoever_is_to_answer_a_message_is_chosen_from_a_list(bot: Bot) -> None:
    await bot.persona("jo")
    kim = await bot.persona("kim")
    said = bot.world.say(bot.channel, bot.ann, "who saw the lighthouse")
    listed = await bot.world.answer(bot.world.menu(said, bot.ann, "Answer as ..."))
    (choice,) = (part for part in walk(listed.components) if part["type"] == 3)
    assert [option["label"] for option in choice["options"]] == ["jo", "kim"]
    await bot.stop()
    await bot.start()
    answer = await bot.world.answer(bot.world.select(listed, bot.ann, str(kim.id)))
    assert "kim" in answer.text
    assert [(asked["persona"], asked["reply_to"]) for asked in bot.script.asked] == [
        (kim.name, "who saw the lighthouse")
    ]
    await bot.closed(2)
    bot.pass_time(16 * 60)
    await bot.stop()
    await bot.start()
    kept = await bot.database.run(lambda db: "\n".join(db.conn.iterdump()))
    assert "lighthouse" not in kept


# --- Training first ---------------------------------------------------------------------------------------------------


async def offered(bot: Bot, who: User | None = None) -> Message:
    return await bot.world.answer(
        bot.world.slash(bot.channel, who or bot.place.guild.owner, "imitate", handle="ben+kim", prompt="the sea")
    )


async def begun(bot: Bot) -> tuple[Message, Interaction]:
    """A training that has told of two steps, and does not end yet."""
    await bot.persona("ben", trained=False)
    await bot.persona("kim", trained=False)
    bot.script.free.clear()
    asked = bot.world.press(await offered(bot), bot.place.guild.owner, "Train it now")
    await bot.world.acknowledged(asked)
    assert asked.original is not None
    await bot.world.until(lambda: "step 20 of 40" in asked.original.text)  # type: ignore[union-attr]
    return asked.original, asked


async def test_a_training_shows_how_far_it_is_and_then_what_was_asked_for(bot: Bot) -> None:
    message, _ = await begun(bot)
    assert "loss 3.50 · on unseen tweets 3.60 · about 30 s left" in message.text
    bot.script.hear(asdict(Progress(25, 40, 3.2, None, 0.0)))
    await bot.world.until(lambda: "step 25 of 40" in message.text)
    assert "left" not in message.text
    bot.script.hear(asdict(Progress(30, 40, 3.1, 3.2, 15.0)))
    await bot.world.until(lambda: "step 30 of 40" in message.text)
    assert "3.60 → 3.20" in message.text
    bot.script.free.set()
    await bot.world.until(lambda: "text 1.1" in message.text)
    assert (
        "The voice is ready: it was trained in 60 s. It foresees tweets it never saw better than before: 3.25"
        in message.text
    )
    assert bot.script.asked[0]["prompt"] == "the sea"
    assert [row.state for row in await bot.closed(2)] == ["answered", "answered"]
    assert (await pressed(bot, message, "Again")).text.count("text 2.1") == 1


async def test_five_texts_after_a_training_fit_into_one_message(bot: Bot) -> None:
    await bot.persona("jo", trained=False)
    bot.script.cut = True
    ask = bot.world.slash(bot.channel, bot.place.guild.owner, "imitate", handle="jo", count=5, prompt="x " * 200)
    offer = await bot.world.answer(ask)
    asked = bot.world.press(offer, bot.place.guild.owner, "Train it now")
    await bot.world.until(lambda: asked.original and "its beginning was left off" in asked.original.text)
    assert asked.original is not None
    assert "text 1.5" in asked.original.text
    assert "The voice is ready" in asked.original.text


async def test_only_those_who_may_train_are_offered_to(bot: Bot) -> None:
    await bot.persona("ben", trained=False)
    await bot.persona("kim", trained=False)
    assert "Somebody who may manage this server" in (await offered(bot, bot.ann)).text


async def test_a_training_is_cancelled_by_those_who_may(bot: Bot) -> None:
    message, _ = await begun(bot)
    assert "for those who may use /train here" in (await pressed(bot, message, "Cancel", bot.ann)).text
    bot.world.press(message, bot.place.guild.owner, "Cancel")
    await bot.world.until(lambda: "The training was cancelled." in message.text)
    assert not message.buttons()
    assert len(bot.script.trained) == 1


async def test_whoever_asks_while_it_is_trained_sees_the_same_and_gets_theirs(bot: Bot) -> None:
    message, _ = await begun(bot)
    asked = bot.world.slash(bot.channel, bot.ann, "imitate", handle="kim ben", count=2)
    await bot.world.acknowledged(asked)
    await bot.world.until(lambda: asked.original and "step 20 of 40" in asked.original.text)
    bot.script.free.set()
    await bot.world.until(lambda: "AI imitation" in message.text)
    await bot.world.until(lambda: asked.original and "AI imitation" in asked.original.text)
    assert len(bot.script.trained) == 1
    assert sorted(one["n"] for one in bot.script.asked) == [1, 2]


async def test_whoever_comes_too_late_to_join_in_a_training_begins_none(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bot.persona("ben", trained=False)
    gone = Job(7, 1, "standard", (1.0,), 1, JobState.DONE, None, None)
    monkeypatch.setattr(imitate, "look", lambda db, typed, place: Looked(("ben",), job=gone))  # it has just ended
    answer = await bot.world.answer(bot.world.slash(bot.channel, bot.ann, "imitate", handle="ben"))
    assert "has just ended" in answer.text
    assert await bot.rows() == []
    assert bot.script.trained == []


async def test_a_training_that_a_restart_interrupts_goes_on_to_what_was_asked_for(bot: Bot) -> None:
    message, _ = await begun(bot)
    await bot.stop()
    bot.script.free.set()
    await bot.start()
    await bot.world.until(lambda: "text 1.1" in message.text)
    assert len(bot.script.trained) == 2
    assert len([shown for shown in bot.channel.shown() if "text 1.1" in shown.text]) == 1


async def test_a_training_that_outlasts_the_token_ends_in_a_message_of_its_own(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LAST_MS", 894_000)  # as if most of the quarter of an hour were over
    message, _ = await begun(bot)
    await bot.world.until(lambda: "longer than Discord lets me change this message" in message.text)
    bot.pass_time(16 * 60)
    await bot.stop()
    bot.script.free.set()
    await bot.start()
    said = await bot.world.said(bot.channel, "text 1.1")
    assert said.interaction is None
    assert "The voice is ready" in said.text
    assert [row.state for row in await bot.closed(2)] == ["answered", "answered"]


async def test_a_training_that_fails_says_why(bot: Bot) -> None:
    message, _ = await begun(bot)
    bot.script.errors.append(TrainingFailed(reason="the disk is made of cheese"))
    bot.script.free.set()
    await bot.world.until(lambda: "made of cheese" in message.text)
    assert bot.script.asked == []
