"""Moderation: judges a generated text or a prompt and gives every reason to refuse it."""

from bot.moderation.copies import ShingleIndex
from bot.moderation.judge import Moderator
from bot.moderation.moderators import Moderators
from bot.moderation.repeats import Repeats

__all__ = ["Moderator", "Moderators", "Repeats", "ShingleIndex"]
