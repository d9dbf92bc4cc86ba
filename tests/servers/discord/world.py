"""What people do: they write, use commands, press buttons, and complete what they type.

Each act tells the bot over the gateway at once and gives the record of it; what came of it is awaited there:

    asked = world.slash(channel, ann, "imitate", handle="jo")
    answer = await world.answer(asked)
    assert answer.text and asked.after_s < 3
"""

from __future__ import annotations

import secrets
from typing import Any

from tests.servers.discord import messages
from tests.servers.discord.objects import (
    EPHEMERAL,
    JSON,
    Attachment,
    Channel,
    Interaction,
    Message,
    User,
    walk,
)
from tests.servers.discord.record import Event, Record

SUBCOMMAND, GROUP, STRING, INTEGER, BOOLEAN, USER, CHANNEL, ROLE, NUMBER, ATTACHMENT = 1, 2, 3, 4, 5, 6, 7, 8, 10, 11
RESOLVED = {USER: "users", CHANNEL: "channels", ATTACHMENT: "attachments", ROLE: "roles"}
CHAT, ON_USER, ON_MESSAGE = 1, 2, 3


class Impossible(AssertionError):
    """What a person cannot do, because Discord would not let them: no such command, a button that is not there."""


class World(Record):
    # --- Waiting for what came of it ----------------------------------------------------------------------------------

    async def acknowledged(self, asked: Interaction, timeout_s: float = 10.0) -> Interaction:
        """When it has had its first answer, of whatever kind."""
        await self.until(lambda: asked.acknowledged_at is not None, timeout_s)
        return asked

    async def answer(self, asked: Interaction, timeout_s: float = 10.0) -> Message:
        """The message that answers it, once it says something."""
        await self.until(lambda: asked.answered, timeout_s)
        assert asked.original is not None
        return asked.original

    async def edited(self, message: Message, times: int = 1, timeout_s: float = 10.0) -> Message:
        """When a message has been changed so often since it was sent."""
        await self.until(lambda: len(message.history) > times, timeout_s)
        return message

    async def said(self, channel: Channel, containing: str = "", timeout_s: float = 10.0) -> Message:
        """The first message of the bot, or of a webhook of its, in a channel, with a text in it."""

        def found() -> Message | None:
            mine = (m for m in channel.shown() if m.author is self.bot or m.webhook is not None)
            return next((m for m in mine if containing in m.text), None)

        return await self.until(found, timeout_s)

    # --- What people do -----------------------------------------------------------------------------------------------

    def say(
        self,
        channel: Channel,
        user: User,
        text: str,
        reply_to: Message | None = None,
        files: messages.Files | None = None,
    ) -> Message:
        """Writes a message; `@bot` in it is a mention of the bot."""
        body: JSON = {"content": text.replace("@bot", f"<@{self.bot.id}>")}
        if reply_to is not None:
            body["message_reference"] = {"message_id": reply_to.id}
        return messages.create(self, channel, user, body, files)

    def change(self, message: Message, text: str) -> Message:
        return messages.edit(self, message, {"content": text})

    def remove(self, message: Message) -> None:
        messages.delete(self, message)

    def slash(self, channel: Channel, user: User, command: str, /, **given: Any) -> Interaction:
        """Uses a command; `command` may go on with a subcommand: "schedule add". People, channels and attachments
        (made by `upload`) are given as they are."""
        data, options, missing = self._command(channel, user, command, given)
        if missing:
            raise Impossible(f"/{command} asks for {missing}")
        for option in options:
            _check_value(option, given[option["name"]])
        return self._interact(2, data, channel, user)

    def autocomplete(self, channel: Channel, user: User, command: str, focus: str, /, **given: Any) -> Interaction:
        """Types `given[focus]` into an option that is completed; then see `Interaction.choices`."""
        data, options, _ = self._command(channel, user, command, given, focus)
        if not any(option["name"] == focus and option.get("autocomplete") for option in options):
            raise Impossible(f"{focus} of /{command} is not completed")
        return self._interact(4, data, channel, user)

    def menu(self, target: Message | User, user: User, command: str, channel: Channel | None = None) -> Interaction:
        """Chooses an entry of the menu of a message, or of a person in a channel."""
        where = target.channel if isinstance(target, Message) else channel
        assert where is not None
        definition = self._find(where, user, command, ON_MESSAGE if isinstance(target, Message) else ON_USER)
        kind, payload = ("messages", target.payload()) if isinstance(target, Message) else ("users", target.payload())
        resolved: JSON = {kind: {target.id: payload}}
        if isinstance(target, User) and where.guild is not None:
            resolved["members"] = {target.id: where.guild.members[target.id].payload(user=False)}
        data = {"id": definition["id"], "name": command, "type": definition["type"], "target_id": target.id}
        return self._interact(2, data | {"resolved": resolved}, where, user)

    def press(self, message: Message, user: User, label: str) -> Interaction:
        """Presses a button by what stands on it, or by its custom_id."""
        for part in walk(message.components):
            if part["type"] == 2 and label in (part.get("label"), part.get("custom_id")):
                return self._use(message, user, part)
        raise Impossible(f"no button {label!r} on a message with {sorted(message.buttons())}")

    def select(self, message: Message, user: User, *values: str) -> Interaction:
        """Chooses from the one list of a message."""
        (part,) = (part for part in walk(message.components) if part["type"] == 3)
        if unknown := set(values) - {option["value"] for option in part["options"]}:
            raise Impossible(f"{unknown} is not in the list")
        return self._use(message, user, part, values=list(values))

    def submit(self, asked: Interaction, **values: str) -> Interaction:
        """Fills in the form that answered an interaction, by the custom_id of its fields."""
        if asked.callback is None or asked.callback["type"] != 9:
            raise Impossible("no form was shown")
        form = asked.callback["data"]
        data = {"custom_id": form["custom_id"], "components": [_filled(part, values) for part in form["components"]]}
        return self._interact(5, data, asked.channel, asked.user, asked.source, asked)

    # --- How it is told -----------------------------------------------------------------------------------------------

    def _use(self, message: Message, user: User, part: JSON, **more: Any) -> Interaction:
        if message.deleted or part.get("disabled") or "custom_id" not in part:
            raise Impossible("it cannot be used")
        if message.flags & EPHEMERAL and message.interaction and message.interaction.user is not user:
            raise Impossible("somebody else sees it")
        data = {"custom_id": part["custom_id"], "component_type": part["type"], "id": part["id"], **more}
        return self._interact(3, data, message.channel, user, message)

    def _find(self, channel: Channel, user: User, name: str, kind: int) -> JSON:
        guild_id = channel.guild.id if channel.guild else None
        for command in (*self.commands.get(guild_id, []), *self.commands.get(None, [])):
            if command["name"] == name and command["type"] == kind:
                if not self.uses(user, channel, command):
                    raise Impossible(f"{user.name} may not use {name}")
                if command.get("contexts") and (0 if channel.guild else 1) not in command["contexts"]:
                    raise Impossible(f"{name} is not offered here")
                return command
        raise Impossible(f"there is no command {name} of type {kind}")

    def _command(
        self, channel: Channel, user: User, command: str, given: dict[str, Any], focus: str | None = None
    ) -> tuple[JSON, list[JSON], list[str]]:
        """The data of an interaction, the definitions of the options given, and what is required and not given."""
        name, *path = command.split()
        definition = self._find(channel, user, name, CHAT)
        data: JSON = {"id": definition["id"], "name": name, "type": CHAT}
        if "guild_id" in definition:
            data["guild_id"] = definition["guild_id"]
        at = data
        for part in path:
            definition = next((o for o in definition.get("options", ()) if o["name"] == part), {})
            if definition.get("type") not in (SUBCOMMAND, GROUP):
                raise Impossible(f"/{command} is none")
            at["options"] = [{"name": part, "type": definition["type"]}]
            at = at["options"][0]
        options = {option["name"]: option for option in definition.get("options", ())}
        if unknown := set(given) - set(options):
            raise Impossible(f"/{command} knows no {unknown}")
        resolved: JSON = {}
        at["options"] = []
        for option_name, value in given.items():
            kind = options[option_name]["type"]
            if kind in RESOLVED:
                payload = resolved.setdefault(RESOLVED[kind], {})[value.id] = value.payload()
                if kind == CHANNEL:
                    payload["permissions"] = str(self.permissions(user, value))
                if kind == USER and channel.guild and value.id in channel.guild.members:
                    member = channel.guild.members[value.id].payload(user=False) | {"permissions": "0"}
                    resolved.setdefault("members", {})[value.id] = member
                value = value.id
            option = {"name": option_name, "type": kind, "value": value}
            at["options"].append(option | ({"focused": True} if option_name == focus else {}))
        if resolved:
            data["resolved"] = resolved
        missing = [o["name"] for o in options.values() if o.get("required") and o["name"] not in given]
        return data, [options[option_name] for option_name in given], missing

    def _interact(
        self,
        kind: int,
        data: JSON,
        channel: Channel,
        user: User,
        source: Message | None = None,
        trigger: Interaction | None = None,
    ) -> Interaction:
        token = secrets.token_urlsafe(48)
        asked = Interaction(self.new_id(), token, kind, data, channel, user, self.now(), source, trigger)
        self.interactions[asked.id] = self.tokens[asked.token] = asked
        guild = channel.guild
        allowed = self.permissions(self.bot, channel)
        event: JSON = {
            "id": asked.id, "application_id": self.bot.id, "type": kind, "data": data, "token": asked.token,
            "version": 1, "channel_id": channel.id, "app_permissions": str(allowed), "locale": user.locale,
            "channel": channel.payload() | {"permissions": str(self.permissions(user, channel))}, "entitlements": [],
            "attachment_size_limit": self.upload_bytes, "context": 0 if guild else 1,
            "authorizing_integration_owners": asked.owners(),
        }  # fmt: skip
        if guild is not None:
            member = guild.members[user.id].payload() | {"permissions": str(self.permissions(user, channel))}
            event |= {"guild_id": guild.id, "member": member, "guild_locale": "en-US"}
            event["guild"] = {"id": guild.id, "features": [], "locale": "en-US"}
        else:
            event["user"] = user.payload()
        if source is not None:
            event["message"] = self.shown(source, True)
        self.publish(Event("INTERACTION_CREATE", event))
        self.changed()
        return asked


