"""What may be sent, how it is kept, and whom it notifies."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from itertools import count

from tests.servers.discord.objects import (
    COMPONENTS_V2,
    EPHEMERAL,
    JSON,
    LOADING,
    ApiError,
    Attachment,
    Channel,
    Interaction,
    Message,
    Permission,
    User,
    Version,
    Webhook,
    invalid,
    walk,
)
from tests.servers.discord.record import REQUEST_BYTES, Record

CONTENT, EMBEDS_TEXT, V2_TEXT, V2_COMPONENTS, ROWS, FILES = 2000, 6000, 4000, 40, 5, 10
SETTABLE = EPHEMERAL | COMPONENTS_V2 | 1 << 2 | 1 << 12  # also: without embeds, without notification
Files = list[tuple[str, bytes, str]]  # name, content, content type

# What Discord fills in where a component leaves it out, by type.
DEFAULTS: dict[int, JSON] = {
    3: {"min_values": 1, "max_values": 1},
    11: {"description": None, "spoiler": False},
    13: {"name": None, "size": None, "spoiler": False},
    14: {"spacing": 1, "divider": True},
    17: {"accent_color": None, "spoiler": False},
}


def create(
    record: Record,
    channel: Channel,
    author: User,
    body: JSON,
    files: Files | None = None,
    webhook: Webhook | None = None,
    interaction: Interaction | None = None,
    kind: int = 0,
    loading: bool = False,
) -> Message:
    """A message as it is sent, or the one that was sent before with the same enforced nonce."""
    nonce = body.get("nonce")
    if body.get("enforce_nonce") and nonce is not None:
        for other in reversed(channel.messages.values()):
            if other.author is author and other.nonce == nonce and record.now() - other.at <= record.nonce_s:
                if other.deleted:
                    raise ApiError(404, 10008, "Unknown Message")
                return other
    flags = int(body.get("flags") or 0) & SETTABLE | (LOADING if loading else 0)
    message = Message(record.new_id(), channel, author, record.now(), type=kind, flags=flags, nonce=nonce)
    message.webhook, message.interaction = webhook, interaction
    if reference := body.get("message_reference"):
        message.reply_to = channel.messages.get(str(reference["message_id"]))
        if message.reply_to is None or message.reply_to.deleted:
            if reference.get("fail_if_not_exists", True):
                raise invalid("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message")
            message.reply_to = None
    if not loading:
        _apply(record, message, body, files or [])
        _notify(record, message, body.get("allowed_mentions"))
    message.history.append(Version(message.at, message.content, message.components))
    channel.messages[message.id] = message
    if not flags & EPHEMERAL:
        record.tell("MESSAGE_CREATE", message)
    record.changed()
    return message


def edit(record: Record, message: Message, body: JSON, files: Files | None = None) -> Message:
    """Changes what the body names. The first edit of an answer that was still awaited is its sending."""
    first = bool(message.flags & LOADING)
    before = copy.copy(message)
    message.flags = message.flags & ~LOADING | int(body.get("flags") or 0) & COMPONENTS_V2
    try:
        _apply(record, message, body, files or [])
    except ApiError:
        vars(message).update(vars(before))
        raise
    if first:
        _notify(record, message, body.get("allowed_mentions"))
    message.edited = record.now()
    message.history.append(Version(message.edited, message.content, message.components))
    if not message.flags & EPHEMERAL:
        record.tell("MESSAGE_UPDATE", message)
    record.changed()
    return message


def delete(record: Record, message: Message) -> None:
    message.deleted = True
    if not message.flags & EPHEMERAL:
        record.tell("MESSAGE_DELETE", message)
    record.changed()


def _apply(record: Record, message: Message, body: JSON, files: Files) -> None:
    if "content" in body:
        message.content = (body["content"] or "").strip()
    if "embeds" in body:
        message.embeds = [{"type": "rich", **embed} for embed in body["embeds"] or []]
    if "components" in body:
        numbers = count(1)
        message.components = [_completed(record, component, numbers) for component in body["components"] or []]
    message.attachments = _attached(record, message, body, files)
    _check(message)


def _attached(record: Record, message: Message, body: JSON, files: Files) -> list[Attachment]:
    if len(files) > FILES:
        raise invalid("attachments", "BASE_TYPE_MAX_LENGTH", f"Must be {FILES} or fewer in length.")
    sizes = [len(data) for _, data, _ in files]
    if max(sizes, default=0) > record.upload_bytes or sum(sizes) > REQUEST_BYTES:
        raise ApiError(413, 40005, "Request entity too large")
    kept = message.attachments
    if body.get("attachments") is not None:
        ids = {str(attachment["id"]) for attachment in body["attachments"]}
        kept = [attachment for attachment in kept if attachment.id in ids]
    return kept + [record.upload(*file) for file in files]


def _completed(record: Record, component: JSON, numbers: Iterator[int]) -> JSON:
    done = {**DEFAULTS.get(component["type"], {}), **component, "id": component.get("id") or next(numbers)}
    for name in ("components", "accessory"):
        if name in done:
            inner = done[name]
            done[name] = (
                [_completed(record, part, numbers) for part in inner]
                if isinstance(inner, list)
                else _completed(record, inner, numbers)
            )
    for name in ("media", "file"):
        if name in done:
            done[name] = _media(record, done[name])
    if "items" in done:
        done["items"] = [
            {"description": None, "spoiler": False, **item, "media": _media(record, item["media"])}
            for item in done["items"]
        ]
    return done


def _media(record: Record, media: JSON) -> JSON:
    return {"id": record.new_id(), "url": media["url"], "proxy_url": media["url"]}


def _check(message: Message) -> None:
    if len(message.content) > CONTENT:
        raise invalid("content", "BASE_TYPE_MAX_LENGTH", f"Must be {CONTENT} or fewer in length.")
    parts = walk(message.components)
    names = [part["custom_id"] for part in parts if "custom_id" in part]
    if len(set(names)) < len(names):
        raise invalid("components", "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated")
    if message.flags & COMPONENTS_V2:
        if message.content or message.embeds:
            raise invalid("content", "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2", "Not with components v2")
        if len(parts) > V2_COMPONENTS:
            raise invalid("components", "BASE_TYPE_BAD_LENGTH", f"Must be {V2_COMPONENTS} or fewer in length.")
        if sum(len(part.get("content", "")) for part in parts) > V2_TEXT:
            raise invalid("components", "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", f"Must be {V2_TEXT} or fewer.")
    elif len(message.components) > ROWS or any(part["type"] != 1 for part in message.components):
        raise invalid("components", "BASE_TYPE_BAD_LENGTH", f"Must be {ROWS} or fewer action rows.")
    texts = [str(value) for embed in message.embeds for value in (embed.get("title", ""), embed.get("description", ""))]
    texts += [field["name"] + field["value"] for embed in message.embeds for field in embed.get("fields", [])]
    if sum(map(len, texts)) > EMBEDS_TEXT:
        raise invalid("embeds", "MAX_EMBED_SIZE_EXCEEDED", f"Embed size exceeds maximum size of {EMBEDS_TEXT}")
    if not (message.content or message.embeds or message.components or message.attachments):
        raise ApiError(400, 50006, "Cannot send an empty message")


def _notify(record: Record, message: Message, allowed: JSON | None) -> None:
    """Whom its text names, and whom of them it notifies. Answers and webhooks notify people only, unless they say
    otherwise."""
    guild = message.channel.guild
    text = message.text
    people = [record.users[found] for found in dict.fromkeys(re.findall(r"<@!?(\d+)>", text)) if found in record.users]
    parse = {"users", "roles", "everyone"}
    if message.webhook or message.interaction:
        parse = {"users"}
    replied = message.reply_to is not None
    chosen: set[str] = set()
    if allowed is not None:
        parse = set(allowed.get("parse") or ())
        chosen = {str(one) for one in (*(allowed.get("users") or ()), *(allowed.get("roles") or ()))}
        replied = replied and bool(allowed.get("replied_user"))
    rights = record.permissions(message.author, message.channel)
    pings = [user.id for user in people if "users" in parse or user.id in chosen]
    if guild is not None:
        for found in dict.fromkeys(re.findall(r"<@&(\d+)>", text)):
            role = guild.roles.get(found)
            if role and (role.mentionable or rights & Permission.MENTION_EVERYONE):
                pings += [found] if "roles" in parse or found in chosen else []
        if "everyone" in parse and rights & Permission.MENTION_EVERYONE:
            pings += [word for word in ("everyone", "here") if f"@{word}" in text]
    if replied and message.reply_to is not None:
        people.append(message.reply_to.author)
        pings.append(message.reply_to.author.id)
    message.mentions = list(dict.fromkeys(people))
    message.pings = list(dict.fromkeys(pings))
