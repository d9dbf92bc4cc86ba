"""What a Discord holds: people, guilds, channels, messages, commands and interactions, and how each is written down."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

JSON = dict[str, Any]
EPHEMERAL, LOADING, COMPONENTS_V2 = 1 << 6, 1 << 7, 1 << 15


class Permission(enum.IntFlag):
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    MANAGE_WEBHOOKS = 1 << 29
    USE_APPLICATION_COMMANDS = 1 << 31


EVERYTHING = (1 << 50) - 1
USUAL = (
    Permission.VIEW_CHANNEL | Permission.SEND_MESSAGES | Permission.EMBED_LINKS | Permission.ATTACH_FILES
    | Permission.READ_MESSAGE_HISTORY | Permission.USE_APPLICATION_COMMANDS
)  # fmt: skip


class ApiError(Exception):
    """Refused as Discord refuses: a status, a code of its table, and a sentence."""

    def __init__(self, status: int, code: int, message: str, errors: JSON | None = None) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status = status
        self.body: JSON = {"code": code, "message": message} | ({"errors": errors} if errors else {})


def invalid(where: str, code: str, message: str) -> ApiError:
    """A 50035 that names the part of the body which is wrong."""
    errors: JSON = {"_errors": [{"code": code, "message": message}]}
    for part in reversed(where.split(".")):
        errors = {part: errors}
    return ApiError(400, 50035, "Invalid Form Body", errors)


def stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


@dataclass(eq=False)
class User:
    id: str
    name: str
    bot: bool = False
    locale: str = "en-US"

    def payload(self) -> JSON:
        return {
            "id": self.id, "username": self.name, "global_name": None, "discriminator": "0000" if self.bot else "0",
            "avatar": None, "public_flags": 0, "flags": 0, "primary_guild": None, "bot": self.bot,
        }  # fmt: skip


@dataclass(eq=False)
class Role:
    id: str
    name: str
    permissions: int = 0
    mentionable: bool = False
    position: int = 0

    def payload(self) -> JSON:
        return {
            "id": self.id, "name": self.name, "permissions": str(int(self.permissions)), "position": self.position,
            "color": 0, "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None}, "hoist": False,
            "managed": False, "mentionable": self.mentionable, "icon": None, "unicode_emoji": None, "flags": 0,
        }  # fmt: skip


@dataclass(eq=False)
class Member:
    user: User
    joined: float
    roles: list[Role] = field(default_factory=list)

    def payload(self, user: bool = True) -> JSON:
        member: JSON = {
            "avatar": None, "banner": None, "communication_disabled_until": None, "flags": 0, "nick": None,
            "joined_at": stamp(self.joined), "pending": False, "premium_since": None, "mute": False, "deaf": False,
            "roles": [role.id for role in self.roles],
        }  # fmt: skip
        return member | ({"user": self.user.payload()} if user else {})


@dataclass(eq=False)
class Guild:
    id: str
    name: str
    owner: User
    created: float
    installed: bool = True  # whether the bot is in it; if not, commands may still be used by who installed it
    roles: dict[str, Role] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)

    @property
    def everyone(self) -> Role:
        return self.roles[self.id]

    def payload(self) -> JSON:
        return {
            "id": self.id, "name": self.name, "owner_id": self.owner.id, "icon": None, "description": None,
            "home_header": None, "splash": None, "discovery_splash": None, "features": [], "banner": None,
            "application_id": None, "region": "deprecated", "afk_channel_id": None, "afk_timeout": 300,
            "system_channel_id": None, "system_channel_flags": 0, "widget_enabled": False, "widget_channel_id": None,
            "verification_level": 0, "roles": [role.payload() for role in self.roles.values()],
            "default_message_notifications": 0, "mfa_level": 0, "explicit_content_filter": 0, "max_presences": None,
            "max_members": 500_000, "max_stage_video_channel_users": 50, "max_video_channel_users": 25,
            "vanity_url_code": None, "premium_tier": 0, "premium_subscription_count": 0, "preferred_locale": "en-US",
            "rules_channel_id": None, "safety_alerts_channel_id": None, "public_updates_channel_id": None,
            "premium_progress_bar_enabled": False, "nsfw": False, "nsfw_level": 0, "emojis": [], "stickers": [],
            "incidents_data": None,
        }  # fmt: skip

    def event(self, members: list[Member]) -> JSON:
        """As GUILD_CREATE shows it."""
        return self.payload() | {
            "joined_at": stamp(self.created), "large": False, "unavailable": False, "member_count": len(self.members),
            "voice_states": [], "members": [member.payload() for member in members], "threads": [], "presences": [],
            "channels": [channel.payload() for channel in self.channels.values()], "stage_instances": [],
            "guild_scheduled_events": [], "soundboard_sounds": [],
        }  # fmt: skip


@dataclass(eq=False)
class Channel:
    id: str
    name: str
    guild: Guild | None = None  # None: a direct message
    recipient: User | None = None
    overwrites: dict[str, tuple[int, int]] = field(default_factory=dict)  # by role or user: what it allows, denies
    messages: dict[str, Message] = field(default_factory=dict)  # all that were ever sent, in order
    parent: Channel | None = None  # of which it is a thread

    def payload(self) -> JSON:
        last = next(reversed(self.messages), None)
        if self.guild is None:
            people = [self.recipient.payload()] if self.recipient else []
            return {"id": self.id, "type": 1, "flags": 0, "recipients": people, "last_message_id": last}
        overwrites = [
            {"id": who, "type": 0 if who in self.guild.roles else 1, "allow": str(allow), "deny": str(deny)}
            for who, (allow, deny) in self.overwrites.items()
        ]
        if self.parent is not None:
            archive = {"archived": False, "auto_archive_duration": 1440, "archive_timestamp": stamp(0), "locked": False}
            return {
                "id": self.id, "type": 11, "flags": 0, "guild_id": self.guild.id, "name": self.name,
                "parent_id": self.parent.id, "owner_id": self.guild.owner.id, "rate_limit_per_user": 0,
                "last_message_id": last, "thread_metadata": archive | {"create_timestamp": stamp(0)},
                "message_count": len(self.messages), "member_count": 1, "total_message_sent": len(self.messages),
            }  # fmt: skip
        return {
            "id": self.id, "type": 0, "flags": 0, "guild_id": self.guild.id, "name": self.name, "position": 0,
            "permission_overwrites": overwrites, "parent_id": None, "topic": None, "nsfw": False,
            "rate_limit_per_user": 0, "last_message_id": last,
        }  # fmt: skip

    def shown(self) -> list[Message]:
        """The messages that stand in it and that everybody sees, oldest first."""
        return [m for m in self.messages.values() if not m.deleted and not m.flags & EPHEMERAL]


@dataclass(eq=False)
class Attachment:
    id: str
    filename: str
    data: bytes
    url: str
    kind: str = "application/octet-stream"
    held: asyncio.Event | None = None  # whoever fetches it waits for this

    def payload(self) -> JSON:
        return {
            "id": self.id, "filename": self.filename, "size": len(self.data), "url": self.url, "proxy_url": self.url,
            "content_type": self.kind,
        }  # fmt: skip


@dataclass(eq=False)
class Webhook:
    id: str
    token: str
    channel: Channel
    name: str
    user: User
    application_id: str

    def payload(self) -> JSON:
        assert self.channel.guild is not None
        return {
            "id": self.id, "type": 1, "name": self.name, "avatar": None, "channel_id": self.channel.id,
            "guild_id": self.channel.guild.id, "application_id": self.application_id, "token": self.token,
            "user": self.user.payload(),
        }  # fmt: skip


@dataclass(frozen=True)
class Version:
    """What a message said from `at` (seconds) on."""

    at: float
    content: str
    components: list[JSON]


@dataclass(eq=False)
class Message:
    id: str
    channel: Channel
    author: User
    at: float
    content: str = ""
    type: int = 0
    flags: int = 0
    embeds: list[JSON] = field(default_factory=list)
    components: list[JSON] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)
    mentions: list[User] = field(default_factory=list)
    pings: list[str] = field(default_factory=list)  # whom it notified, ever: ids, "everyone" and "here"
    nonce: str | int | None = None
    reply_to: Message | None = None
    webhook: Webhook | None = None
    interaction: Interaction | None = None  # which it answers
    history: list[Version] = field(default_factory=list)  # the first is as it was sent
    edited: float | None = None
    deleted: bool = False

    @property
    def text(self) -> str:
        """All that a person reads of it, whichever way it is laid out."""
        return "\n".join(filter(None, [self.content, *(part.get("content", "") for part in walk(self.components))]))

    def buttons(self) -> dict[str, JSON]:
        """By what stands on them."""
        return {part.get("label", ""): part for part in walk(self.components) if part["type"] == 2}

    def payload(self) -> JSON:
        message: JSON = {
            "id": self.id, "channel_id": self.channel.id, "type": self.type, "content": self.content,
            "author": self.author.payload(), "timestamp": stamp(self.at), "flags": self.flags, "tts": False,
            "edited_timestamp": None if self.edited is None else stamp(self.edited), "pinned": False,
            "mentions": [user.payload() for user in self.mentions], "mention_roles": [], "embeds": self.embeds,
            "mention_everyone": "everyone" in self.pings, "components": self.components,
            "attachments": [attachment.payload() for attachment in self.attachments],
        }  # fmt: skip
        if self.nonce is not None:
            message["nonce"] = self.nonce
        if self.webhook is not None:
            message |= {"webhook_id": self.webhook.id, "application_id": self.webhook.application_id}
        if self.interaction is not None:
            asked = self.interaction
            message |= {"application_id": self.author.id, "webhook_id": self.author.id}
            message["interaction_metadata"] = asked.metadata()
        if self.reply_to is not None:
            message["type"] = 19 if self.interaction is None else self.type
            reference = {"type": 0, "channel_id": self.reply_to.channel.id, "message_id": self.reply_to.id}
            guild = self.reply_to.channel.guild
            message["message_reference"] = reference | ({"guild_id": guild.id} if guild else {})
        return message


@dataclass(eq=False)
class Interaction:
    """What a person did, and what became of it; `type` is 2 command, 3 component, 4 autocomplete, 5 modal."""

    id: str
    token: str
    type: int
    data: JSON
    channel: Channel
    user: User
    at: float
    source: Message | None = None  # the message whose component was used
    trigger: Interaction | None = None  # which the form answered that was filled in
    acknowledged_at: float | None = None
    callback: JSON | None = None  # as it was sent
    original: Message | None = None  # the answer, or what stands for it until it is there
    followups: list[Message] = field(default_factory=list)

    @property
    def after_s(self) -> float | None:
        """How long it took until it was acknowledged."""
        return None if self.acknowledged_at is None else self.acknowledged_at - self.at

    @property
    def choices(self) -> list[str]:
        """What was offered to complete with."""
        assert self.callback is not None
        assert self.callback["type"] == 8, self.callback
        return [choice["value"] for choice in self.callback["data"]["choices"]]

    @property
    def answered(self) -> bool:
        return self.original is not None and not self.original.flags & LOADING

    def owners(self) -> dict[str, str]:
        """By whose leave the application is here: the guild's, the person's, or in a chat with the bot nobody's."""
        guild = self.channel.guild
        if guild is None:
            return {"0": "0"}
        return {"0": guild.id} if guild.installed else {"1": self.user.id}

    def metadata(self) -> JSON:
        metadata: JSON = {"id": self.id, "type": self.type, "user": self.user.payload()}
        metadata["authorizing_integration_owners"] = self.owners()
        if self.trigger is not None:
            metadata["triggering_interaction_metadata"] = self.trigger.metadata()
        elif self.source is not None:
            metadata["interacted_message_id"] = self.source.id
        return metadata


def walk(components: list[JSON]) -> list[JSON]:
    """All components, however deep."""
    found = []
    for component in components:
        found.append(component)
        found += walk(component.get("components", []))
        if accessory := component.get("accessory"):
            found += walk([accessory])
        if labelled := component.get("component"):
            found += walk([labelled])
    return found
