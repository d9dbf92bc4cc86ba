"""Settings: what the people of a place settle for it."""

from __future__ import annotations

from discord import app_commands

from bot.platforms.discord.access.channels import Channel, account_of, silenced
from bot.platforms.discord.front import PLATFORM, Front, Interaction
from bot.platforms.discord.kinds import Command, for_moderators
from bot.platforms.discord.layout.parts import place, view
from bot.platforms.discord.sentences import show
from bot.web.operations import places

WHO = "-# Who may use which command: Server Settings, Integrations."


def settings(front: Front) -> Command:
    @app_commands.command(name="settings", description="Where drafts and notices are shown, and how answers look here")
    @app_commands.describe(
        notices="The channel in which drafts and notices are shown",
        webhooks="Whether answers may appear under the persona's own name, marked as AI",
    )
    async def command(interaction: Interaction, notices: Channel | None = None, webhooks: bool | None = None) -> None:
        account = None if notices is None else account_of(interaction, notices)
        answer = await front.ask(interaction, places.settle, places.Settle(notices=account, webhooks=webhooks))
        shown = place(PLATFORM, answer["notices"]) if answer["notices"] else "nowhere yet"
        if answer["notices"] and (why := await silenced(interaction, str(answer["notices"]))):
            shown = f"{shown}\n{why} Until then whoever runs the bot gets them."
        named = "yes" if answer["webhooks"] else "no"
        lines = f"Drafts and notices are shown in: {shown}\nAnswers under the persona's own name: {named}"
        await show(interaction, view("**Settings**", lines, *([] if interaction.guild_id is None else [WHO])))

    return for_moderators(command)
