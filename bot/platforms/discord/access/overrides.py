"""Overrides: what the people of a server have settled about who may use which command, and where.

As Discord describes it (Application Commands, Permissions; Updates to Command Permissions, February 2023): what is
settled for one command replaces what is settled for the whole application about the same role, member or channel.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import discord

log = logging.getLogger(__name__)

ROLE, USER, CHANNEL = 1, 2, 3
KEPT_S = 60.0
LONGEST_S = 1.5  # that is waited for Discord: whoever pressed a button must be answered within three

Rules = Mapping[tuple[int, int], bool]
"""(kind, id) -> whether; the id of the server means everybody, that less one all channels."""


@dataclass(frozen=True)
class Who:
    """Somebody in a channel. `permissions` are theirs there; `channels` the channel and, of a thread, its parent."""

    user: int
    roles: Collection[int]
    permissions: discord.Permissions
    channels: Collection[int]
    guild: int


@dataclass(frozen=True)
class Overrides:
    """Of one server: for the application, and for each command by its name; and which permissions each command asks for
    where nothing is settled (None: for none)."""

    application: Rules = field(default_factory=dict)
    commands: Mapping[str, Rules] = field(default_factory=dict)
    defaults: Mapping[str, discord.Permissions | None] = field(default_factory=dict)

    def allow(self, command: str, who: Who) -> bool:
        rules = {**self.application, **self.commands.get(command, {})}
        return allowed(rules, self.defaults.get(command), who)


def allowed(rules: Rules, default: discord.Permissions | None, who: Who) -> bool:
    """Whether they may use a command there. To allow it to everybody means those who have the default permissions."""
    if who.permissions.administrator:
        return True
    if not who.permissions.use_application_commands:
        return False
    here = [rules[CHANNEL, channel] for channel in who.channels if (CHANNEL, channel) in rules]
    if not (here[0] if here else rules.get((CHANNEL, who.guild - 1), True)):
        return False
    if (USER, who.user) in rules:
        return rules[USER, who.user]
    roles = [rules[ROLE, role] for role in who.roles if role != who.guild and (ROLE, role) in rules]
    if roles:
        return any(roles)
    return rules.get((ROLE, who.guild), True) and (default is None or who.permissions >= default)


class Known:
    """The overrides of servers, asked for again after a minute, or when Discord says that they changed."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: dict[int, tuple[float, asyncio.Task[Overrides | None]]] = {}

    def forget(self, guild_id: int) -> None:
        self._kept.pop(guild_id, None)

    async def of(self, client: discord.Client, guild_id: int) -> Overrides | None:
        """None where Discord does not say."""
        kept = self._kept.get(guild_id)
        if kept is None or self._now() - kept[0] > KEPT_S:
            for old in [key for key, (at, _) in self._kept.items() if self._now() - at > KEPT_S]:
                del self._kept[old]
            kept = self._kept[guild_id] = (self._now(), asyncio.create_task(_fetch(client, guild_id)))
        found = await asyncio.shield(kept[1])
        if found is None and self._kept.get(guild_id) is kept:
            del self._kept[guild_id]
        return found


async def _fetch(client: discord.Client, guild_id: int) -> Overrides | None:
    application = client.application_id
    if application is None:
        return None
    try:
        async with asyncio.timeout(LONGEST_S):
            settled, known = await asyncio.gather(
                client.http.get_guild_application_command_permissions(application, guild_id),
                client.http.get_global_commands(application),
            )
    except (TimeoutError, OSError, aiohttp.ClientError, discord.DiscordException, RuntimeError) as error:
        # RuntimeError: aiohttp's, of a client that was closed meanwhile
        log.info("who may use which command in the server %s is not known: %r", guild_id, error)
        return None
    by_id = {int(entry["id"]): _rules(entry["permissions"]) for entry in settled}
    return Overrides(
        by_id.get(application, {}),
        {command["name"]: by_id[int(command["id"])] for command in known if int(command["id"]) in by_id},
        {command["name"]: _permissions(command.get("default_member_permissions")) for command in known},
    )


def _rules(entries: Collection[Any]) -> Rules:
    return {(int(entry["type"]), int(entry["id"])): bool(entry["permission"]) for entry in entries}


def _permissions(written: str | None) -> discord.Permissions | None:
    return None if written is None else discord.Permissions(int(written))
