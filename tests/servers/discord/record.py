"""The authoritative record: who and what there is, what was sent, and what time it is."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tests.servers.discord.objects import (
    EVERYTHING,
    JSON,
    USUAL,
    ApiError,
    Attachment,
    Channel,
    Guild,
    Interaction,
    Member,
    Message,
    Permission,
    Role,
    User,
    Webhook,
)

T = TypeVar("T")

EPOCH_MS = 1_420_070_400_000
ACKNOWLEDGE_S, TOKEN_S = 3.0, 15 * 60.0
UPLOAD_BYTES, REQUEST_BYTES = 10 * 2**20, 25 * 2**20
GUILDS, GUILD_MEMBERS, GUILD_PRESENCES, GUILD_MESSAGES, DIRECT_MESSAGES = 1 << 0, 1 << 1, 1 << 8, 1 << 9, 1 << 12
MESSAGE_CONTENT = 1 << 15
PRIVILEGED = GUILD_MEMBERS | GUILD_PRESENCES | MESSAGE_CONTENT


@dataclass(frozen=True)
class Request:
    """One that arrived over HTTP: `route` is as in the specification, `status` 0 if it was left unanswered."""

    at: float
    route: str
    path: str
    authorization: str | None
    body: Any
    status: int


@dataclass(frozen=True)
class Event:
    """One for the gateway. `blank` is the same for a bot without message content; `intent` what it must have asked for
    (0: nothing)."""

    name: str
    data: JSON
    intent: int = 0
    blank: JSON | None = None


@dataclass(eq=False)
class Record:
    """Times are in seconds since 1970; `pass_time` moves them on. The bot has the application's id."""

    token: str
    bot: User
    base: str  # where attachments are fetched
    message_content: bool = False  # whether the intent is granted to the application
    nonce_s: float = 180.0
    upload_bytes: int = UPLOAD_BYTES
    publish: Callable[[Event], None] = lambda event: None
    guilds: dict[str, Guild] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    attachments: dict[str, Attachment] = field(default_factory=dict)
    webhooks: dict[str, Webhook] = field(default_factory=dict)
    commands: dict[str | None, list[JSON]] = field(default_factory=dict)  # by guild, None: global
    # what a guild has settled, by the id of a command or of the application: by the id of whom, (type, whether)
    overrides: dict[str, dict[str, dict[str, tuple[int, bool]]]] = field(default_factory=dict)
    interactions: dict[str, Interaction] = field(default_factory=dict)
    tokens: dict[str, Interaction] = field(default_factory=dict)  # the same by token
    requests: list[Request] = field(default_factory=list)
    _skew_s: float = 0.0
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _waiting: set[asyncio.Future[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.users[self.bot.id] = self.bot

    # --- Time and waiting ---------------------------------------------------------------------------------------------

    def now(self) -> float:
        return time.time() + self._skew_s

    def pass_time(self, seconds: float) -> None:
        """So that tokens expire, and nonces are forgotten, without waiting."""
        self._skew_s += seconds

    def new_id(self) -> str:
        return str(int(self.now() * 1000) - EPOCH_MS << 22 | next(self._numbers) & 0x3FFFFF)

    def changed(self) -> None:
        """Wakes whoever waits `until` something."""
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def until(self, found: Callable[[], T | None], timeout_s: float = 10.0) -> T:
        """What `found` gives, as soon as it is anything; it is asked whenever something has changed."""
        async with asyncio.timeout(timeout_s):
            while True:
                if result := found():
                    return result
                waiter = asyncio.get_running_loop().create_future()
                self._waiting.add(waiter)
                await waiter

    # --- Reading ------------------------------------------------------------------------------------------------------

    def channel_of(self, channel_id: str) -> Channel:
        if channel := self.channels.get(channel_id):
            return channel
        raise ApiError(404, 10003, "Unknown Channel")

    def guild_of(self, guild_id: str) -> Guild:
        guild = self.guilds.get(guild_id)
        if guild is None:
            raise ApiError(404, 10004, "Unknown Guild")
        if not guild.installed:
            raise ApiError(403, 50001, "Missing Access")
        return guild

    def message_of(self, channel: Channel, message_id: str) -> Message:
        message = channel.messages.get(message_id)
        if message is None or message.deleted:
            raise ApiError(404, 10008, "Unknown Message")
        return message

    def permissions(self, user: User, channel: Channel) -> int:
        """What someone may do there; 0 for who is not in the guild."""
        guild = channel.guild
        if guild is None:
            return int(USUAL)
        member = guild.members.get(user.id)
        if member is None:
            return 0
        roles = [guild.everyone, *member.roles]
        allowed = 0
        for role in roles:
            allowed |= role.permissions
        if user is guild.owner or allowed & Permission.ADMINISTRATOR:
            return EVERYTHING
        for layer in ([guild.id], [role.id for role in member.roles], [user.id]):
            denied = granted = 0
            for who in layer:
                allow, deny = (channel.parent or channel).overwrites.get(who, (0, 0))
                denied, granted = denied | deny, granted | allow
            allowed = allowed & ~denied | granted
        return allowed if allowed & Permission.VIEW_CHANNEL else 0

    def require(self, channel: Channel, *needed: Permission) -> None:
        """What the bot needs there."""
        if channel.guild is None:
            return
        allowed = self.permissions(self.bot, channel)
        if not channel.guild.installed or not allowed & Permission.VIEW_CHANNEL:
            raise ApiError(403, 50001, "Missing Access")
        if any(not allowed & permission for permission in needed):
            raise ApiError(403, 50013, "Missing Permissions")

    def sees_text(self, message: Message) -> bool:
        """Whether a bot without message content is shown what this one says."""
        own = message.author is self.bot or (message.webhook and message.webhook.application_id == self.bot.id)
        return message.channel.guild is None or bool(own) or self.bot in message.mentions

    def shown(self, message: Message, content: bool) -> JSON:
        """A message with the one that it answers, as the bot gets it with or without message content."""
        payload = self._alone(message, content)
        if message.reply_to is not None:
            payload["referenced_message"] = None if message.reply_to.deleted else self._alone(message.reply_to, content)
        return payload

    def _alone(self, message: Message, content: bool) -> JSON:
        payload = message.payload()
        if not content and not self.sees_text(message):
            payload |= {"content": "", "embeds": [], "attachments": [], "components": []}
        return payload

    # --- Writing ------------------------------------------------------------------------------------------------------

    def tell(self, name: str, message: Message) -> None:
        """An event about a message, for a bot that may see it."""
        channel = message.channel
        if not self.permissions(self.bot, channel) & Permission.VIEW_CHANNEL:
            return
        guild = channel.guild
        intent = GUILD_MESSAGES if guild else DIRECT_MESSAGES
        more: JSON = {"guild_id": guild.id} if guild else {}
        if name == "MESSAGE_DELETE":
            self.publish(Event(name, {"id": message.id, "channel_id": channel.id} | more, intent))
            return
        if guild is not None and (member := guild.members.get(message.author.id)):
            more["member"] = member.payload(user=False)
        self.publish(Event(name, self.shown(message, True) | more, intent, self.shown(message, False) | more))

    def add_guild(self, name: str, permissions: int = USUAL, installed: bool = True) -> Guild:
        """A guild with a channel #general, whose owner is a person of its own; `permissions` are everybody's, and so
        the bot's."""
        owner = self.add_user(f"{name}_owner")
        guild = Guild(self.new_id(), name, owner, self.now(), installed)
        guild.roles[guild.id] = Role(guild.id, "@everyone", permissions)
        self.guilds[guild.id] = guild
        self.join(guild, owner)
        if installed:
            guild.members[self.bot.id] = Member(self.bot, self.now())
        self.add_channel(guild, "general")
        if installed:
            self.publish(Event("GUILD_CREATE", guild.event([guild.members[self.bot.id]]), GUILDS))
        return guild

    def remove_bot(self, guild: Guild) -> None:
        guild.installed = False
        guild.members.pop(self.bot.id)
        self.publish(Event("GUILD_DELETE", {"id": guild.id}, GUILDS))

    def add_channel(self, guild: Guild, name: str) -> Channel:
        channel = Channel(self.new_id(), name, guild)
        first = not guild.channels
        guild.channels[channel.id] = self.channels[channel.id] = channel
        if guild.installed and not first:
            self.publish(Event("CHANNEL_CREATE", channel.payload(), GUILDS))
        return channel

    def add_thread(self, parent: Channel, name: str) -> Channel:
        """A public one, whose permissions are its channel's."""
        thread = Channel(self.new_id(), name, parent.guild, parent=parent)
        self.channels[thread.id] = thread
        self.publish(Event("THREAD_CREATE", thread.payload(), GUILDS))
        return thread

    def add_user(self, name: str, bot: bool = False) -> User:
        user = User(self.new_id(), name, bot)
        self.users[user.id] = user
        return user

    def join(self, guild: Guild, user: User, permissions: int = 0) -> Member:
        """Makes someone a member; `permissions` beyond everybody's come by a role of their own."""
        roles = []
        if permissions:
            role = Role(self.new_id(), f"{user.name}'s", permissions, position=len(guild.roles))
            guild.roles[role.id] = role
            roles.append(role)
            if guild.installed:
                self.publish(Event("GUILD_ROLE_CREATE", {"guild_id": guild.id, "role": role.payload()}, GUILDS))
        guild.members[user.id] = Member(user, self.now(), roles)
        return guild.members[user.id]

    def forbid(self, channel: Channel, *permissions: Permission, who: User | None = None) -> None:
        """Takes permissions in one channel, from the bot if nobody is named."""
        who = who or self.bot
        allow, deny = channel.overwrites.get(who.id, (0, 0))
        for permission in permissions:
            allow, deny = allow & ~permission, deny | permission
        channel.overwrites[who.id] = (int(allow), int(deny))
        self.publish(Event("CHANNEL_UPDATE", channel.payload(), GUILDS))

    def settle(self, guild: Guild, command: str | None, settled: dict[str, tuple[int, bool]]) -> None:
        """What somebody settles under Integrations for a command, or for all: by the id of a role (type 1), a user (2)
        or a channel (3), whether. The guild's id means everyone, that less one all channels."""
        known = {each["name"]: each["id"] for each in self.commands.get(None, [])}
        target = self.bot.id if command is None else known[command]
        self.overrides.setdefault(guild.id, {})[target] = settled
        self.publish(Event("APPLICATION_COMMAND_PERMISSIONS_UPDATE", self.overriding(guild, target)))

    def overriding(self, guild: Guild, target: str) -> JSON:
        """As Discord writes down what a guild has settled for a command."""
        entries = [
            {"id": who, "type": kind, "permission": whether}
            for who, (kind, whether) in self.overrides[guild.id][target].items()
        ]
        return {"id": target, "application_id": self.bot.id, "guild_id": guild.id, "permissions": entries}

    def uses(self, user: User, channel: Channel, command: JSON) -> bool:
        """Whether someone may use a command there."""
        guild, held = channel.guild, self.permissions(user, channel)
        if guild is None or held & Permission.ADMINISTRATOR:
            return True
        of_guild = self.overrides.get(guild.id, {})
        settled = {who: whether for target in (self.bot.id, command["id"])
                   for who, (_, whether) in of_guild.get(target, {}).items()}  # fmt: skip
        if not settled.get(channel.id, settled.get(str(int(guild.id) - 1), True)):
            return False
        needed = int(command["default_member_permissions"] or 0)
        roles = {settled[role.id] for role in guild.members[user.id].roles if role.id in settled}
        everyone = settled.get(guild.id, True) and held & needed == needed
        anybody = True in roles if roles else everyone
        return bool(held & Permission.USE_APPLICATION_COMMANDS) and settled.get(user.id, anybody)

    def direct(self, user: User) -> Channel:
        """The chat of a person with the bot."""
        for channel in self.channels.values():
            if channel.recipient is user:
                return channel
        channel = Channel(self.new_id(), "", recipient=user)
        self.channels[channel.id] = channel
        return channel

    def upload(self, filename: str, data: bytes, kind: str = "application/octet-stream") -> Attachment:
        attachment_id = self.new_id()
        url = f"{self.base}/attachments/{attachment_id}/{filename}"
        attachment = Attachment(attachment_id, filename, data, url, kind)
        self.attachments[attachment_id] = attachment
        return attachment
