"""Listen: what people say to us is answered or not, and by whom; and after which messages we speak unasked."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.config import ReplySettings
from bot.domain import SHELL, Mention, Persona
from bot.errors import MockingbirdError
from bot.flows.imitate import storable
from bot.store import listening, mentions, mutes, opt_outs, outbox, personas
from bot.store.database import Database, Db
from bot.store.listening import Listening
from bot.store.requests import in_words

log = logging.getLogger(__name__)

AGAIN_S = 5.0
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MOST_NAMED = 5  # personas, in a hint

NOBODY_YET = "Nobody can be imitated here yet: /train makes a persona, and then it answers."
CHOOSE = "I can be several people ({personas}): whoever manages this server or chat chooses one with /reply set."
OFTEN = "I answer one person at most {limit} times in {window}{where}: the next time is possible in {wait}."
COOLDOWN = "I answer only once in {cooldown} here: try again in {wait}."

Now = Callable[[], int]
Draw = Callable[[], float]  # from 0 to 1


@dataclass(frozen=True)
class Hint:
    """What is said to somebody who gets no answer; on one account once per key."""

    key: str
    text: str


@dataclass(frozen=True)
class Silence:
    """Why something is not answered."""

    reason: str
    hint: Hint | None = None


def heard(db: Db, mention: Mention, settings: ReplySettings, now: int, draw: Draw) -> Persona | Silence | None:
    """Keeps what is to be answered, and who answers; or why it is not answered. None for what was heard before; and of
    who wants to have nothing to do with us, nothing is kept."""
    if opt_outs.holds(db, opt_outs.person(mention.person)) or mentions.is_known(
        db, mention.platform, mention.remote_id
    ):
        return None
    found = who_answers(db, mention, settings, now, draw)
    if isinstance(found, Persona):
        mentions.add(db, replace(mention, text=storable(mention.text)), found.id)
        return found
    mentions.add(db, mention, None, found.reason, now)
    if found.hint is not None:
        give(db, mention, found.hint, now, latest_ms(settings))
    return found


def give(db: Db, mention: Mention, hint: Hint, now: int, latest: int) -> None:
    """Queues a hint, once; no persona says it, and it is too late after so many ms."""
    cause = {"in_reply_to": mention.remote_id, "person": mention.person}
    place = (mention.platform, mention.account)
    key = f"hint:{hint.key}"
    outbox.add(db, *place, key, cause, hint.text, now, now + latest, now, kind="notice", place=mention.place)


def latest_ms(settings: ReplySettings) -> int:
    """How late an answer may be."""
    return settings.max_late_minutes * 60_000


# --- Who answers ------------------------------------------------------------------------------------------------------


def who_answers(db: Db, mention: Mention, settings: ReplySettings, now: int, draw: Draw) -> Persona | Silence:
    """The persona that answers; whoever clearly waits for an answer that does not come is told why."""
    settled = settled_for(db, mention)
    said = None
    if mention.reply_to is not None:
        said = mentions.said_by(db, mention.platform, mention.account, mention.reply_to)
    if now - mention.at >= latest_ms(settings):
        return Silence("it was too late")
    if settled.chance <= 0:
        return Silence("nobody is to answer there")
    if is_muted(db, mention, None, now):
        return Silence("muted")
    if said is not None and said[0] is None and not mention.by_name:
        return Silence("it answers what no persona said")
    if settled.chance < 1 and draw() >= settled.chance:
        return Silence("by chance")
    persona = _persona(db, mention, settled, said)
    if isinstance(persona, Silence):
        return persona
    if is_muted(db, mention, persona, now):
        return Silence("muted")
    return _too_often(db, mention, settings, now) or _cooling(db, mention, settled, settings, now) or persona


def settled_for(db: Db, mention: Mention) -> Listening:
    """What is settled for its account, by people or by default."""
    settled = listening.of(db, mention.platform, mention.account, mention.within)
    return settled or listening.default(mention.platform, mention.account, mention.place)


def is_muted(db: Db, mention: Mention, persona: Persona | None, now: int) -> bool:
    """Whether nobody, or not this persona, may speak on its account."""
    name = None if persona is None else persona.name
    accounts = filter(None, (mention.account, mention.within))
    return any(mutes.until(db, mention.platform, one, name, now, mention.place) is not None for one in accounts)


def _persona(db: Db, mention: Mention, settled: Listening, said: tuple[int | None, str] | None) -> Persona | Silence:
    """Who said what it answers; else who was chosen for the account; else the only one that there is."""
    for persona_id, place in (said or (None, SHELL), (settled.persona_id, settled.place)):
        persona = None if persona_id is None else personas.get(db, persona_id)
        if persona is not None and _may_speak(persona, mention, place):
            return persona
    seen = [one for one in personas.seen_from(db, mention.place) if one.run_id is not None]
    able = [one for one in seen if one.place == mention.place] or seen
    if len(able) == 1:
        return able[0]
    names = ", ".join(one.slug for one in able[:MOST_NAMED]) + (", ..." if len(able) > MOST_NAMED else "")
    text = CHOOSE.format(personas=names) if able else NOBODY_YET
    return Silence("nobody was chosen to answer", Hint(f"choose:{_hour(mention)}", text))


def _may_speak(persona: Persona, mention: Mention, place: str) -> bool:
    """Who was chosen, or spoke, by the wish of these people, or of whoever runs the bot."""
    may = persona.may_speak_for(mention.place) or place == SHELL
    return may and persona.run_id is not None


def _too_often(db: Db, mention: Mention, settings: ReplySettings, now: int) -> Silence | None:
    for limit, window_ms, account, where in (
        (settings.per_person, settings.minutes * 60_000, mention.account, " in one channel"),
        (settings.per_person_per_day, DAY_MS, None, ""),
    ):
        taken = mentions.taken_since(db, mention.platform, mention.person, now - window_ms, account)
        if limit and len(taken) >= limit:
            wait = in_words(taken[-limit] + window_ms - now)
            text = OFTEN.format(limit=limit, window=in_words(window_ms), where=where, wait=wait)
            return Silence("often", Hint(f"often:{mention.person}:{now // window_ms}", text))
    return None


def _cooling(db: Db, mention: Mention, settled: Listening, settings: ReplySettings, now: int) -> Silence | None:
    """If so many wait for their turn, or the cooldown is so long, that the answer would be too late."""
    cooldown = settled.cooldown_s * 1000
    last = mentions.last_answered(db, mention.platform, mention.account)
    ready = now if last is None else max(now, last + cooldown)
    ready += mentions.open_on(db, mention.platform, mention.account) * cooldown
    if ready < mention.at + latest_ms(settings):
        return None
    text = COOLDOWN.format(cooldown=in_words(cooldown), wait=in_words(ready - now))
    return Silence("cooldown", Hint(f"cooldown:{last}", text))


def _hour(mention: Mention) -> int:
    return mention.at // HOUR_MS


# --- Speaking unasked -------------------------------------------------------------------------------------------------


class Listener:
    """Keeps at hand where somebody may speak unasked, and counts messages there, so that all others cost nothing."""

    def __init__(
        self,
        database: Database,
        settings: Callable[[], ReplySettings],
        now: Now,
        on_queued: Callable[[], None],
        draw: Draw = random.random,
    ) -> None:
        self.mentioned = asyncio.Event()  # something is to be answered
        self._on_queued = on_queued
        self._database, self._settings, self._now, self._draw = database, settings, now, draw
        self._unasked: dict[tuple[str, str], Listening] = {}
        self._passed: Counter[tuple[str, str]] = Counter()

    async def begin(self) -> None:
        """Before anything is heard."""
        rows = await self._database.run(listening.every)
        self._unasked = {(row.platform, row.account): row for row in rows if row.unasked}

    async def settle(self, settled: Listening) -> None:
        """Who answers on an account from now on."""
        await self._database.run(lambda db: listening.settle(db, settled))
        await self.begin()

    async def heard(self, mention: Mention) -> bool:
        """Somebody spoke to us; whether that is to be answered. While the disk is full, or another program holds the
        database, it waits until it could be written down, or would be too late."""
        settings, draw = self._settings(), self._draw
        while True:
            try:
                found = await self._database.run(lambda db: heard(db, mention, settings, self._now(), draw))
                break
            except MockingbirdError as error:
                if not error.passing or self._now() >= mention.at + latest_ms(settings):
                    raise
                log.warning("what was said to us (%s) waits: %s", mention.remote_id, error)
                await asyncio.sleep(AGAIN_S)
        if isinstance(found, Persona):
            self.mentioned.set()
        elif found is not None and found.hint is not None:
            self._on_queued()
        return isinstance(found, Persona)

    async def passed(self, mention: Mention) -> bool:
        """Somebody spoke, not to us; whether we speak after it. What was said is not looked at."""
        accounts = ((mention.platform, name) for name in (mention.account, mention.within) if name is not None)
        settled = next((self._unasked[account] for account in accounts if account in self._unasked), None)
        if settled is None:
            return False
        counted = (mention.platform, mention.account)
        self._passed[counted] += 1
        enough = 0 < settled.unasked_every <= self._passed[counted]
        if not enough and self._draw() >= settled.unasked_chance:
            return False
        del self._passed[counted]
        now = self._now()
        taken = await self._database.run(lambda db: may_speak_unasked(db, mention, now))
        if taken:
            self.mentioned.set()
        return taken


def may_speak_unasked(db: Db, mention: Mention, now: int) -> bool:
    """Whether somebody is to speak after this message, which is kept then: its id, and nobody's name."""
    settled = settled_for(db, mention)
    last = mentions.last_answered(db, mention.platform, mention.account)
    cooling = last is not None and now < last + settled.cooldown_s * 1000
    persona = None if settled.persona_id is None else personas.get(db, settled.persona_id)
    if (
        persona is None
        or not settled.unasked
        or not _may_speak(persona, mention, settled.place)
        or cooling
        or opt_outs.holds(db, opt_outs.person(mention.person))
        or is_muted(db, mention, persona, now)
        or mentions.open_on(db, mention.platform, mention.account)
    ):
        return False
    return mentions.add(db, replace(mention, person="", text="", reply_to=None, unasked=True), persona.id)
