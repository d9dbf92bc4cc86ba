"""The routes that a bot uses. Each takes the record and a call, and gives a status and a body (None: no body)."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.servers.discord import interactions, messages
from tests.servers.discord.messages import Files
from tests.servers.discord.objects import COMPONENTS_V2, JSON, ApiError, Message, Permission, User, Webhook, invalid
from tests.servers.discord.record import Record

CALLBACK = "POST /interactions/{interaction_id}/{interaction_token}/callback"
COMMANDS = {1: 100, 2: 15, 3: 15}  # how many of a type


@dataclass(frozen=True)
class Call:
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    files: Files
    gateway_url: str
    identifies_left: int


Answer = tuple[int, Any]
Route = Callable[[Record, Call], Answer]
ROUTES: dict[str, Route] = {}  # in the order in which they are matched


def route(name: str) -> Callable[[Route], Route]:
    def keep(function: Route) -> Route:
        ROUTES[name] = function
        return function

    return keep


# --- The application --------------------------------------------------------------------------------------------------


@route("GET /gateway")
def gateway(record: Record, call: Call) -> Answer:
    return 200, {"url": call.gateway_url}


@route("GET /gateway/bot")
def gateway_bot(record: Record, call: Call) -> Answer:
    left = {"total": 1000, "remaining": call.identifies_left, "reset_after": 14_400_000, "max_concurrency": 1}
    return 200, {"url": call.gateway_url, "shards": 1, "session_start_limit": left}


@route("GET /users/@me")
def me(record: Record, call: Call) -> Answer:
    return 200, myself(record)


def myself(record: Record) -> JSON:
    return record.bot.payload() | {"mfa_enabled": False, "locale": "en-US", "verified": True, "email": None}


@route("GET /oauth2/applications/@me")
@route("GET /applications/@me")
def application(record: Record, call: Call) -> Answer:
    owner = next((user for user in record.users.values() if not user.bot), User(record.bot.id, "owner"))
    flags = 1 << 19 if record.message_content else 0
    return 200, {
        "id": record.bot.id, "name": record.bot.name, "icon": None, "description": "", "type": None,
        "verify_key": "0" * 64, "flags": flags, "flags_new": str(flags), "redirect_uris": [],
        "interactions_endpoint_url": None, "role_connections_verification_url": None, "owner": owner.payload(),
        "approximate_guild_count": len(record.guilds), "approximate_user_install_count": 0,
        "approximate_user_authorization_count": 0, "explicit_content_filter": 0, "team": None,
        "eligible_oauth2_scopes": [], "bot_public": True, "bot_require_code_grant": False,
        "bot": record.bot.payload(),
    }  # fmt: skip


@route("GET /users/{user_id}")
def user(record: Record, call: Call) -> Answer:
    if found := record.users.get(call.path["user_id"]):
        return 200, found.payload()
    raise ApiError(404, 10013, "Unknown User")


@route("POST /users/@me/channels")
def open_direct(record: Record, call: Call) -> Answer:
    recipient = record.users.get(str(call.body.get("recipient_id")))
    if recipient is None:
        raise ApiError(404, 10013, "Unknown User")
    return 200, record.direct(recipient).payload()


# --- Commands ---------------------------------------------------------------------------------------------------------


@route("GET /applications/{application_id}/commands")
@route("GET /applications/{application_id}/guilds/{guild_id}/commands")
def commands(record: Record, call: Call) -> Answer:
    return 200, record.commands.get(_command_place(record, call), [])


@route("PUT /applications/{application_id}/commands")
@route("PUT /applications/{application_id}/guilds/{guild_id}/commands")
def set_commands(record: Record, call: Call) -> Answer:
    place = _command_place(record, call)
    known = {(command["type"], command["name"]): command for command in record.commands.get(place, [])}
    made = [_command(record, place, body, known) for body in call.body]
    names = [(command["type"], command["name"]) for command in made]
    if len(set(names)) < len(names):
        raise invalid("name", "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
    for kind, most in COMMANDS.items():
        if sum(command["type"] == kind for command in made) > most:
            raise ApiError(400, 30032, f"Maximum number of application commands reached ({most})")
    record.commands[place] = made
    record.changed()
    return 200, made


@route("POST /applications/{application_id}/commands")
@route("POST /applications/{application_id}/guilds/{guild_id}/commands")
def add_command(record: Record, call: Call) -> Answer:
    place = _command_place(record, call)
    kept = record.commands.setdefault(place, [])
    known = {(command["type"], command["name"]): command for command in kept}
    made = _command(record, place, call.body, known)
    new = (made["type"], made["name"]) not in known
    record.commands[place] = [command for command in kept if command["id"] != made["id"]] + [made]
    record.changed()
    return 201 if new else 200, made


@route("GET /applications/{application_id}/guilds/{guild_id}/commands/permissions")
def overrides(record: Record, call: Call) -> Answer:
    _command_place(record, call)
    guild = record.guild_of(call.path["guild_id"])
    return 200, [record.overriding(guild, target) for target in record.overrides.get(guild.id, {})]


def _command_place(record: Record, call: Call) -> str | None:
    if call.path["application_id"] != record.bot.id:
        raise ApiError(404, 10002, "Unknown Application")
    guild_id = call.path.get("guild_id")
    return None if guild_id is None else record.guild_of(guild_id).id


def _command(record: Record, place: str | None, body: JSON, known: dict[tuple[int, str], JSON]) -> JSON:
    kind = body.get("type") or 1
    if kind == 1 and not body.get("description"):
        raise invalid("description", "BASE_TYPE_REQUIRED", "This field is required")
    if kind == 1 and body["name"] != body["name"].lower():
        raise invalid("name", "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
    before = known.get((kind, body["name"]))
    permissions = body.get("default_member_permissions")
    command = {
        **{name: value for name, value in body.items() if value is not None},
        "id": before["id"] if before else record.new_id(), "application_id": record.bot.id,
        "version": record.new_id(), "type": kind, "description": body.get("description") or "",
        "default_member_permissions": None if permissions is None else str(permissions),
    }  # fmt: skip
    return command | ({"guild_id": place} if place else {})


# --- Interactions -----------------------------------------------------------------------------------------------------


@route(CALLBACK)
def callback(record: Record, call: Call) -> Answer:
    where = call.path["interaction_id"], call.path["interaction_token"]
    answer = interactions.callback(record, *where, call.body, call.files)
    return (200, answer) if call.query.get("with_response", "").lower() in ("1", "true") else (204, None)


# --- Webhooks, and what follows an interaction under its token --------------------------------------------------------


@route("POST /webhooks/{webhook_id}/{webhook_token}")
def execute(record: Record, call: Call) -> Answer:
    asked = interactions.by_token(record, call.path["webhook_id"], call.path["webhook_token"])
    if asked is not None:
        return 200, record.shown(interactions.follow_up(record, asked, call.body, call.files), True)
    webhook = _webhook(record, call)
    if int(call.body.get("flags") or 0) & COMPONENTS_V2 and call.query.get("with_components", "") not in ("true", "1"):
        raise ApiError(400, 50006, "Cannot send an empty message")
    name = call.body.get("username") or webhook.name
    _check_name("username", name)
    channel = webhook.channel
    if thread_id := call.query.get("thread_id"):
        channel = record.channel_of(thread_id)
        if channel.parent is not webhook.channel:
            raise ApiError(404, 10003, "Unknown Channel")
    author = User(webhook.id, name, bot=True)
    message = messages.create(record, channel, author, call.body, call.files, webhook)
    return (200, message.payload()) if call.query.get("wait", "").lower() in ("true", "1") else (204, None)


@route("GET /webhooks/{webhook_id}/{webhook_token}")
def webhook(record: Record, call: Call) -> Answer:
    shown = _webhook(record, call).payload()
    shown.pop("user")
    return 200, shown


@route("DELETE /webhooks/{webhook_id}/{webhook_token}")
def delete_webhook(record: Record, call: Call) -> Answer:
    del record.webhooks[_webhook(record, call).id]
    return 204, None


@route("GET /webhooks/{webhook_id}/{webhook_token}/messages/@original")
@route("GET /webhooks/{webhook_id}/{webhook_token}/messages/{message_id}")
def webhook_message(record: Record, call: Call) -> Answer:
    return 200, record.shown(_under_token(record, call), True)


@route("PATCH /webhooks/{webhook_id}/{webhook_token}/messages/@original")
@route("PATCH /webhooks/{webhook_id}/{webhook_token}/messages/{message_id}")
def edit_webhook_message(record: Record, call: Call) -> Answer:
    return 200, record.shown(messages.edit(record, _under_token(record, call), call.body, call.files), True)


@route("DELETE /webhooks/{webhook_id}/{webhook_token}/messages/@original")
@route("DELETE /webhooks/{webhook_id}/{webhook_token}/messages/{message_id}")
def delete_webhook_message(record: Record, call: Call) -> Answer:
    messages.delete(record, _under_token(record, call))
    return 204, None


@route("GET /channels/{channel_id}/webhooks")
def webhooks(record: Record, call: Call) -> Answer:
    channel = record.channel_of(call.path["channel_id"])
    record.require(channel, Permission.MANAGE_WEBHOOKS)
    return 200, [found.payload() for found in record.webhooks.values() if found.channel is channel]


@route("POST /channels/{channel_id}/webhooks")
def create_webhook(record: Record, call: Call) -> Answer:
    channel = record.channel_of(call.path["channel_id"])
    record.require(channel, Permission.MANAGE_WEBHOOKS)
    if sum(found.channel is channel for found in record.webhooks.values()) >= 15:
        raise ApiError(400, 30007, "Maximum number of webhooks reached (15)")
    if channel.parent is not None:
        raise ApiError(400, 50024, "Cannot execute action on this channel type")
    _check_name("name", call.body["name"])
    made = Webhook(record.new_id(), secrets.token_urlsafe(48), channel, call.body["name"], record.bot, record.bot.id)
    record.webhooks[made.id] = made
    return 200, made.payload()


def _check_name(where: str, name: str) -> None:
    if any(word in name.lower() for word in ("clyde", "discord")):
        raise invalid(where, "USERNAME_INVALID_CONTAINS", "Username cannot contain this")
    if not 1 <= len(name) <= 80:
        raise invalid(where, "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 80 in length.")


def _webhook(record: Record, call: Call) -> Webhook:
    found = record.webhooks.get(call.path["webhook_id"])
    if found is None:
        raise ApiError(404, 10015, "Unknown Webhook")
    if found.token != call.path["webhook_token"]:
        raise ApiError(401, 50027, "Invalid Webhook Token")
    return found


def _under_token(record: Record, call: Call) -> Message:
    """The message of an interaction or a webhook that is named by the path."""
    message_id = call.path.get("message_id")
    asked = interactions.by_token(record, call.path["webhook_id"], call.path["webhook_token"])
    if asked is not None:
        for message in (*([asked.original] if asked.original else []), *asked.followups):
            if message.id == message_id and not message.deleted:
                return message
        if message_id is None:
            return interactions.original(asked)
    else:
        found = _webhook(record, call)
        sent = found.channel.messages.get(message_id or "")
        if sent is not None and sent.webhook is found and not sent.deleted:
            return sent
    raise ApiError(404, 10008, "Unknown Message")


# --- Channels and messages --------------------------------------------------------------------------------------------


@route("GET /channels/{channel_id}")
def channel(record: Record, call: Call) -> Answer:
    found = record.channel_of(call.path["channel_id"])
    record.require(found)
    return 200, found.payload()


@route("POST /channels/{channel_id}/typing")
def typing(record: Record, call: Call) -> Answer:
    record.require(record.channel_of(call.path["channel_id"]), Permission.SEND_MESSAGES)
    return 204, None


@route("GET /channels/{channel_id}/messages")
def history(record: Record, call: Call) -> Answer:
    found = record.channel_of(call.path["channel_id"])
    record.require(found)
    stand = found.shown()
    if not (record.permissions(record.bot, found) & Permission.READ_MESSAGE_HISTORY):
        stand = []
    limit = int(call.query.get("limit", 50))
    if after := call.query.get("after"):
        stand = [message for message in stand if int(message.id) > int(after)][:limit]
    if before := call.query.get("before"):
        stand = [message for message in stand if int(message.id) < int(before)]
    if around := call.query.get("around"):
        older = [message for message in stand if int(message.id) <= int(around)][-(limit // 2 + 1) :]
        stand = older + [message for message in stand if int(message.id) > int(around)][: limit // 2]
    return 200, [record.shown(message, record.message_content) for message in stand[-limit:][::-1]]


@route("POST /channels/{channel_id}/messages")
def send(record: Record, call: Call) -> Answer:
    found = record.channel_of(call.path["channel_id"])
    needed = [Permission.SEND_MESSAGES]
    if call.body.get("message_reference"):
        needed.append(Permission.READ_MESSAGE_HISTORY)
    if call.files:
        needed.append(Permission.ATTACH_FILES)
    record.require(found, *needed)
    return 200, record.shown(messages.create(record, found, record.bot, call.body, call.files), True)


@route("GET /channels/{channel_id}/messages/{message_id}")
def message(record: Record, call: Call) -> Answer:
    return 200, record.shown(_message(record, call, Permission.READ_MESSAGE_HISTORY), record.message_content)


@route("PATCH /channels/{channel_id}/messages/{message_id}")
def edit(record: Record, call: Call) -> Answer:
    found = _message(record, call)
    if found.author is not record.bot:
        raise ApiError(403, 50005, "Cannot edit a message authored by another user")
    return 200, record.shown(messages.edit(record, found, call.body, call.files), True)


@route("DELETE /channels/{channel_id}/messages/{message_id}")
def delete(record: Record, call: Call) -> Answer:
    found = _message(record, call)
    if found.author is not record.bot:
        record.require(found.channel, Permission.MANAGE_MESSAGES)
    messages.delete(record, found)
    return 204, None


def _message(record: Record, call: Call, *needed: Permission) -> Message:
    found = record.channel_of(call.path["channel_id"])
    record.require(found, *needed)
    return record.message_of(found, call.path["message_id"])


# --- Guilds -----------------------------------------------------------------------------------------------------------


@route("GET /guilds/{guild_id}")
def guild(record: Record, call: Call) -> Answer:
    found = record.guild_of(call.path["guild_id"])
    counts = {"approximate_member_count": len(found.members), "approximate_presence_count": 0}
    return 200, found.payload() | (counts if call.query.get("with_counts", "").lower() in ("1", "true") else {})


@route("GET /guilds/{guild_id}/channels")
def channels(record: Record, call: Call) -> Answer:
    return 200, [found.payload() for found in record.guild_of(call.path["guild_id"]).channels.values()]


@route("GET /guilds/{guild_id}/roles")
def roles(record: Record, call: Call) -> Answer:
    return 200, [role.payload() for role in record.guild_of(call.path["guild_id"]).roles.values()]


@route("GET /guilds/{guild_id}/members/{user_id}")
def member(record: Record, call: Call) -> Answer:
    if found := record.guild_of(call.path["guild_id"]).members.get(call.path["user_id"]):
        return 200, found.payload()
    raise ApiError(404, 10007, "Unknown Member")
