"""Given: what somebody chose from a list, or wrote into a form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.platforms.discord.front import Interaction


def chosen(interaction: Interaction) -> list[str]:
    """The values of what was chosen from a list."""
    data: Mapping[str, Any] = interaction.data or {}
    return [str(value) for value in data.get("values", ())]


def written(interaction: Interaction, field: str) -> str:
    """What was written into a field of a form."""
    open_parts: list[Any] = [interaction.data]
    while open_parts:
        part = open_parts.pop()
        if part.get("custom_id") == field and "value" in part:
            return str(part["value"])
        open_parts += part.get("components", ())
        open_parts += [part["component"]] if "component" in part else []
    return ""
