"""Post: what somebody wants said now, as one post or as a thread."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from bot.domain import SHELL, Persona, Post, SaidAlready
from bot.errors import BadPost, NothingFresh, UnknownPersona
from bot.flows.fire import Spoken
from bot.flows.quiet import raise_muted
from bot.moderation import Repeats
from bot.store import mutes, outbox, personas, recent
from bot.store.database import Database, Db

log = logging.getLogger(__name__)

MOST_PARTS = 25
MOST_ROUNDS = 5  # of writing what turned out to be said already when it was to be queued

Imitate = Callable[[Persona, str, int, str | None, Repeats, str], Awaitable[Spoken]]
"""(persona, prompt, seed, message, recent, place) -> Spoken that repeats nothing recent; MockingbirdError if there is
none."""


async def post(
    database: Database,
    imitate: Imitate,
    persona: str,
    prompt: str,
    parts: int,
    platform: str,
    account: str,
    key: str,
    now: int,
    max_late_ms: int,
    draft: bool = False,
    person: str = "",
    place: str = SHELL,
) -> list[Post]:
    """Writes a post, or a thread of several parts each of which answers the one before, and queues all of it or, as
    drafts, keeps it until it is approved. What was asked for with the same `key` before is returned as it stands.

    The persona's name is one by which it is found from everywhere; `place` is for whom it is said.
    Raises BadPost, Muted, NothingFresh, and what `imitate` raises; then nothing is queued.
    """
    if not 1 <= parts <= MOST_PARTS:
        raise BadPost(reason=f"A thread has 1 to {MOST_PARTS} parts, not {parts}.")

    def begin(db: Db) -> tuple[list[Post], Persona, dict[str, str]]:
        speaker = personas.speaking(db, persona)
        standing = outbox.of_causes(
            db, platform, account, [cause_of(key, number) for number in range(1, MOST_PARTS + 1)]
        )
        muted_until = mutes.until(db, platform, account, speaker.name, now, place)
        if not standing and muted_until is not None:
            raise_muted(speaker.slug, muted_until)
        return standing, speaker, {} if standing else recent.texts(db, platform, account, now)

    standing, speaker, texts = await database.run(begin)
    if standing:
        return standing
    spoken: list[Spoken] = []
    for round_ in range(MOST_ROUNDS):
        kept = {f"part {number}": part.text for number, part in enumerate(spoken)}
        repeats = await asyncio.to_thread(Repeats, {**texts, **kept})
        while len(spoken) < parts:
            number = len(spoken)
            message = spoken[-1].text if spoken else None
            seed = seed_of(key, number + 1, round_)
            made = await imitate(speaker, "" if spoken else prompt, seed, message, repeats, place)
            explained = {
                **made.cause,
                "post": key,
                "part": number + 1,
                "parts": parts,
                "persona": speaker.name,
                "prompt": "" if spoken else prompt,
                "message": message,
                "seed": seed,
                "asked_by": person,
            }
            spoken.append(replace(made, cause=explained))
            repeats.add(f"part {number}", made.text)
        try:
            return await database.run(
                partial(_queue, tuple(spoken), speaker, platform, account, key, now, max_late_ms, draft, place)
            )
        except SaidAlready as error:
            same = outbox.hash_of(str(error))
            first = next(number for number, part in enumerate(spoken) if outbox.hash_of(part.text) == same)
            log.info("part %s of %s is written anew: it was said already", first + 1, key)
            del spoken[first:]  # what followed it answered it
            texts = await database.run(lambda db: recent.texts(db, platform, account, now))
    raise NothingFresh(persona=speaker.slug, account=f"{platform}/{account}")


def cause_of(key: str, part: int) -> str:
    """What makes a part of such a thread unique on its account."""
    return f"now:{key}:{part}"


def seed_of(key: str, part: int, round_: int) -> int:
    """31 bits that are the same whenever this part is written, so that a bot that was killed writes it again."""
    return int.from_bytes(hashlib.sha256(f"{key}:{part}:{round_}".encode()).digest()[:4], "big") >> 1


def _queue(
    thread: tuple[Spoken, ...],
    speaker: Persona,
    platform: str,
    account: str,
    key: str,
    now: int,
    max_late_ms: int,
    draft: bool,
    place: str,
    db: Db,
) -> list[Post]:
    """All parts or none; if the same was asked for at the same time, what it queued. Raises UnknownPersona."""
    causes = [cause_of(key, number) for number in range(1, MOST_PARTS + 1)]
    if standing := outbox.of_causes(db, platform, account, causes):
        return standing
    if personas.get(db, speaker.id) is None:  # it was forgotten meanwhile
        raise UnknownPersona(persona=speaker.slug, nearest="", handles=" ".join(speaker.handles))
    posts: list[Post] = []
    for cause_key, part in zip(causes, thread, strict=False):
        added = outbox.add(
            db,
            platform,
            account,
            cause_key,
            part.cause,
            part.text,
            due_at=now,
            expires_at=now + max_late_ms,
            now=now,
            draft=draft,
            parent_id=posts[-1].id if posts else None,
            persona_id=speaker.id,
            alternatives=part.alternatives if draft else (),
            place=place,
        )
        posts.append(added)
    return posts
