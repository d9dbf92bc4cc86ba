"""The original: the message that answers an interaction, changed by the interaction's token while that is good."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import aiohttp
import discord

from bot.platforms.discord.front import Front, Interaction
from bot.platforms.discord.layout.listing import sentence
from bot.store import interactions

log = logging.getLogger(__name__)

TOKEN_MS = 15 * 60_000
EARLY_MS = 5_000  # what we take a token's end to be earlier, so that a request that has begun can end
ONE_TRY_S = 60.0  # discord.py waits and repeats on its own for up to half of that
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0  # between tries
ACKNOWLEDGE_S = 4.0  # after three, Discord takes it no more
PASSING = (OSError, aiohttp.ClientError, TimeoutError, discord.DiscordServerError, discord.RateLimited)

CHANGED = (discord.InteractionResponseType.deferred_message_update, discord.InteractionResponseType.message_update)

View = Callable[[], discord.ui.LayoutView]


class Gone(Exception):
    """The token has expired, nobody was told in time that an answer comes, or the message was deleted."""


async def acknowledge(interaction: Interaction) -> None:
    """Tells Discord that an answer comes. It has three seconds; whether it arrived shows when the answer is there."""
    if interaction.response.is_done():
        return
    try:
        async with asyncio.timeout(ACKNOWLEDGE_S):
            while True:
                try:
                    await interaction.response.defer(thinking=True)
                    return
                except (OSError, aiohttp.ClientError) as error:
                    log.info("interaction %s: %s, it is acknowledged again", interaction.id, type(error).__name__)
                    await asyncio.sleep(0.1)
    except (discord.HTTPException, TimeoutError) as error:  # 40060 if a try whose answer was lost had arrived
        log.info("interaction %s could not be acknowledged: %s", interaction.id, _name(error))


async def say(interaction: Interaction, text: str, ephemeral: bool = True) -> None:
    """One plain sentence, as the answer or, where there is one already or it is awaited, in its place."""
    view = sentence(text)
    for left in (1, 0):
        try:
            if interaction.response.type in CHANGED:  # the message is not ours to answer in
                await interaction.followup.send(view=view, ephemeral=ephemeral)
            elif interaction.response.is_done():
                await interaction.edit_original_response(view=view)
            else:
                await interaction.response.send_message(view=view, ephemeral=ephemeral)
            return
        except (OSError, aiohttp.ClientError, discord.HTTPException) as error:
            if isinstance(error, discord.HTTPException) or not left:
                log.info("interaction %s could not be answered: %s", interaction.id, _name(error))
                return


async def change(front: Front, row: interactions.Interaction, view: View) -> str:
    """Puts this in the message that answers, however often, and returns the message's id. Raises Gone, PASSING or
    another error of Discord."""
    token = None if row.token is None or front.now() >= row.token_until else front.seal.open(row.token, row.id)
    if token is None:
        raise Gone("the token has expired")
    client = front.client()
    if client is None or client.application_id is None:
        raise ConnectionError("there is no connection to Discord")
    webhook = discord.Webhook.partial(client.application_id, token, client=client)
    try:
        async with asyncio.timeout(ONE_TRY_S):
            message = await webhook.edit_message(
                cast(int, "@original"), view=view(), allowed_mentions=discord.AllowedMentions.none()
            )
    except discord.HTTPException as error:
        if error.status in (401, 404):
            raise Gone(_name(error)) from None
        raise
    except RuntimeError:  # aiohttp's, of a client that was closed meanwhile
        if client.is_closed():
            raise ConnectionError("the client was closed") from None
        raise
    return str(message.id)


async def settle(front: Front, row: interactions.Interaction, view: View) -> str:
    """As `change`, again and again until it is done, or Gone, which it is at the latest when the token expires."""
    wait_s = FIRST_WAIT_S
    while True:
        try:
            return await change(front, row, view)
        except PASSING as error:
            log.info("interaction %s is answered again in %.1f s: %s", row.id, wait_s, _name(error))
        except discord.HTTPException as error:
            if error.status != 429:
                raise
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _name(error: Exception) -> str:
    """Without an address, of which the token is part."""
    code: Any = f" {error.status} {error.code}" if isinstance(error, discord.HTTPException) else ""
    return f"{type(error).__name__}{code}"
