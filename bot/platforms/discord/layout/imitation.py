"""An imitation: one to five texts of a persona, and what may be done with each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import discord

from bot.platforms.discord.layout.parts import BLUE, TEXT, Button, Part, button, speaker, view
from bot.platforms.discord.texts import quoted, said

MOST_TEXTS = 5
AROUND = 600  # characters of ours at most, beside the texts


@dataclass(frozen=True)
class Imitation:
    """`id` names the answer in which the texts are kept, `message` is what they reply to; `elsewhere` says that
    another message shows them."""

    id: str
    persona: str
    texts: tuple[str, ...]
    message: str = ""
    allow_links: bool = False
    elsewhere: bool = False


def imitation(shown: Imitation) -> discord.ui.LayoutView:
    texts = _texts(shown)
    head = speaker(shown.persona) + (f", in reply to\n{quoted(shown.message)}" if shown.message else "")
    parts: list[Part] = [head, None]
    for index, text in enumerate(texts):
        if not shown.elsewhere:
            parts.append(text)
        elif len(texts) > 1:
            parts.append(_number(index, texts).rstrip())
        parts.append(_about_one(shown, index))
    parts.append(_about_all(shown, len(texts)))
    return view(*parts)


def texts_alone(shown: Imitation, mark: int) -> discord.ui.LayoutView:
    """The texts and who speaks, in a part with the number `mark`, outside of any frame."""
    made = discord.ui.LayoutView(timeout=None)
    for text in _texts(shown):
        made.add_item(discord.ui.TextDisplay(text))
    made.add_item(discord.ui.TextDisplay(f"-# {speaker(shown.persona)}", id=mark))
    made.stop()
    return made


def _texts(shown: Imitation) -> list[str]:
    texts = shown.texts[:MOST_TEXTS]
    each = (TEXT - AROUND) // max(1, len(texts))
    return [_number(index, texts) + said(text, shown.allow_links, each) for index, text in enumerate(texts)]


def _number(index: int, texts: Sequence[str]) -> str:
    return f"-# {index + 1} of {len(texts)}\n" if len(texts) > 1 else ""


def _about_one(shown: Imitation, index: int) -> tuple[Button, ...]:
    """One message is everybody's: who may post it is seen to when they press."""
    return (
        button("👍", "up", shown.id, index),
        button("👎", "down", shown.id, index),
        button("Reply", "reply", shown.id, index),
        button("Post…", "post", shown.id, index, BLUE),
    )


def _about_all(shown: Imitation, among: int) -> tuple[Button, ...]:
    """Of a single text it is that one which is to be longer or shorter."""
    index = 0 if among == 1 else None
    return (
        button("Again", "again", shown.id),
        button("More", "more", shown.id),
        button("Longer", "longer", shown.id, index),
        button("Shorter", "shorter", shown.id, index),
        button("Card", "card", shown.id),
    )
