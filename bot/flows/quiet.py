"""Quiet: what nobody is to say, and who says nothing for a while."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import NoReturn

import regex

from bot import clock
from bot.domain import SHELL, Post, PostState
from bot.errors import BadMute, BadPhrase, Muted, NotBanned, NotMuted, UnknownPersona, did_you_mean
from bot.moderation.blocklist import BlockList, folded
from bot.store import accounts, mutes, outbox, personas, phrases
from bot.store.database import Database, Db

LONGEST_PHRASE = 100
LONGEST_MUTE_S = 366 * 86_400
_WORD = regex.compile(r"[\p{L}\p{N}]")
_SYLLABLES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]")  # a single one may well be a word
# Whoever bans one of these by mistake hears nothing any more.
_EVERYWHERE = """
am an and are as at be but for i if in is it me my no not of on or so that the to we you
""".split()  # noqa: SIM905


# --- Phrases ----------------------------------------------------------------------------------------------------------


async def ban(database: Database, phrase: str, now: int, place: str = SHELL) -> list[Post]:
    """From now on nobody says the phrase for this place (in the shell: for any), in whatever disguise; returns what
    waited to be said, holds it and is cancelled for it. The moderator must know of it before (`App.ban`). Raises
    BadPhrase."""
    plain = checked(phrase)
    block_list = BlockList([plain])
    reason = f'it holds "{plain}", which was banned'

    def transaction(db: Db) -> list[Post]:
        phrases.add(db, plain, now, place)
        waiting = [post for post in outbox.unsaid(db) if place in (SHELL, post.place)]
        for post in waiting:
            if post.kind != "notice" and block_list.hits(post.text):
                with contextlib.suppress(LookupError):  # it went with what it follows
                    outbox.cancel(db, post.id, reason, now)
        still = {post.id for post in outbox.unsaid(db)}
        return [replace(post, state=PostState.CANCELLED, error=reason) for post in waiting if post.id not in still]

    return await database.run(transaction)


async def unban(database: Database, phrase: str, place: str = SHELL) -> str:
    """Allows again what was banned; returns the phrase as it was held. Raises NotBanned."""
    plain = _plain(phrase)

    def transaction(db: Db) -> None:
        if not phrases.remove(db, plain, place):
            raise NotBanned(phrase=plain, nearest=did_you_mean(plain, phrases.of(db, place)))

    await database.run(transaction)
    return plain


def checked(phrase: str) -> str:
    """The phrase as it is held: in lower case, without needless blanks; BadPhrase if it would not do."""
    plain = _plain(phrase)
    if not plain:
        raise BadPhrase(reason="A phrase to ban has at least one word: this one is empty.")
    if len(plain) > LONGEST_PHRASE:
        raise BadPhrase(reason=f"A phrase to ban has at most {LONGEST_PHRASE} characters: this one has {len(plain):,}.")
    letters = _WORD.findall(plain)
    if not letters:
        raise BadPhrase(reason=f'"{plain}" holds no letter and no digit: a phrase to ban has at least one word.')
    if plain in _EVERYWHERE or (len(letters) == 1 and not _SYLLABLES.match(letters[0])):
        raise BadPhrase(reason=f'"{plain}" stands in too many texts: ban a longer phrase.')
    return plain


def _plain(phrase: str) -> str:
    storable = phrase.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return " ".join(folded(storable).split())


# --- Mutes ------------------------------------------------------------------------------------------------------------


async def mute(database: Database, scope: str, seconds: int, now: int, place: str | None = None) -> tuple[str, int]:
    """Silences `everything`, `persona:SLUG` or `account:PLATFORM/ACCOUNT` for so long, in place of an earlier mute of
    the same; returns the scope as it is held and when the mute ends. The people of a place mute only what is theirs,
    and everything means all that is said for it. Raises BadMute and UnknownPersona."""
    if not 1 <= seconds <= LONGEST_MUTE_S:
        raise BadMute(reason="A mute lasts from a second to a year: write 90s, 30m, 2h or 1d.")
    until = now + seconds * 1000

    def transaction(db: Db) -> str:
        held = _scope(db, scope, place)
        mutes.set_until(db, held, until, now, place or SHELL)
        return held

    return await database.run(transaction), until


async def unmute(database: Database, scope: str, now: int, place: str | None = None) -> str:
    """Ends a mute before its time, if it is this place's; returns the scope as it was held. Raises NotMuted, BadMute
    and UnknownPersona."""

    def transaction(db: Db) -> str:
        held = _scope(db, scope, place)
        if not mutes.lift(db, held, now, place):
            raise NotMuted(scope=held)
        return held

    return await database.run(transaction)


def check_unmuted(db: Db, persona: str, slug: str, place: str, now: int) -> None:
    """Raises Muted for a persona, by its name, that may say nothing to the people of this place, wherever it is."""
    all_until = mutes.latest(db, [mutes.EVERYTHING, mutes.of_place(place)], now)
    its_until = mutes.latest(db, [mutes.of_persona(persona)], now)
    if all_until is not None and (its_until is None or its_until <= all_until):
        raise_muted("Everything here", all_until)
    if its_until is not None:
        raise_muted(slug, its_until)


def raise_muted(who: str, until: int) -> NoReturn:
    raise Muted(who=who, until=f"{clock.utc(until):%Y-%m-%d %H:%M:%S}")


def _scope(db: Db, scope: str, place: str | None) -> str:
    if ":" not in scope and "/" in scope:
        scope = f"account:{scope}"
    kind, _, rest = scope.strip().partition(":")
    platform, _, account = rest.strip().partition("/")
    if kind.lower() == mutes.EVERYTHING and not rest:
        return mutes.EVERYTHING if place is None else mutes.of_place(place)
    if kind.lower() == "persona" and rest.strip():
        persona = personas.seen(db, rest, place)
        if persona is None:
            names = [found.name if place is None else found.slug for found in personas.seen_from(db, place)]
            raise UnknownPersona(persona=rest, nearest=did_you_mean(rest, names), handles=rest)
        if place not in (None, persona.place):
            raise BadMute(reason=f"{persona.slug} is shared by many places: mute everything here, or a channel.")
        return mutes.of_persona(persona.name)
    if kind.lower() == "place" and rest.strip() and place in (None, rest.strip()):
        return mutes.of_place(rest.strip())
    if kind.lower() == "account" and platform and account:
        if place is not None and not accounts.may_be_of(db, platform.lower(), account, place):
            raise BadMute(reason=f"{platform}/{account} is not of this place.")
        return mutes.of_account(platform.lower(), account)
    raise BadMute(reason=f'"{scope}" cannot be muted: write everything, persona:NAME or account:PLATFORM/NAME.')
