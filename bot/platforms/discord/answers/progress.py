"""Progress: whoever waits sees where they stand and how far it is, in the message that will be the answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import discord

from bot.flows.waiters import Hear
from bot.platforms.discord.answers.original import PASSING, Gone, change
from bot.platforms.discord.front import Front
from bot.platforms.discord.layout.listing import sentence
from bot.platforms.discord.layout.training import Queued, Training, queued, training
from bot.store import interactions

log = logging.getLogger(__name__)

FIRST_S = 1.0  # most answers are there by then
EVERY_S = 5.0  # between two changes of a message
LAST_MS = 20_000  # before the token expires, they are told that the answer comes as a message of its own
MOST_LOSSES = 8  # that are shown
PATIENCE_S = 3.0  # for a change that is under way when the answer is there
LONG = (
    "This takes longer than Discord lets me change this message. It goes on, and the answer will be a message of its "
    "own in this channel."
)


@asynccontextmanager
async def showing(front: Front, row: interactions.Interaction, persona: str) -> AsyncIterator[Hear]:
    """What is told of a request is shown until the block ends; after that nothing changes the message any more."""
    progress = Progress(front, row, persona)
    task = asyncio.create_task(progress.keep_showing())
    try:
        yield progress.hear
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S), progress.changing:
                pass
        task.cancel()
        await asyncio.wait([task])


class Progress:
    """What was told last of one request."""

    def __init__(self, front: Front, row: interactions.Interaction, persona: str) -> None:
        self._front, self._row, self._persona = front, row, persona
        self._told: dict[str, Any] = {}
        self._news = asyncio.Event()
        self._held_out: list[float] = []  # the losses on unseen tweets so far
        self._queued = False  # whether that was shown
        self.changing = asyncio.Lock()

    def hear(self, event: Mapping[str, Any]) -> None:
        if "step" in self._told and "step" not in event:  # the trainer knows better than the queue
            event = {name: told for name, told in event.items() if name != "eta_seconds"}
        self._told.update({name: told for name, told in event.items() if told is not None})
        measured = event.get("heldout_loss")
        if measured is not None and measured not in self._held_out[-1:]:
            self._held_out.append(measured)
        self._news.set()

    async def keep_showing(self) -> None:
        if self._row.kind == "train":  # it takes long enough to be cancelled from the beginning
            with contextlib.suppress(TimeoutError):  # where it stands is told in a moment
                async with asyncio.timeout(FIRST_S):
                    await self._news.wait()
            self._news.set()
        else:
            await asyncio.sleep(FIRST_S)
        try:
            while True:
                left_s = (self._row.token_until - LAST_MS - self._front.now()) / 1000
                if left_s <= 0:
                    await self._change(sentence(LONG))
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        await self._news.wait()
                        self._news.clear()
                        if (view := self._view()) is not None:
                            await self._change(view)
                            await asyncio.sleep(EVERY_S)
        except Gone:
            return
        except Exception:  # the answer matters more
            log.exception("the progress of interaction %s is shown no more", self._row.id)

    async def _change(self, view: discord.ui.LayoutView) -> None:
        async with self.changing:
            try:
                await change(self._front, self._row, lambda: view)
            except PASSING as error:
                log.info("progress of interaction %s is not shown: %s", self._row.id, type(error).__name__)

    def _view(self) -> discord.ui.LayoutView | None:
        told, id = self._told, self._row.id
        if "step" in told:
            held_out = self._held_out[-1] if self._held_out else None
            left_s = told.get("eta_seconds") or None  # 0 until the second step that is told of: nobody knows yet
            measured = (told["step"], told["steps"], told.get("loss"), held_out, left_s)
            made = training(Training(id, self._persona, *measured))
            if len(self._held_out) > 1:
                falling = " → ".join(f"{loss:.2f}" for loss in self._held_out[-MOST_LOSSES:])
                made.add_item(
                    discord.ui.TextDisplay(f"-# How well it foresees unseen tweets (less is better): {falling}")
                )
            return made
        if told.get("position"):
            self._queued = True
            what = "The training of" if self._row.kind == "train" else "The imitation of"
            return queued(Queued(id, what, self._persona, told["position"], told.get("eta_seconds")))
        if self._row.kind == "train":
            return queued(Queued(id, "The training of", self._persona, 0))
        return sentence("It is your turn: the answer comes in a moment.") if self._queued else None
