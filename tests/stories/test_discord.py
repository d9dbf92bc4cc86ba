"""What people do on Discord, with the bot as a real process: the real discord.py, worker, trainer and database."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.command import HANDLE, Shell, tweets_of
from tests.servers.discord.objects import Channel, Guild, Interaction, Message, Permission, User
from tests.servers.discord.server import LoopbackDiscord
from tests.servers.discord.world import Impossible, World

pytestmark = pytest.mark.discord

LONGEST = 40.0  # seconds: only a hang takes so long
OTHER = "breadkevin"


class Meadow:
    """A server with kim, who looks after it, and ann; and a bot that is connected to it."""

    def __init__(self, server: LoopbackDiscord, shell: Shell) -> None:
        self.server, self.shell = server, shell
        self.world: World = server.world
        self.guild: Guild = self.world.add_guild("Meadow")
        (self.channel,) = self.guild.channels.values()
        self.kim, self.ann = self.world.add_user("kim"), self.world.add_user("ann")
        self.world.join(self.guild, self.kim, Permission.MANAGE_GUILD)
        self.world.join(self.guild, self.ann)

    async def start(self) -> None:
        environ = {
            **self.shell.environ,
            "DISCORD_TOKEN": self.server.token,
            "MOCKINGBIRD__DISCORD__API_BASE": self.server.api_url,
            "MOCKINGBIRD__DISCORD__GATEWAY_URL": self.server.gateway_url,
            "MOCKINGBIRD__DISCORD__COOLDOWN_SECONDS": "0",
            "MOCKINGBIRD__TRAINING__RECIPE": "standard",
        }
        identified = len(self.server.gateway.identifies)
        self.process = Shell(self.shell.folder, environ, self.shell.started).start("run")
        await self.world.until(lambda: len(self.server.gateway.identifies) > identified, LONGEST)
        await self.world.until(lambda: self.world.commands.get(None), LONGEST)

    async def end(self, how: signal.Signals = signal.SIGTERM) -> subprocess.Popen[str]:
        self.process.send_signal(how)
        await asyncio.to_thread(self.process.communicate, timeout=LONGEST)
        return self.process

    # --- What people do -----------------------------------------------------------------------------------------------

    def slash(self, who: User, command: str, where: Channel | None = None, **given: object) -> Interaction:
        return self.world.slash(where or self.channel, who, command, **given)

    async def ask(self, who: User, command: str, where: Channel | None = None, **given: object) -> Message:
        return await self.world.answer(self.slash(who, command, where, **given), LONGEST)

    async def press(self, message: Message, who: User, label: str) -> Interaction:
        return await self.world.acknowledged(self.world.press(message, who, label), LONGEST)

    async def reads(self, asked: Interaction, says: str) -> Message:
        """The answer, or what follows it, once this stands in it."""

        def found() -> Message | None:
            shown = [asked.original, *asked.followups] if asked.original else asked.followups
            return next((message for message in shown if says in message.text), None)

        return await self.world.until(found, LONGEST)

    async def give(self, handle: str) -> Interaction:
        """/train with that person's tweets attached, until it has been learned."""
        file = "".join(json.dumps(tweet) + "\n" for tweet in tweets_of(handle, 130, 1)).encode()
        attached = self.world.upload("tweets.jsonl", file)
        asked = self.slash(self.kim, "train", file=attached, handle=handle, permission=True)
        await self.reads(asked, "is ready")
        return asked


@asynccontextmanager
async def meadow_of(shell: Shell) -> AsyncIterator[Meadow]:
    async with LoopbackDiscord() as server:
        meadow = Meadow(server, shell)
        await meadow.start()
        yield meadow
        ended = await meadow.end()
        assert ended.returncode == 0
    assert server.spec.findings == []


@pytest.fixture
async def meadow(shell: Shell) -> AsyncIterator[Meadow]:
    """A bot that knows nobody."""
    async with meadow_of(shell) as found:
        yield found


@pytest.fixture
async def lively(speaking: Shell) -> AsyncIterator[Meadow]:
    """A bot with a persona that everybody may use."""
    assert speaking("persona", "share", HANDLE).status == 0
    async with meadow_of(speaking) as found:
        yield found


