"""What a bot may do with an interaction, and until when."""

from __future__ import annotations

from tests.servers.discord import messages
from tests.servers.discord.messages import Files
from tests.servers.discord.objects import EPHEMERAL, JSON, LOADING, ApiError, Interaction, Message, invalid
from tests.servers.discord.record import ACKNOWLEDGE_S, TOKEN_S, Record

MESSAGE, DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE, COMPLETION, MODAL = 4, 5, 6, 7, 8, 9
ALLOWED = {
    2: {MESSAGE, DEFERRED_MESSAGE, MODAL},
    3: {MESSAGE, DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE, MODAL},
    4: {COMPLETION},
    5: {MESSAGE, DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE},
}
CHOICES, CHOICE = 25, 100
WITHOUT_BOT = 5  # follow-ups where only a person has installed the application
COMMAND_ANSWER = 20


def callback(record: Record, interaction_id: str, token: str, body: JSON, files: Files) -> JSON:
    """The first answer; what Discord says to it if it is asked to say something."""
    asked = record.interactions.get(interaction_id)
    if asked is None or asked.token != token:
        raise ApiError(404, 10062, "Unknown interaction")
    if asked.acknowledged_at is not None:
        raise ApiError(400, 40060, "Interaction has already been acknowledged.")
    if record.now() - asked.at > ACKNOWLEDGE_S:
        raise ApiError(404, 10062, "Unknown interaction")
    kind, data = body["type"], body.get("data") or {}
    if kind not in ALLOWED[asked.type] or (kind in (DEFERRED_UPDATE, UPDATE) and asked.source is None):
        raise invalid("type", "INTERACTION_APPLICATION_COMMAND_INVALID_CALLBACK", "Not a callback for this")
    if kind == COMPLETION:
        _check_choices(data.get("choices") or [])
    elif kind == UPDATE:
        assert asked.source is not None
        asked.original = messages.edit(record, asked.source, data, files)
    elif kind == DEFERRED_UPDATE:
        asked.original = asked.source
    elif kind in (MESSAGE, DEFERRED_MESSAGE):
        if kind == DEFERRED_MESSAGE:  # of what else it carries, nothing is kept
            data = {"flags": int(data.get("flags") or 0) & EPHEMERAL}
        asked.original = messages.create(
            record, asked.channel, record.bot, data, files, interaction=asked,
            kind=COMMAND_ANSWER if asked.type == 2 else 0, loading=kind == DEFERRED_MESSAGE,
        )  # fmt: skip
    asked.acknowledged_at = record.now()
    asked.callback = body
    record.changed()
    return _answer(asked, kind)


def _answer(asked: Interaction, kind: int) -> JSON:
    interaction: JSON = {"id": asked.id, "type": asked.type, "channel_id": asked.channel.id}
    if asked.channel.guild is not None:
        interaction["guild_id"] = asked.channel.guild.id
    if asked.original is not None:
        interaction["response_message_id"] = asked.original.id
        interaction["response_message_loading"] = bool(asked.original.flags & LOADING)
        interaction["response_message_ephemeral"] = bool(asked.original.flags & EPHEMERAL)
    answer: JSON = {"interaction": interaction}
    if kind in (MESSAGE, UPDATE) and asked.original is not None:
        answer["resource"] = {"type": kind, "message": asked.original.payload()}
    return answer


def _check_choices(choices: list[JSON]) -> None:
    if len(choices) > CHOICES:
        raise invalid("data.choices", "BASE_TYPE_MAX_LENGTH", f"Must be {CHOICES} or fewer in length.")
    for number, choice in enumerate(choices):
        for name in ("name", "value"):
            if isinstance(choice[name], str) and not 1 <= len(choice[name]) <= CHOICE:
                where = f"data.choices.{number}.{name}"
                raise invalid(where, "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {CHOICE} in length.")


def by_token(record: Record, application_id: str, token: str) -> Interaction | None:
    """The interaction whose token this is, for what comes after the first answer; None if it is none's."""
    asked = record.tokens.get(token)
    if asked is None or application_id != record.bot.id:
        return None
    if record.now() - asked.at > TOKEN_S:
        raise ApiError(401, 50027, "Invalid Webhook Token")
    if asked.acknowledged_at is None:
        raise ApiError(404, 10015, "Unknown Webhook")
    return asked


def original(asked: Interaction) -> Message:
    if asked.original is None or asked.original.deleted:
        raise ApiError(404, 10008, "Unknown Message")
    return asked.original


def follow_up(record: Record, asked: Interaction, body: JSON, files: Files) -> Message:
    """One more message; after a deferral the first is the answer that was deferred."""
    if asked.original is not None and asked.original.flags & LOADING and not asked.original.deleted:
        return messages.edit(record, asked.original, body, files)
    guild = asked.channel.guild
    if guild is not None and not guild.installed and len(asked.followups) >= WITHOUT_BOT:
        raise ApiError(400, 40094, "This interaction has reached the maximum number of follow-up messages")
    message = messages.create(record, asked.channel, record.bot, body, files, interaction=asked)
    message.reply_to = asked.original
    asked.followups.append(message)
    record.changed()
    return message
