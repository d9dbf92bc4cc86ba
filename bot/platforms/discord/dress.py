"""Dress: how each post of the outbox looks on Discord."""

from __future__ import annotations

import discord

from bot.domain import Post
from bot.platforms.discord import review
from bot.platforms.discord.answers import aloud
from bot.platforms.discord.front import Front
from bot.platforms.discord.layout.parts import speaker, view
from bot.platforms.discord.texts import said


async def dressed(front: Front, post: Post) -> discord.ui.LayoutView | None:
    """Late answers and notices with their buttons; what a persona says is marked, so that nobody takes it for the
    person's own words. None for plain text."""
    laid_out = await aloud.dressed(front, post) or await review.dressed(front, post)
    if laid_out is not None or "persona" not in post.cause:
        return laid_out
    slug = str(post.cause["persona"]).rpartition("/")[2]
    return view(speaker(slug), said(post.text, front.app.config.moderation.allow_links))
