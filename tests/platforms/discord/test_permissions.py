"""Who may use a command, and so press its buttons, is what Discord says: by roles, members, channels and defaults."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import discord
import pytest

from bot.platforms.discord.access.cooldowns import MOST, Cooldowns
from bot.platforms.discord.access.overrides import CHANNEL, ROLE, USER, Overrides, Who, allowed
from bot.platforms.discord.access.permissions import may
from tests.platforms.discord.commanded import Commanded, connected
from tests.servers.discord.conftest import Place, place
from tests.servers.discord.objects import Permission
from tests.servers.discord.world import Impossible

__all__ = ["place"]
pytestmark = pytest.mark.discord
GUILD, CHANNEL_ID, ANN, LEAD, BUDDY = 100, 5, 7, 20, 21
EVERYONE, ALL_CHANNELS = (ROLE, GUILD), (CHANNEL, GUILD - 1)
PLAIN = discord.Permissions(use_application_commands=True)
MANAGER = discord.Permissions(use_application_commands=True, manage_guild=True)
MODERATORS = discord.Permissions(manage_guild=True)


def who(*roles: int, permissions: discord.Permissions = PLAIN) -> Who:
    return Who(ANN, roles, permissions, [CHANNEL_ID], GUILD)


@pytest.mark.parametrize(
    ("rules", "default", "asks", "expected"),
    [
        ({}, None, who(), True),
        ({}, MODERATORS, who(), False),
        ({}, MODERATORS, who(permissions=MANAGER), True),
        ({}, None, who(permissions=discord.Permissions.none()), False),
        ({EVERYONE: False, (USER, ANN): False}, None, who(permissions=discord.Permissions.all()), True),
        ({EVERYONE: True}, MODERATORS, who(), False),  # to allow everybody leaves the default permissions
        ({EVERYONE: False}, None, who(), False),
        ({EVERYONE: False, (ROLE, LEAD): True}, None, who(LEAD), True),
        ({(ROLE, LEAD): True}, MODERATORS, who(LEAD), True),
        ({(ROLE, LEAD): False, (ROLE, BUDDY): True}, None, who(LEAD, BUDDY), True),
        ({(ROLE, LEAD): False}, None, who(LEAD), False),
        ({(ROLE, LEAD): True, (USER, ANN): False}, None, who(LEAD), False),
        ({EVERYONE: False, (USER, ANN): True}, MODERATORS, who(), True),
        ({ALL_CHANNELS: False}, None, who(), False),
        ({ALL_CHANNELS: False, (CHANNEL, CHANNEL_ID): True}, None, who(), True),
        ({(CHANNEL, CHANNEL_ID): False, (USER, ANN): True}, None, who(), False),
        ({(CHANNEL, CHANNEL_ID + 1): False}, None, who(), True),
    ],
)
def test_users_come_before_roles_and_those_before_everybody(
    rules: dict[tuple[int, int], bool], default: discord.Permissions | None, asks: Who, expected: bool
) -> None:
    assert allowed(rules, default, asks) is expected


def test_what_is_settled_for_a_command_replaces_only_what_is_settled_for_all_about_the_same() -> None:
    """The example by which Discord explains it."""
    overrides = Overrides(
        {EVERYONE: False, (ROLE, LEAD): True, ALL_CHANNELS: False, (CHANNEL, 1): True},
        {"notecards": {(ROLE, BUDDY): True, (CHANNEL, CHANNEL_ID): True}},
        {},
    )
    for role, command in itertools.product((LEAD, BUDDY), ("notecards", "others")):
        here = Who(ANN, [role], PLAIN, [1], GUILD)
        assert overrides.allow(command, here) is (role == LEAD or command == "notecards")
    assert overrides.allow("notecards", who(LEAD))
    assert not overrides.allow("others", who(LEAD))


@pytest.fixture
async def bot(place: Place, tmp_path: Path) -> AsyncIterator[Commanded]:
    async with connected(place, tmp_path) as bot:
        yield bot


async def test_a_button_follows_what_the_server_has_settled_for_its_command(bot: Commanded) -> None:
    """The loopback Discord decides in its own words who may use a command: ours agree."""
    role = bot.world.join(bot.guild, bot.ann, 1 << 6).roles[0]
    client = bot.front.client()
    assert client is not None
    everyone, every_channel = bot.guild.id, str(int(bot.guild.id) - 1)
    answers: asyncio.Queue[bool] = asyncio.Queue()

    async def on_status(interaction: discord.Interaction) -> None:
        answers.put_nowait(await may(bot.front, interaction, "outbox"))

    client.on_interaction = on_status  # type: ignore[attr-defined]
    settings: list[tuple[str | None, dict[str, tuple[int, bool]]]] = [
        (None, {}),
        ("outbox", {role.id: (1, True)}),
        ("outbox", {bot.ann.id: (2, True), bot.channel.id: (3, False)}),
        ("outbox", {everyone: (1, True)}),
        (None, {every_channel: (3, False)}),
        ("outbox", {bot.channel.id: (3, True), bot.ann.id: (2, True)}),
        (None, {everyone: (1, False)}),
    ]
    seen = set()
    for command, settled in settings:
        bot.world.settle(bot.guild, command, settled)
        try:
            bot.world._find(bot.channel, bot.ann, "outbox", 1)
            expected = True
        except Impossible:
            expected = False
        bot.world._interact(2, {"id": "1", "name": "status", "type": 1}, bot.channel, bot.ann)
        assert await asyncio.wait_for(answers.get(), 5) is expected, settled
        seen.add(expected)
    assert seen == {True, False}


async def test_where_discord_does_not_say_the_default_permissions_count(bot: Commanded) -> None:
    """In a server where the bot is not, but was brought along by a member."""
    guild = bot.world.add_guild("Elsewhere", installed=False)
    (channel,) = guild.channels.values()
    bot.world.join(guild, bot.ann)
    bot.world.join(guild, bot.mod, Permission.MANAGE_GUILD)
    answers: asyncio.Queue[list[bool]] = asyncio.Queue()

    async def on_interaction(interaction: discord.Interaction) -> None:
        answers.put_nowait([await may(bot.front, interaction, name) for name in ("outbox", "persona", "unheard of")])

    client = bot.front.client()
    client.on_interaction = on_interaction  # type: ignore[union-attr]
    for user, expected in ((bot.ann, [False, True, False]), (bot.mod, [True, True, False])):
        bot.world._interact(2, {"id": "1", "name": "status", "type": 1}, channel, user)
        assert await asyncio.wait_for(answers.get(), 5) == expected


async def test_what_was_settled_is_asked_for_once_a_minute(bot: Commanded) -> None:
    client = bot.front.client()
    assert client is not None
    for _ in range(3):
        await bot.front.overrides.of(client, int(bot.guild.id))
    route = "GET /applications/{application_id}/guilds/{guild_id}/commands/permissions"
    assert len(bot.server.asked(route)) == 1


async def test_a_connection_that_breaks_does_not_refuse_or_fail_those_who_come_after(bot: Commanded) -> None:
    client = bot.front.client()
    assert client is not None
    bot.server.fault("GET /applications/{application_id}/guilds/{guild_id}/commands/permissions", "reset", times=9)
    assert await bot.front.overrides.of(client, int(bot.guild.id)) is None
    bot.server.faults.clear()
    assert await bot.front.overrides.of(client, int(bot.guild.id)) is not None


def test_a_cooldown_is_of_one_person_and_one_command_and_forgotten_when_over() -> None:
    now = 0.0
    cooldowns = Cooldowns(lambda: now)
    assert cooldowns.wait_s("ann", "imitate", 2.0) == 0
    now = 0.5
    assert cooldowns.wait_s("ann", "imitate", 2.0) == 1.5
    assert cooldowns.wait_s("ann", "queue", 2.0) == cooldowns.wait_s("ben", "imitate", 2.0) == 0
    now = 2.0
    assert cooldowns.wait_s("ann", "imitate", 2.0) == 0
    now = 9.0
    assert cooldowns.wait_s("ann", "imitate", 0.0) == 0
    assert len(cooldowns) == 1
    for person in range(MOST + 10):
        cooldowns.wait_s(str(person), "imitate", 5.0)
    assert len(cooldowns) == MOST
