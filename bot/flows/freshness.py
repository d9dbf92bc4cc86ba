"""Freshness: what every account has said lately, kept at hand for moderation."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field

from bot.moderation import Repeats
from bot.store import recent
from bot.store.database import Database

MOST_ACCOUNTS = 16  # a few MB each; of the others it is read anew


@dataclass
class Freshness:
    """Reads an account's recent texts each time, but takes apart only those that are new."""

    database: Database
    _kept: OrderedDict[tuple[str, str], Repeats] = field(default_factory=OrderedDict)

    async def of(self, platform: str, account: str, now: int) -> Repeats:
        """What the account has said within 30 days or may yet say, as of now."""
        texts = await self.database.run(lambda db: recent.texts(db, platform, account, now))
        kept = self._kept.get((platform, account))
        if kept is None:  # up to a thousand texts, which would be felt on the loop
            kept = await asyncio.to_thread(Repeats, texts)
        else:
            kept.keep(texts)
        self._kept[platform, account] = kept
        self._kept.move_to_end((platform, account))
        if len(self._kept) > MOST_ACCOUNTS:
            self._kept.popitem(last=False)
        return kept
