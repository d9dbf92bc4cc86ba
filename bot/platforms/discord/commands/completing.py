"""Completing: what is offered while somebody types."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any
from zoneinfo import available_timezones

from discord import app_commands

from bot.errors import MockingbirdError
from bot.platforms.discord.front import Front, Interaction
from bot.platforms.discord.texts import CHOICE, label
from bot.web.operations import personas

MOST = 25
Complete = Callable[[Interaction, str], Coroutine[Any, Any, list[app_commands.Choice[str]]]]


def persona(front: Front, speaking: bool = False) -> Complete:
    """Those whom this place may use, or of these only those that can speak."""

    async def complete(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        try:
            answer = await front.ask(interaction, personas.every, personas.Every())
        except MockingbirdError:
            return []
        able = (found["slug"] for found in answer["personas"] if found["run_id"] is not None or not speaking)
        return choices(typed.strip("@ "), able)

    return complete


async def zone(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    return choices(typed.replace(" ", "_"), await asyncio.to_thread(zones))  # the first time it reads 600 files


@functools.cache
def zones() -> list[str]:
    """UTC first, then those that are cities."""
    return ["UTC", *sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))]


def choices(typed: str, names: Iterable[str]) -> list[app_commands.Choice[str]]:
    """What begins with what was typed, then what holds it."""
    wanted = typed.casefold()
    held = [name for name in names if wanted in name.casefold() and len(name) <= CHOICE]
    held.sort(key=lambda name: not name.casefold().startswith(wanted))
    return [app_commands.Choice(name=label(name, CHOICE), value=name) for name in held[:MOST]]


def numbered(typed: str, names: Mapping[int, str]) -> list[app_commands.Choice[int]]:
    """The numbers whose line ("3 · jo") holds what was typed."""
    lines = {number: f"{number} · {name}" for number, name in names.items()}
    held = [number for number, line in lines.items() if typed.casefold() in line.casefold()]
    return [app_commands.Choice(name=label(lines[number], CHOICE), value=number) for number in held[:MOST]]
