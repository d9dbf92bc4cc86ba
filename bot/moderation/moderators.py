"""Moderators: the one of each place, which refuses what the people of that place have banned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bot.domain import SHELL
from bot.moderation.judge import Moderator


class Moderators:
    """What is banned in the shell is banned everywhere. A place's moderator is the same object until something that it
    judges by has changed."""

    def __init__(self, plain: Moderator, banned: Mapping[str, Iterable[str]] | None = None) -> None:
        self.plain = plain
        self._banned = {place: tuple(phrases) for place, phrases in (banned or {}).items()}
        self._made: dict[str, Moderator] = {}

    def of(self, place: str = SHELL) -> Moderator:
        own = self._banned.get(place)
        if place != SHELL and not own:
            return self.of(SHELL)
        if place not in self._made:
            everywhere = () if place == SHELL else self._banned.get(SHELL, ())
            self._made[place] = self.plain.banning([*everywhere, *(own or ())])
        return self._made[place]

    def banned(self, place: str) -> tuple[str, ...]:
        return self._banned.get(place, ())

    def ban(self, place: str, phrases: Iterable[str]) -> None:
        """These are the phrases of a place from now on."""
        self._banned[place] = tuple(phrases)
        if place == SHELL:
            self._made.clear()
        else:
            self._made.pop(place, None)

    def settle(self, plain: Moderator) -> None:
        """The settings have changed."""
        self.plain = plain
        self._made.clear()
