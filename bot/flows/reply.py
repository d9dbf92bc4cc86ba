"""Reply: what people said to us, and is to be answered, is answered: once, by a post in the outbox."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import partial

from bot.config import ReplySettings
from bot.domain import Mention, MentionState, Persona, SaidAlready
from bot.errors import MessageRefused, MockingbirdError, Muted, NothingAcceptable, NothingFresh
from bot.flows.fire import Spoken
from bot.flows.listen import Hint, give, is_muted, latest_ms, settled_for
from bot.flows.post import Imitate
from bot.moderation import Repeats
from bot.store import mentions, opt_outs, outbox, personas
from bot.store.database import Database, Db
from training.clean import mended

log = logging.getLogger(__name__)

AT_ONCE = 4  # each is several candidates, and others wait for the worker too
MOST_LOOKED_AT = 1_000
MOST_TEXTS = 5  # that are made for one answer because the account has said the one before
AGAIN_MS = 5_000  # until what could not be answered just now is tried again
LONGEST_REST_S = 30.0
HINT_MS = 10 * 60_000  # a person is told so often on one account that an answer failed

REFUSED = "I do not answer what holds a blocked phrase, a mail address or a telephone number."
SPEECHLESS = "{persona} has no answer to that: say it in other words."
BROKEN = "{persona} cannot answer at the moment: whoever runs the bot finds the reason in its log."

Recent = Callable[[str, str, int], Awaitable[Repeats]]
"""(platform, account, now) -> what the account said lately."""
Now = Callable[[], int]


def take(
    db: Db, now: int, latest: int, answering: Collection[Mention], not_before: Mapping[str, int]
) -> tuple[list[tuple[Mention, Persona]], int | None]:
    """Who is to be answered now, the oldest first, and when there may be another turn; what nobody can answer any more,
    or not in time, is ignored. On an account that has a cooldown one is answered at a time."""
    mentions.expire(db, now - latest, now)
    busy = {account_of(mention) for mention in answering}
    mine = {key_of(mention) for mention in answering}
    cooling: dict[tuple[str, str], tuple[int, int]] = {}  # how long an account's cooldown is, and when it ends
    taken: list[tuple[Mention, Persona]] = []
    next_at: list[int] = []
    for mention in mentions.waiting(db, MOST_LOOKED_AT):
        if len(mine) >= AT_ONCE:
            break
        account = account_of(mention)
        if account not in cooling:
            cooldown = settled_for(db, mention).cooldown_s * 1000
            cooling[account] = cooldown, (mentions.last_answered(db, *account) or 0) + cooldown
        cooldown, cool_at = cooling[account]
        ready = max(cool_at, not_before.get(key_of(mention), 0))
        if key_of(mention) in mine:
            continue
        if ready > now:
            next_at.append(ready)
        elif cooldown == 0 or account not in busy:
            persona = None if mention.persona_id is None else personas.get(db, mention.persona_id)
            if persona is None:
                mentions.settle(db, mention, MentionState.IGNORED, now, "its persona is gone")
                continue
            busy.add(account)
            mine.add(key_of(mention))
            taken.append((mention, persona))
    return taken, min(next_at, default=None)


async def keep_replying(
    database: Database,
    speak: Imitate,
    recent: Recent,
    now: Now,
    settings: Callable[[], ReplySettings],
    wake: asyncio.Event,
    on_queued: Callable[[], None] = lambda: None,
) -> None:
    """Answers until cancelled: whenever `wake` is set, or something that had to wait may be answered. Nobody else may
    do so meanwhile. Stopped before an answer is queued, the mention stays open: nothing was said yet."""
    answering: dict[asyncio.Task[None], Mention] = {}
    not_before: dict[str, int] = {}  # what could not be answered just now

    async def one(mention: Mention, persona: Persona) -> None:
        try:
            if await answer(database, speak, recent, mention, persona, now, latest_ms(settings())):
                on_queued()
        except MockingbirdError as error:
            not_before[key_of(mention)] = now() + AGAIN_MS
            log.warning("the answer to %s waits: %s", mention.remote_id, error)
        except Exception:
            not_before[key_of(mention)] = now() + AGAIN_MS
            log.exception("the answer to %s could not be queued; it is tried again", mention.remote_id)

    def ended(task: asyncio.Task[None]) -> None:
        del answering[task]
        wake.set()

    try:
        while True:
            wake.clear()
            rest = LONGEST_REST_S
            try:
                moment = now()
                not_before = {key: at for key, at in not_before.items() if at > moment}
                waits, under_way, latest = not_before.copy(), [*answering.values()], latest_ms(settings())
                turn = partial(take, now=moment, latest=latest, answering=under_way, not_before=waits)
                taken, next_at = await database.run(turn)
                for mention, persona in taken:
                    task = asyncio.create_task(one(mention, persona))
                    answering[task] = mention
                    task.add_done_callback(ended)
                if next_at is not None:
                    rest = min(max((next_at - now()) / 1000, 0.01), LONGEST_REST_S)
            except MockingbirdError as error:
                log.error("replies: %s", error)
            except Exception:
                log.exception("replying has failed; it goes on")
            try:
                async with asyncio.timeout(rest):
                    await wake.wait()
            except TimeoutError:
                pass
    finally:
        for task in answering:
            task.cancel()
        if answering:
            await asyncio.wait([*answering])


async def answer(
    database: Database, speak: Imitate, recent: Recent, mention: Mention, persona: Persona, now: Now, latest: int
) -> bool:
    """Makes one answer, or finds that there is none; whether something was queued. Raises what may pass."""
    message = mention.text if mended(mention.text) else None  # to a mere mention something is said all the same
    hint = SPEECHLESS
    try:
        for text in range(MOST_TEXTS):
            seed = seed_of(mention, text)
            repeats = await recent(mention.platform, mention.account, now())
            spoken = await speak(persona, "", seed, message, repeats, mention.place)
            try:
                return await database.run(partial(_say, mention, persona, spoken, seed, now(), latest))
            except SaidAlready:
                continue
        raise NothingFresh(persona=persona.slug, account=f"{mention.platform}/{mention.account}")
    except Muted as error:
        reason, hint = str(error), ""
    except MessageRefused as error:
        reason, hint = str(error), REFUSED
    except (NothingAcceptable, NothingFresh) as error:
        reason = str(error)
    except MockingbirdError as error:
        if error.passing:
            raise
        log.error("%s could not be answered: %s", mention.remote_id, error)
        reason, hint = str(error), BROKEN
    except Exception as error:
        log.exception("%s could not be answered", mention.remote_id)
        reason, hint = f"an unexpected error ({type(error).__name__})", BROKEN
    return await database.run(partial(_ignore, mention, reason, hint.format(persona=persona.slug), now(), latest))


def _say(mention: Mention, persona: Persona, spoken: Spoken, seed: int, now: int, latest: int, db: Db) -> bool:
    """The answer and the end of its mention are written together or not at all. Raises SaidAlready."""
    late = now >= mention.at + latest
    opted_out = opt_outs.holds(db, opt_outs.person(mention.person))
    if late or opted_out or is_muted(db, mention, persona, now):
        reason = "it was too late" if late else "the person wants no answers" if opted_out else "muted"
        mentions.settle(db, mention, MentionState.IGNORED, now, reason)
        return False
    if not mentions.settle(db, mention, MentionState.ANSWERED, now):
        return False
    said_to = {} if mention.unasked else {"in_reply_to": mention.remote_id, "person": mention.person}
    outbox.add(
        db,
        mention.platform,
        mention.account,
        f"mention:{mention.remote_id}",
        {**spoken.cause, "persona": persona.name, "prompt": "", "seed": seed, **said_to},
        spoken.text,
        due_at=now,
        expires_at=mention.at + latest,
        now=now,
        kind="post" if mention.unasked else "reply",
        persona_id=persona.id,
        place=mention.place,
    )
    return True


def _ignore(mention: Mention, reason: str, hint: str, now: int, latest: int, db: Db) -> bool:
    """There is no answer; whoever waits is told so, unless they were told lately."""
    settled = mentions.settle(db, mention, MentionState.IGNORED, now, reason)
    told = settled and bool(hint) and not mention.unasked and not opt_outs.holds(db, opt_outs.person(mention.person))
    if told:
        give(db, mention, Hint(f"sorry:{mention.person}:{now // HINT_MS}", hint), now, latest)
    return told


def seed_of(mention: Mention, text: int = 0) -> int:
    """31 bits that are the same whenever this mention is answered; others for each further text."""
    key = f"{mention.platform}:{mention.remote_id}:{text}"
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") >> 1


def key_of(mention: Mention) -> str:
    return f"{mention.platform}/{mention.remote_id}"


def account_of(mention: Mention) -> tuple[str, str]:
    return mention.platform, mention.account
