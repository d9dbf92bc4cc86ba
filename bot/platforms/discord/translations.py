"""Translations: the names and descriptions of commands in other languages; one table for each."""

from __future__ import annotations

from collections.abc import Mapping

import discord
from discord import app_commands

from bot.platforms.discord.german import GERMAN

TABLES: Mapping[discord.Locale, Mapping[str, str]] = {discord.Locale.german: GERMAN}
"""By the English of it; what a table lacks stays English."""


class Translations(app_commands.Translator):
    async def translate(
        self, string: app_commands.locale_str, locale: discord.Locale, context: app_commands.TranslationContextTypes
    ) -> str | None:
        return TABLES.get(locale, {}).get(string.message)
