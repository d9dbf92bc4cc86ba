"""Every command, option and choice has its German, valid as Discord wants names; every command is documented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import discord
import pytest
from discord import app_commands

from bot.app import App
from bot.config import Config
from bot.platforms.discord.commands.tree import install
from bot.platforms.discord.front import Front
from bot.platforms.discord.german import GERMAN
from bot.platforms.discord.seal import Seal
from bot.platforms.discord.translations import Translations

pytestmark = pytest.mark.discord
DOCUMENT = Path(__file__).parents[3] / "docs" / "discord.md"
NAME = re.compile(r"^[-_'\w]{1,32}$")


@pytest.fixture
async def payloads(tmp_path: Path) -> list[dict[str, Any]]:
    """The commands as Discord is told of them."""
    client = discord.Client(intents=discord.Intents.none())
    tree = app_commands.CommandTree(client)
    async with App(Config(), tmp_path, {}) as app:
        install(Front(app, lambda: None, Seal(bytes(32))), tree)
        await tree.set_translator(Translations())
        return [await command.get_translated_payload(tree, Translations()) for command in tree.get_commands()]


def walk(payload: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every command, option and choice, by its path."""
    path = f"{path} {payload['name']}".strip()
    yield path, payload
    for inner in (*payload.get("options", ()), *payload.get("choices", ())):
        yield from walk(inner, path)


def test_everything_has_its_german(payloads: list[dict[str, Any]]) -> None:
    every = [found for payload in payloads for found in walk(payload)]
    assert len(every) > 60
    assert [path for path, found in every if "de" not in (found.get("name_localizations") or {})] == []
    described = [(path, found) for path, found in every if found.get("description")]
    assert [path for path, found in described if "de" not in (found.get("description_localizations") or {})] == []


def test_names_and_descriptions_are_valid_in_every_language(payloads: list[dict[str, Any]]) -> None:
    for path, found in (found for payload in payloads for found in walk(payload)):
        names = [found["name"], *(found.get("name_localizations") or {}).values()]
        described = [found.get("description", "x"), *(found.get("description_localizations") or {}).values()]
        assert all(1 <= len(text) <= 100 for text in described), path
        if "value" in found:  # a choice
            assert all(1 <= len(name) <= 100 for name in names), path
        elif found.get("type") != 3 or "description" in found:  # not an entry of a menu
            assert all(NAME.fullmatch(name) and name == name.lower() for name in names), path


def test_names_stay_apart_in_every_language(payloads: list[dict[str, Any]]) -> None:
    def apart(found: list[dict[str, Any]]) -> None:
        names = [(each.get("type"), (each.get("name_localizations") or {}).get("de", each["name"])) for each in found]
        assert len(set(names)) == len(names)
        for each in found:
            apart([*each.get("options", ()), *each.get("choices", ())])

    apart(payloads)


def test_nothing_is_translated_that_is_not_there(payloads: list[dict[str, Any]]) -> None:
    every = [found for payload in payloads for _, found in walk(payload)]
    assert set(GERMAN) <= {found["name"] for found in every} | {found.get("description") for found in every}


def test_every_command_is_documented_and_asks_for_what_the_page_says(payloads: list[dict[str, Any]]) -> None:
    rows = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| ")]
    for payload in payloads:
        name = payload["name"] if payload.get("type") == 3 else f"/{payload['name']}"
        (row,) = (row for row in rows if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", row.split("|")[1]))
        subcommands = [option["name"] for option in payload.get("options", ()) if option["type"] in (1, 2)]
        assert name == "/ban-phrase" or [each for each in subcommands if each not in row] == [], name
        manages = payload.get("default_member_permissions") == 1 << 5
        assert (row.split("|")[3].strip() == "Manage Server") is manages, name