async def test_a_file_becomes_a_persona_that_speaks_here_and_is_forgotten_at_last(meadow: Meadow) -> None:
    unknown = await meadow.ask(meadow.ann, "imitate", handle=HANDLE)
    assert "/train" in unknown.text

    trained = await meadow.give(HANDLE)
    shown = [str(version) for version in trained.original.history]
    assert any("Cancel" in version for version in shown)  # its progress, while it learned
    first = await meadow.ask(meadow.ann, "imitate", handle=f"@{HANDLE}", prompt="the fog", count=2)
    assert f"**{HANDLE}** · AI imitation" in first.text
    assert first.text.count("the fog") == 2
    again = await meadow.press(first, meadow.ann, "Again")
    second = await meadow.world.answer(again, LONGEST)
    assert second.text.count("the fog") == 2
    assert second.text != first.text

    await meadow.give(OTHER)
    await meadow.reads(meadow.slash(meadow.kim, "train", handle=f"{HANDLE}+{OTHER}"), "is ready")
    cyborg = await meadow.ask(meadow.ann, "imitate", handle=f"{OTHER} {HANDLE}")
    assert f"**{OTHER}+{HANDLE}**" in cyborg.text

    # Another server sees nothing of all that.
    elsewhere = meadow.world.add_guild("Elsewhere")
    (hall,) = elsewhere.channels.values()
    meadow.world.join(elsewhere, meadow.ann)
    assert HANDLE not in (await meadow.ask(meadow.ann, "personas", hall)).text
    assert f"**{HANDLE}** · " not in (await meadow.ask(meadow.ann, "imitate", hall, handle=HANDLE)).text
    completed = meadow.world.autocomplete(hall, meadow.ann, "imitate", "handle", handle=HANDLE[:3])
    assert (await meadow.world.acknowledged(completed)).choices == []
    with pytest.raises(Impossible):
        meadow.world.press(first, meadow.world.add_user("stranger"), "Nonsense")

    asked = meadow.slash(meadow.kim, "forget", handle=HANDLE)
    question = await meadow.world.answer(asked)
    label = next(label for label in question.buttons() if label.startswith("Forget"))
    sure = await meadow.press(question, meadow.kim, label)
    await meadow.world.until(lambda: "forgotten" in (sure.original.text if sure.original else "").lower(), LONGEST)
    assert "/train" in (await meadow.ask(meadow.ann, "imitate", handle=HANDLE)).text
    assert HANDLE not in (await meadow.ask(meadow.ann, "personas")).text
    sentence = tweets_of(HANDLE, 130, 1)[5]["text"].encode()
    kept = [path for path in meadow.shell.data.rglob("*") if path.is_file() and sentence in path.read_bytes()]
    assert kept == []


async def test_a_draft_is_approved_by_a_button_and_said_once(lively: Meadow) -> None:
    made = await lively.ask(lively.kim, "schedule add", persona=HANDLE, every="1s", approval="always")
    assert HANDLE in made.text
    draft = await lively.world.until(
        lambda: next((m for m in lively.channel.shown() if "Approve" in m.buttons()), None), LONGEST
    )
    refused = await lively.press(draft, lively.ann, "Approve")  # who may not
    await lively.reads(refused, "for those who may use /outbox")
    assert "Approve" in draft.buttons()
    await lively.press(draft, lively.kim, "Approve")
    said = await lively.world.until(
        lambda: next((m for m in lively.channel.shown() if m is not draft and "AI imitation" in m.text
                      and not m.buttons() and m.interaction is None), None), LONGEST
    )  # fmt: skip
    await lively.world.until(lambda: "Approve" not in draft.buttons(), LONGEST)
    assert f"Approved by <@{lively.kim.id}>" in draft.text
    await lively.ask(lively.kim, "schedule remove", schedule=1)
    texts = [message.text for message in lively.channel.shown()]
    assert texts.count(said.text) == 1


async def test_a_mention_and_an_answer_to_what_it_said_are_answered_once_each(lively: Meadow) -> None:
    asked = lively.world.say(lively.channel, lively.ann, "@bot how is the fog today?")
    answer = await lively.world.until(
        lambda: next((m for m in lively.channel.shown() if m.reply_to is asked), None), LONGEST
    )
    assert "AI imitation" in answer.text
    further = lively.world.say(lively.channel, lively.ann, "@bot is it, my keeper?", reply_to=answer)
    await lively.world.until(lambda: any(m.reply_to is further for m in lively.channel.shown()), LONGEST)
    lively.world.say(lively.channel, lively.kim, "what a lovely lamp")  # to nobody
    await asyncio.sleep(0.5)
    assert sum(m.author is lively.world.bot for m in lively.channel.shown()) == 2


async def test_a_bot_that_was_killed_between_its_acknowledgement_and_its_answer_answers_after_the_restart(
    lively: Meadow,
) -> None:
    asked = lively.slash(lively.ann, "imitate", handle=HANDLE, prompt="the kettle")
    await lively.world.acknowledged(asked)
    await lively.end(signal.SIGKILL)
    assert not asked.answered
    await lively.start()
    answer = await lively.world.answer(asked, LONGEST)
    assert "the kettle" in answer.text
    assert len([m for m in lively.channel.shown() if "the kettle" in m.text]) == 1