def _check_value(option: JSON, value: Any) -> None:
    """What the field of an option refuses before anything is sent."""
    name = option["name"]
    if option.get("choices") and value not in {choice["value"] for choice in option["choices"]}:
        raise Impossible(f"{name}: {value!r} is no choice")
    if option["type"] == STRING and not option.get("min_length", 1) <= len(value) <= option.get("max_length", 6000):
        raise Impossible(f"{name}: {len(value)} characters are too few or too many")
    if option["type"] in (INTEGER, NUMBER):
        if isinstance(value, bool) or not isinstance(value, int if option["type"] == INTEGER else (int, float)):
            raise Impossible(f"{name}: {value!r} is no number")
        if not option.get("min_value", value) <= value <= option.get("max_value", value):
            raise Impossible(f"{name}: {value} is out of range")
    if option["type"] == ATTACHMENT and not isinstance(value, Attachment):
        raise Impossible(f"{name} is an attachment")


def _filled(part: JSON, values: dict[str, str]) -> JSON:
    filled: JSON = {"type": part["type"], "id": part.get("id", 1)}
    if "components" in part:
        filled["components"] = [_filled(inner, values) for inner in part["components"]]
    if "component" in part:
        filled["component"] = _filled(part["component"], values)
    if "custom_id" in part:
        filled |= {"custom_id": part["custom_id"], "value": values.get(part["custom_id"], part.get("value", ""))}
    return filled
