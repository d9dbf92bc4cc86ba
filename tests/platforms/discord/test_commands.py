"""What each command does, what it says of the commonest mistake, and that another server sees nothing of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.config import Config, DiscordSettings
from bot.domain import SHELL, Asker, Persona, Schedule
from bot.errors import BadMute, OperatorOnly, UnknownAccount, UnknownPersona
from bot.store import mutes, outbox, personas, phrases, places
from bot.store import schedules as stored
from bot.store.database import Db
from bot.web.operation import Operation
from bot.web.operations import accounts, feed, imitations, listening, people, quiet, schedules, settings
from bot.web.operations import personas as sharing
from bot.web.operations import places as settled_places
from tests.platforms.discord.commanded import Commanded, connected, hold
from tests.servers.discord.conftest import Place, place
from tests.servers.discord.objects import Permission

__all__ = ["place"]
pytestmark = pytest.mark.discord


@pytest.fixture
async def bot(place: Place, tmp_path: Path) -> AsyncIterator[Commanded]:
    async with connected(place, tmp_path) as bot:
        await bot.app.database.run(lambda db: hold(db, bot.place, "jo", given_by=f"discord:{bot.ann.id}"))
        yield bot


async def elsewhere(bot: Commanded) -> Commanded:
    """The same bot in another server, of the same people."""
    guild = bot.world.add_guild("Elsewhere")
    bot.world.join(guild, bot.ann)
    bot.world.join(guild, bot.mod, Permission.MANAGE_GUILD)
    (channel,) = guild.channels.values()
    return Commanded(bot.server, bot.world, guild, channel, bot.ann, bot.app, bot.front, bot.mod)


# --- Personas ---------------------------------------------------------------------------------------------------------


async def test_personas_are_listed_with_what_is_held_of_them(bot: Commanded) -> None:
    await bot.app.database.run(lambda db: hold(db, bot.place, "kim", trained=False))
    listed = (await bot.use(bot.ann, "personas")).text
    assert "**jo** · 3 tweets" in listed
    assert "**kim** · 3 tweets, not trained yet" in listed
    assert "Nobody yet" in (await (await elsewhere(bot)).use(bot.ann, "personas")).text


async def test_a_persona_shows_what_it_was_made_of_and_who_gave_it(bot: Commanded) -> None:
    shown = (await bot.use(bot.ann, "persona", name="@JO")).text
    assert "**@jo** (Jo): 3 tweets held, 3 of use" in shown
    assert "better than before: 2.50 instead of 3.50 (less is better)" in shown
    assert f"from their own archive, given by <@{bot.ann.id}>" in shown


async def test_what_a_persona_said_lately_is_its_sample_and_drawn(bot: Commanded) -> None:
    def say(db: Db) -> None:
        for number, text in enumerate(("the *lamp* hums", "only a draft")):
            cause, key = {"persona": f"{bot.place}/jo"}, f"said:{number}"
            made = outbox.add(
                db,
                "discord",
                bot.channel.id,
                key,
                cause,
                text,
                1,
                9,
                1,
                persona_id=1,
                place=bot.place,
                draft=number == 1,
            )
            if number == 0:
                db.execute("UPDATE outbox SET state = 'posted', remote_id = '1' WHERE id = ?", [made.id])

    await bot.app.database.run(say)
    shown = await bot.use(bot.ann, "persona", name="jo")
    assert "> the \\*lamp\\* hums" in shown.text
    assert "only a draft" not in shown.text
    (picture,) = shown.attachments
    assert picture.data.startswith(b"\x89PNG")
    assert any(part["type"] == 12 for part in shown.components)


async def test_an_unknown_persona_is_answered_with_the_nearest_and_with_commands_of_discord(bot: Commanded) -> None:
    said = (await bot.use(bot.ann, "persona", name="joe")).text
    assert said == ("There is no persona 'joe' here (did you mean \"jo\"?): /personas shows all, /train makes one.")
    other = await elsewhere(bot)
    assert (await other.use(bot.ann, "persona", name="jo")).text.startswith("There is no persona 'jo' here: ")
    assert await bot.completed(bot.ann, "persona", "name", name="j") == ["jo"]
    assert await other.completed(bot.ann, "persona", "name", name="j") == []


async def test_what_is_shared_is_used_everywhere_but_muted_nowhere(bot: Commanded) -> None:
    def share(db: Db) -> None:
        hold(db, SHELL, "sam")
        persona = personas.find(db, "sam")
        assert persona is not None
        personas.share(db, persona.id, True)

    await bot.app.database.run(share)
    assert "shared by whoever runs the bot" in (await bot.use(bot.ann, "personas")).text
    said = (await bot.use(bot.mod, "mute", persona="sam", time="1h")).text
    assert said == "sam is shared by many places: mute everything here, or a channel."


async def test_what_is_shared_no_more_speaks_only_at_home_and_who_gave_it_was_never_told(bot: Commanded) -> None:
    other = await elsewhere(bot)
    name = f"{bot.place}/jo"
    asked = imitations.Imitate(persona=name, n=1)

    async def share(shared: bool) -> None:
        await sharing.share.do(bot.app, sharing.Share(name=name, shared=shared), Asker(), lambda told: None)

    await share(True)
    shown = (await other.use(bot.ann, "persona", name="jo")).text
    assert "from their own archive" in shown
    assert bot.ann.id not in shown
    planned = schedules.Add(persona="jo", every="1h", platform="discord", account=other.channel.id)
    made = await schedules.add.do(bot.app, planned, Asker("discord:1", other.place), lambda told: None)
    await share(False)
    with pytest.raises(UnknownPersona):
        await imitations.imitate.do(bot.app, asked, Asker("discord:1", other.place), lambda told: None)

    def standing(db: Db) -> tuple[Persona | None, Schedule | None]:
        return personas.find(db, name), stored.get(db, made["schedule"])

    persona, schedule = await bot.app.database.run(standing)
    assert persona is not None
    assert schedule is not None
    with pytest.raises(UnknownPersona):
        await bot.app.speaker.on_schedule(persona, schedule, 1)


# --- Schedules --------------------------------------------------------------------------------------------------------


async def test_a_schedule_is_previewed_made_shown_paused_resumed_and_removed(bot: Commanded) -> None:
    planned = {"persona": "jo", "cron": "0 9 * * mon-fri", "zone": "Europe/Berlin", "approval": "first-5"}
    assert "Nothing was stored" in (await bot.use(bot.mod, "schedule preview", **planned)).text
    assert "None yet" in (await bot.use(bot.mod, "schedule list")).text
    alone = await bot.use(bot.mod, "schedule add", persona="jo", at="09:00")
    assert alone.text == "at goes with every, such as every:1d."
    made = (await bot.use(bot.mod, "schedule add", **planned)).text
    assert made.startswith("**Schedule 1**: jo, cron 0 9")
    assert f"<#{bot.channel.id}>" in made
    assert "approval first-5" in (await bot.use(bot.mod, "schedule list")).text
    assert "Europe/Berlin" in (await bot.use(bot.mod, "schedule show", schedule=1)).text
    assert (await bot.use(bot.mod, "schedule pause", schedule=1)).text == "Schedule 1 is paused."
    assert "It is paused." in (await bot.use(bot.mod, "schedule show", schedule=1)).text
    assert (await bot.use(bot.mod, "schedule resume", schedule=1)).text == "Schedule 1 is resumed."
    assert await bot.completed(bot.mod, "schedule remove", "schedule", schedule=1) == [1]

    other = await elsewhere(bot)
    gone = "There is no schedule 1 here: /schedule list shows them all."
    assert (await other.use(bot.mod, "schedule remove", schedule=1)).text == gone
    assert "None yet" in (await other.use(bot.mod, "schedule list")).text
    assert (await bot.use(bot.mod, "schedule remove", schedule=1)).text == "Schedule 1 is removed."
    assert (await bot.use(bot.mod, "schedule show", schedule=1)).text == gone


async def test_the_first_schedule_settles_where_notices_go(bot: Commanded) -> None:
    aside = bot.world.add_channel(bot.guild, "aside")
    await bot.use(bot.mod, "schedule add", persona="jo", every="1h", channel=aside)
    assert await bot.app.database.run(lambda db: places.notices_of(db, bot.place)) == ("discord", bot.channel.id)
    assert f"<#{aside.id}>" in (await bot.use(bot.mod, "settings", notices=aside, webhooks=True)).text
    await bot.use(bot.mod, "schedule add", persona="jo", every="2h")
    settled = await bot.app.database.run(lambda db: places.get(db, bot.place))
    assert settled == places.Settled(("discord", aside.id), True)
    assert "cannot speak" not in (await bot.use(bot.mod, "settings")).text
    bot.world.forbid(aside, Permission.SEND_MESSAGES)
    assert "The bot cannot speak there: it needs Send Messages." in (await bot.use(bot.mod, "settings")).text
    assert "nowhere yet" in (await (await elsewhere(bot)).use(bot.mod, "settings")).text


async def test_a_schedule_that_cannot_be_says_why(bot: Commanded) -> None:
    async def said(**given: object) -> str:
        return (await bot.use(bot.mod, "schedule add", persona="jo", **given)).text

    assert (await said()).startswith("Give either an interval, such as 1h, or a cron rule")
    assert (await said(every="soon")).startswith('"soon" is not an interval up to a year')
    assert "zone" in await said(every="1h", zone="Europe/Atlantis")
    await bot.app.database.run(lambda db: hold(db, bot.place, "kim", trained=False))
    said_of_kim = (await bot.use(bot.mod, "schedule add", persona="kim", every="1h")).text
    assert said_of_kim == "kim cannot speak yet: /train makes it learn."


async def test_where_the_bot_cannot_speak_no_schedule_is_made(bot: Commanded) -> None:
    mute_channel = bot.world.add_channel(bot.guild, "mute")
    bot.world.forbid(mute_channel, Permission.SEND_MESSAGES, Permission.READ_MESSAGE_HISTORY)
    said = (await bot.use(bot.mod, "schedule add", persona="jo", every="1h", channel=mute_channel)).text
    assert said == "The bot cannot speak in #mute: it needs Send Messages, Read Message History there."
    bot.world.forbid(bot.channel, Permission.SEND_MESSAGES)
    here = (await bot.use(bot.mod, "schedule add", persona="jo", every="1h")).text
    assert here == "The bot cannot speak in #general: it needs Send Messages there."
    theirs = bot.world.add_channel(bot.guild, "theirs")
    bot.world.forbid(theirs, Permission.SEND_MESSAGES, who=bot.mod)
    said = (await bot.use(bot.mod, "schedule add", persona="jo", every="1h", channel=theirs)).text
    assert said == "You may not write in #theirs yourself, so you cannot make the bot do it."
    assert "None yet" in (await bot.use(bot.mod, "schedule list")).text


async def test_what_is_typed_for_a_schedule_is_completed(bot: Commanded) -> None:
    assert await bot.completed(bot.mod, "schedule add", "persona", persona="") == ["jo"]
    assert (await bot.completed(bot.mod, "schedule add", "zone", zone="berl"))[0] == "Europe/Berlin"
    assert await bot.completed(bot.mod, "schedule preview", "every", every="3") == ["30m", "3h"]
    assert "22:00-07:00" in await bot.completed(bot.mod, "schedule add", "quiet", quiet="22")


# --- The queue --------------------------------------------------------------------------------------------------------


async def test_everybody_sees_and_takes_back_their_own(bot: Commanded) -> None:
    ben = bot.world.add_user("ben")
    bot.world.join(bot.guild, ben)
    desk, now = bot.app.desk, 1_000
    for user in (bot.ann, ben):
        await desk.ask("imitate", f"discord:{user.id}", bot.place, {"persona": "jo"}, now)
    mine = await bot.use(bot.ann, "queue")
    assert "**1 · imitation of jo** · you are next" in mine.text
    assert "**2 ·" not in mine.text
    unknown = "There is no request 2: it never was, or it ended more than a day ago."
    assert (await bot.use(bot.ann, "queue", cancel=2)).text == unknown
    taken = bot.world.select(mine, bot.ann, "1")
    assert await bot.told(taken) == "1 · imitation of jo is cancelled."
    assert "Nothing of yours waits." in (await bot.use(bot.ann, "queue")).text
    assert "Nothing of yours waits." in (await (await elsewhere(bot)).use(bot.mod, "queue")).text
    assert "**2 · imitation of jo**" in (await bot.use(bot.mod, "queue")).text  # who manages the server sees all of it
    assert (await bot.use(bot.mod, "queue", cancel=2)).text == "2 · imitation of jo is cancelled."


# --- Quiet ------------------------------------------------------------------------------------------------------------


async def test_a_persona_a_channel_or_everything_is_muted_here_and_only_here(bot: Commanded) -> None:
    other = await elsewhere(bot)
    assert (await bot.use(bot.mod, "mute", time="2h", persona="jo")).text.startswith("jo is muted until <t:")
    assert (await bot.use(bot.mod, "mute", time="2h", channel=bot.channel)).text.startswith(f"<#{bot.channel.id}> is")
    assert (await bot.use(bot.mod, "mute", time="2h")).text.startswith("Everything here is muted until")
    listed = (await bot.use(bot.mod, "mute")).text
    assert all(f"**{what}" in listed for what in ("jo", "the channel", "everything here"))
    assert "Nothing is muted here." in (await other.use(bot.mod, "mute")).text
    assert (await other.use(bot.mod, "unmute")).text == "That is not muted here."
    now = 1_000
    muted = await bot.app.database.run(lambda db: mutes.until(db, "x", "y", None, now, other.place))
    assert muted is None
    assert (await bot.use(bot.mod, "unmute", persona="jo")).text == "jo is muted no more."
    assert (await bot.use(bot.mod, "unmute", channel=bot.channel)).text == f"<#{bot.channel.id}> is muted no more."
    assert (await bot.use(bot.mod, "unmute")).text == "Everything here is muted no more."
    assert (await bot.use(bot.mod, "mute", time="soon")).text.startswith('"soon" is not an interval')


async def test_nobody_mutes_what_is_another_places(bot: Commanded) -> None:
    other = await elsewhere(bot)
    await bot.use(bot.mod, "schedule add", persona="jo", every="1h")
    await bot.app.database.run(lambda db: mutes.set_until(db, "persona:" + bot.place + "/jo", 2**53, 1))
    assert (await bot.use(bot.mod, "unmute", persona="jo")).text == "That is not muted here."  # that is the operator's
    assert (await other.use(bot.mod, "mute", time="1h", persona="jo")).text.startswith("There is no persona 'jo' here")
    said = (await other.use(bot.mod, "mute", time="1h", persona=f"{bot.place}/jo")).text
    assert said.startswith("There is no persona")


async def test_phrases_are_banned_here_alone(bot: Commanded) -> None:
    assert (await bot.use(bot.mod, "ban-phrase add", phrase="Seven *Loaves*")).text.startswith("“seven ")
    assert "seven" in (await bot.use(bot.mod, "ban-phrase list")).text
    other = await elsewhere(bot)
    assert "Nothing, besides" in (await other.use(bot.mod, "ban-phrase list")).text
    assert (await other.use(bot.mod, "ban-phrase remove", phrase="seven")).text == (
        "'seven' is not banned here: /ban-phrase list shows what is."
    )
    held = await bot.app.database.run(lambda db: phrases.of(db, bot.place))
    assert await bot.completed(bot.mod, "ban-phrase remove", "phrase", phrase="sev") == held
    assert (await bot.use(bot.mod, "ban-phrase remove", phrase=held[0])).text.endswith("is allowed again.")
    assert (await bot.use(bot.mod, "ban-phrase add", phrase="the")).text.endswith("ban a longer phrase.")


# --- Help, status, direct messages ------------------------------------------------------------------------------------


async def test_help_tells_each_what_is_there_for_them(bot: Commanded) -> None:
    assert "/schedule" not in (await bot.use(bot.ann, "help")).text
    assert "For those who manage this server" in (await bot.use(bot.mod, "help")).text
    assert "between us" in (await bot.use(bot.ann, "help", bot.world.direct(bot.ann))).text


async def test_the_status_says_nothing_of_other_places(bot: Commanded) -> None:
    await bot.app.desk.ask("imitate", f"discord:{bot.ann.id}", bot.place, {"persona": "jo"}, 1_000)
    status = (await bot.use(bot.ann, "status")).text
    assert "Connected since <t:" in status
    assert "Personas here: 1\nWaiting or under way here: 1\n" in status
    assert (
        "Personas here: 0\nWaiting or under way here: 0\n" in (await (await elsewhere(bot)).use(bot.ann, "status")).text
    )


async def test_in_direct_messages_everybody_has_a_place_of_their_own(bot: Commanded) -> None:
    chat = bot.world.direct(bot.ann)
    assert "Nobody yet" in (await bot.use(bot.ann, "personas", chat)).text
    await bot.app.database.run(lambda db: hold(db, f"discord:{chat.id}", "mia"))
    made = (await bot.use(bot.ann, "schedule add", chat, persona="mia", every="1h")).text
    assert f"<#{chat.id}>" in made
    assert "None yet" in (await bot.use(bot.mod, "schedule list")).text


# --- Too fast, broken, and what the operations refuse -----------------------------------------------------------------


async def test_whoever_is_too_fast_is_told_how_long_to_wait(place: Place, tmp_path: Path) -> None:
    config = Config(discord=DiscordSettings(cooldown_seconds=100))
    async with connected(place, tmp_path, config) as bot:
        assert "Nobody yet" in (await bot.use(bot.ann, "personas")).text
        said = (await bot.use(bot.ann, "personas")).text
        assert said == "Not so fast: /personas is there for you again in 100 s."
        assert "Nobody yet" in (await bot.use(bot.mod, "personas")).text
        assert "Status" in (await bot.use(bot.ann, "status")).text


async def test_a_bug_is_told_by_its_reference(
    bot: Commanded, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await bot.app.database.run(lambda db: db.execute("DROP TABLE places"))
    said = (await bot.use(bot.mod, "settings")).text
    reference = said.removeprefix("Something went wrong (reference ").removesuffix(").")
    assert len(reference) == 8
    assert f"settings failed, reference {reference}" in caplog.text


async def test_a_channel_of_another_place_is_settled_nowhere(bot: Commanded) -> None:
    await bot.use(bot.mod, "schedule add", persona="jo", every="1h")
    other = await elsewhere(bot)
    by = Asker(f"discord:{bot.mod.id}", other.place)
    foreign = settled_places.Settle(notices=bot.channel.id)
    with pytest.raises(UnknownAccount):
        await settled_places.settle.do(bot.app, foreign, by, lambda told: None)
    for scope in (f"discord/{bot.channel.id}", "local/feed", f"place:{bot.place}"):
        with pytest.raises(BadMute):
            await quiet.mute.do(bot.app, quiet.Mute(scope=scope, time="1h"), by, lambda told: None)


async def test_a_channel_where_whoever_runs_the_bot_lets_somebody_answer_is_still_of_its_place(bot: Commanded) -> None:
    settled = listening.Settle(platform="discord", account=bot.channel.id, persona=f"{bot.place}/jo")
    await listening.settle.do(bot.app, settled, Asker(), lambda told: None)
    assert "is muted until" in (await bot.use(bot.mod, "mute", time="1h", channel=bot.channel)).text


@pytest.mark.parametrize("only", [accounts.every, feed.newest, settings.reload, people.opted_out])
async def test_what_is_of_no_place_or_of_all_is_for_whoever_runs_the_bot(bot: Commanded, only: Operation[Any]) -> None:
    by = Asker(f"discord:{bot.mod.id}", bot.place)
    with pytest.raises(OperatorOnly):
        await only.do(bot.app, only.asked(), by, lambda told: None)
