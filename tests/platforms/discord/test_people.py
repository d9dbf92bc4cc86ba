"""How a persona comes to be on Discord, and how a person is forgotten there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from bot.platforms.discord import privacy
from bot.store import consents, opt_outs, outbox, personas, timelines
from tests.command import tweets_of
from tests.platforms.discord.fronted import Bot
from tests.servers.discord.clients import send_discord_py
from tests.servers.discord.conftest import Place, place
from tests.servers.discord.objects import Interaction, Permission, User
from tests.servers.discord.world import Impossible

__all__ = ["place"]
pytestmark = pytest.mark.discord

HANDLE = "gullwatcher"


@pytest.fixture
async def bot(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    send_discord_py(monkeypatch, place.server)
    bot = Bot(place, tmp_path / "data")
    await bot.start()
    yield bot
    await bot.stop()
    assert not list((tmp_path / "data").glob("uploads/*"))


@pytest.fixture
def kim(place: Place) -> User:
    """Who looks after the server."""
    kim = place.world.add_user("kim")
    place.world.join(place.guild, kim, Permission.MANAGE_GUILD)
    return kim


def tweets_js(count: int = 130) -> bytes:
    records = [
        {"tweet": {"id_str": tweet["id"], "full_text": tweet["text"], "created_at": tweet["created_at"]}}
        for tweet in tweets_of(HANDLE, count, 1)
    ]
    return f"window.YTD.tweets.part0 = {json.dumps(records)}".encode()


def jsonl(count: int = 130) -> bytes:
    return "".join(json.dumps(tweet) + "\n" for tweet in tweets_of(HANDLE, count, 1)).encode()


def archive(path: Path, **files: bytes) -> bytes:
    with ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name.replace("__", "/").replace("_js", ".js"), content)
    return path.read_bytes()


def account(handle: str = HANDLE) -> bytes:
    return f'window.YTD.account.part0 = [{{"account": {{"username": "{handle}"}}}}]'.encode()


def here(bot: Bot) -> str:
    return f"discord:{bot.place.guild.id}"


async def final(bot: Bot, asked: Interaction, says: str) -> str:
    """The answer, once this stands in it."""

    def found() -> str | None:
        text = asked.original.text if asked.original else ""
        return text if says in text else None

    return await bot.world.until(found)


async def learned(bot: Bot, asked: Interaction) -> str:
    """What was told to be held, once the training is done."""
    await bot.world.until(lambda: asked.followups)
    await bot.closed()
    assert await bot.database.run(lambda db: personas.speaking(db, HANDLE, here(bot)))
    return asked.followups[0].text


async def grounds(bot: Bot) -> list[tuple[str, str]]:
    found = await bot.database.run(lambda db: consents.of(db, here(bot), HANDLE))
    return [(consent.grounds, consent.person) for consent in found]


# --- /train -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tweets.js", "message.txt", "tweets.zip", "alone.zip", "tweets.jsonl"])
async def test_a_file_of_somebodys_tweets_with_their_permission_becomes_a_persona(
    bot: Bot, kim: User, tmp_path: Path, kind: str
) -> None:
    data = {
        "tweets.js": tweets_js(),
        "message.txt": tweets_js(),  # what it is called decides nothing
        "tweets.zip": archive(tmp_path / "1.zip", data__tweets_js=tweets_js()),
        "alone.zip": archive(tmp_path / "2.zip", tweets_js=tweets_js()),
        "tweets.jsonl": jsonl(),
    }[kind]
    asked = bot.world.slash(
        *(bot.channel, kim, "train"), file=bot.world.upload(kind, data), handle=f"@{HANDLE}", permission=True
    )
    said = await learned(bot, asked)
    assert "130 tweets, of which 130 will be learned from" in said
    assert asked.after_s is not None
    assert asked.after_s < 3
    assert await grounds(bot) == [("permission", f"discord:{kim.id}")]


async def test_a_bot_that_is_stopped_while_it_reads_a_file_says_so_when_it_is_back(bot: Bot, kim: User) -> None:
    attached = bot.world.upload("tweets.jsonl", jsonl())
    attached.held = asyncio.Event()
    asked = bot.world.slash(bot.channel, kim, "train", file=attached, handle=HANDLE, permission=True)
    await bot.world.answer(asked)
    assert (asked.original and asked.original.text) == "Reading tweets.jsonl …"
    await bot.stop()
    await bot.start()
    assert "please give it again" in await final(bot, asked, "stopped while I read")
    attached.held.set()
    again = bot.world.slash(bot.channel, kim, "train", file=attached, handle=HANDLE, permission=True)
    await bot.world.until(lambda: again.followups)
    assert await final(bot, again, "ready")
    assert asked.original
    assert "ready" not in asked.original.text


async def test_an_archive_that_names_its_owner_needs_no_more(bot: Bot, kim: User, tmp_path: Path) -> None:
    data = archive(tmp_path / "x.zip", data__account_js=account(), data__tweets_js=tweets_js())
    other = bot.world.slash(bot.channel, kim, "train", file=bot.world.upload("x.zip", data), handle="somebody")
    await final(bot, other, "is the archive of @gullwatcher, not of @somebody; give the option handle gullwatcher")
    await learned(bot, bot.world.slash(bot.channel, kim, "train", file=bot.world.upload("x.zip", data)))
    assert await grounds(bot) == [("archive", f"discord:{kim.id}")]


async def test_what_is_missing_is_said_and_nothing_is_held(bot: Bot, kim: User) -> None:
    for given, says in (
        ({"file": bot.world.upload("tweets.js", tweets_js())}, "Set permission to True, too"),
        ({"file": bot.world.upload("tweets.js", tweets_js()), "handle": HANDLE}, "If you have it, use the command"),
        ({"file": bot.world.upload("tweets.jsonl", jsonl())}, "If you have it, use the command again"),
        ({"file": bot.world.upload("cat.png", b"\x89PNG"), "handle": HANDLE}, "cat.png is a PNG image; give"),
        ({"file": bot.world.upload("x.zip", b"no archive"), "handle": HANDLE}, "is no .zip file, whatever"),
        ({"file": bot.world.upload("x.docx", b"words"), "handle": HANDLE}, "give tweets.js of an X archive (zip"),
        ({"file": bot.world.upload("tweets.js", b""), "handle": HANDLE, "permission": True}, "is empty"),
        ({}, "An archive says whose it is"),
        ({"handle": "nobody"}, "Nothing is held of @nobody here."),
        ({"handle": "a b!"}, "Nothing is held of @a here."),
    ):  # fmt: skip
        await final(bot, bot.world.slash(bot.channel, kim, "train", **given), says)
    assert await bot.database.run(lambda db: timelines.handles(db, here(bot))) == []


async def test_too_large_a_file_is_answered_with_how_to_take_the_tweets_out(bot: Bot, kim: User) -> None:
    bot.world.upload_bytes = 2**20
    large = bot.world.upload("twitter-2026.zip", b"PK" * 2**20)
    said = await final(bot, bot.world.slash(bot.channel, kim, "train", file=large), "A file may have 1 MB here")
    assert said.count(". ") == 1
    assert "tweets.js that lies in its folder data" in said


async def test_too_little_text_says_how_much_there_is_and_how_much_is_needed(bot: Bot, kim: User) -> None:
    file = bot.world.upload("few.jsonl", jsonl(20))
    asked = bot.world.slash(bot.channel, kim, "train", file=file, permission=True)
    said = await final(bot, asked, "and a voice needs at least 6,000")
    assert "in 20 usable tweets" in said
    assert asked.followups[0].text.startswith("@gullwatcher: 20 tweets, of which 20 will be learned from")


async def test_those_who_are_held_are_trained_again_and_mixed(bot: Bot, kim: User) -> None:
    await learned(
        bot,
        bot.world.slash(bot.channel, kim, "train", file=bot.world.upload("a.jsonl", jsonl()), permission=True),
    )
    more = jsonl().replace(HANDLE.encode(), b"jo")
    second = bot.world.slash(bot.channel, kim, "train", file=bot.world.upload("b.jsonl", more), permission=True)
    await bot.world.until(lambda: second.followups)
    mixed = bot.world.slash(bot.channel, kim, "train", handle=f"@jo+{HANDLE}")
    await bot.closed(3)
    assert mixed.followups == []
    assert await bot.database.run(lambda db: personas.speaking(db, f"{HANDLE} jo", here(bot)))
    with pytest.raises(Impossible, match="may not use train"):
        bot.world.slash(bot.channel, bot.ann, "train", handle="jo")


async def test_who_does_not_want_to_be_imitated_is_refused(bot: Bot, kim: User) -> None:
    await bot.database.run(lambda db: opt_outs.add(db, opt_outs.handle("GullWatcher"), 1))
    file = bot.world.upload("a.jsonl", jsonl())
    for given in ({"file": file, "permission": True}, {"handle": HANDLE}):
        asked = bot.world.slash(bot.channel, kim, "train", **given)
        await final(bot, asked, f"@{HANDLE} does not want to be imitated")
    assert await bot.database.run(lambda db: timelines.handles(db, here(bot))) == []


# --- /forget ----------------------------------------------------------------------------------------------------------


async def test_what_would_go_is_told_and_goes_once_it_is_confirmed(bot: Bot, kim: User) -> None:
    persona = await bot.persona("jo")
    await bot.persona("jo", "ben")
    elsewhere = await bot.persona("jo", where="discord:99")

    def say(db: object) -> None:
        for state, remote_id in (("posted", "4242"), ("queued", None)):
            post = outbox.add(
                *(db, "discord", bot.channel.id, state, {"persona": persona.name}, f"says {state}", 1, 1, 1),
                persona_id=persona.id, place=here(bot), draft=True,
            )  # fmt: skip
            assignments = "state = ?, remote_id = ?"
            if remote_id:
                outbox.change(db, post.id, ("draft",), assignments, [state, remote_id], 1)

    await bot.database.run(say)
    imitated = bot.world.slash(bot.channel, bot.ann, "imitate", handle="jo")
    shown = await bot.world.answer(imitated)
    await bot.closed()
    refused = bot.world.slash(bot.channel, bot.ann, "forget", handle="jo")
    await final(bot, refused, "Only members with the permission Manage Server")
    asked = bot.world.slash(bot.channel, kim, "forget", handle="@JO")
    said = await final(bot, asked, "Forget @jo?")
    assert "2 personas (ben-jo, jo)" in said
    assert "1 post that waited to be said" in said
    assert "2 messages that were sent stay" in said
    assert asked.original is not None
    kept = bot.world.press(asked.original, kim, "Keep")
    await final(bot, kept, "Nothing of @jo was forgotten")
    again = bot.world.slash(bot.channel, kim, "forget", handle="jo")
    await final(bot, again, "Forget @jo?")
    assert again.original is not None
    pressed = bot.world.press(again.original, kim, "Forget")
    said = await final(bot, pressed, "@jo is forgotten here.")
    link = f"https://discord.com/channels/{bot.place.guild.id}/{bot.channel.id}"
    assert f"{link}/4242" in said
    assert f"{link}/{shown.id}" in said
    known = await bot.database.run(personas.every)
    assert [found.id for found in known] == [elsewhere.id]
    gone = bot.world.slash(bot.channel, kim, "forget", handle="jo")
    await final(bot, gone, "Nothing is held of @jo here.")


async def test_who_gave_their_own_archive_may_forget_it(bot: Bot, kim: User, tmp_path: Path) -> None:
    data = archive(tmp_path / "x.zip", data__account_js=account(), data__tweets_js=tweets_js())
    trainer = bot.world.add_user("gull")
    member = bot.world.join(bot.place.guild, trainer, Permission.MANAGE_GUILD)
    await learned(bot, bot.world.slash(bot.channel, trainer, "train", file=bot.world.upload("x.zip", data)))
    member.roles.clear()
    asked = bot.world.slash(bot.channel, trainer, "forget", handle=HANDLE)
    await final(bot, asked, f"Forget @{HANDLE}?")
    assert asked.original is not None
    pressed = bot.world.press(asked.original, trainer, "Forget")
    await final(bot, pressed, "is forgotten here.")
    assert (await bot.rows(), await grounds(bot)) == ([], [])


# --- /optout and /privacy ---------------------------------------------------------------------------------------------


async def test_whoever_opts_out_has_nothing_to_do_with_the_bot_until_they_take_it_back(bot: Bot) -> None:
    subject = opt_outs.person(f"discord:{bot.ann.id}")
    await final(bot, bot.world.slash(bot.channel, bot.ann, "optout"), "From now on the bot does not answer")
    assert await bot.database.run(lambda db: opt_outs.holds(db, subject))
    await final(bot, bot.world.slash(bot.channel, bot.ann, "optout", undo=True), "The bot answers you again")
    assert not await bot.database.run(lambda db: opt_outs.holds(db, subject))
    await final(bot, bot.world.slash(bot.channel, bot.ann, "optout", undo=True), "You had not opted out.")


async def test_a_wish_to_forget_a_handle_reaches_those_who_may(bot: Bot) -> None:
    await bot.persona("jo")
    await final(bot, bot.world.slash(bot.channel, bot.ann, "optout", handle="@Jo"), "are told that @Jo is to be")
    (notice,) = await bot.database.run(lambda db: outbox.every(db))
    assert (notice.kind, notice.place) == ("notice", here(bot))
    assert "Somebody asks that @jo be forgotten here" in notice.text
    said = await final(
        bot, bot.world.slash(bot.channel, bot.ann, "optout", handle="kim"), "Nothing is held of @kim here"
    )
    assert "Whoever runs this bot can forget a handle everywhere" in said
    assert not await bot.database.run(lambda db: opt_outs.holds(db, opt_outs.handle("jo")))


async def test_everybody_may_read_what_is_kept_of_them(bot: Bot) -> None:
    asked = bot.world.slash(bot.world.direct(bot.ann), bot.ann, "privacy")
    said = await final(bot, asked, "What is kept of whom")
    assert said == privacy.text("")
