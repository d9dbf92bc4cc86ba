"""Imitate: a persona and a prompt become texts that moderation accepts."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from bot import clock
from bot.domain import SHELL, Candidate, Persona
from bot.errors import (
    BaseUnavailable,
    CorruptCheckpoint,
    MessageRefused,
    MockingbirdError,
    PromptRefused,
    WorkerUnavailable,
)
from bot.flows.ahead import Ahead, Made, Maker, Wanted
from bot.flows.choose import chosen, ranks, seeds_of
from bot.flows.quiet import check_unmuted
from bot.flows.together import together
from bot.moderation import Moderator, Moderators, Repeats, ShingleIndex
from bot.pool.protocol import FindBase, GenerationFailed, Pool, Wish
from bot.store import personas
from bot.store.database import Database, Db
from bot.tweetlength import weighted_length
from models.sampling import Sampling
from training import run
from training.clean import mended
from training.corpus import read_corpus

# A byte-level model can write what moves a terminal's cursor or rings its bell; no tweet holds such.
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Imitation:
    """`candidates` are as many as were asked for: those that were ready, the accepted ones in the order of their seeds,
    then, if the tries ran out, refused ones to fill up. `prompt` is what was gone on from; `cut` says whether its
    beginning was left off; `message` is what was replied to; `others` are the candidates that these were taken from."""

    persona: Persona
    checkpoint: str
    prompt: str
    message: str | None
    cut: bool
    candidates: tuple[Candidate, ...]
    others: tuple[Candidate, ...] = ()

    @property
    def accepted(self) -> tuple[Candidate, ...]:
        return tuple(candidate for candidate in self.candidates if candidate.verdict.accepted)

    @property
    def reasons(self) -> str:
        """Why texts were refused, in words."""
        return ", ".join(sorted({reason for candidate in self.candidates for reason in candidate.verdict.reasons}))


def report(done: Imitation) -> dict[str, Any]:
    """What came of it, as whoever asked is told."""
    return {
        "persona": done.persona.name,
        "checkpoint": done.checkpoint,
        "prompt": done.prompt,
        "message": done.message,
        "cut": done.cut,
        "candidates": [
            {
                "text": candidate.text,
                "seed": candidate.seed,
                "verdict": "accepted" if candidate.verdict.accepted else "refused",
                "reasons": list(candidate.verdict.reasons),
                "rank": candidate.rank,
            }
            for candidate in done.candidates
        ],
    }


def draw_seed() -> int:
    return random.SystemRandom().randrange(2**31)


@dataclass
class Imitator:
    """Speaks for every persona of a data directory; keeps each one's training texts indexed, to recognise copies."""

    database: Database
    pool: Pool
    moderators: Moderators
    find_base: FindBase
    tries: int  # how many times the wanted number may be generated
    choices: int  # how many candidates are made for each text, of which one is taken
    at_once: int  # how many texts of one wish may be with the pool
    log: Path
    ahead: Ahead = field(default_factory=lambda: Ahead(0, 0))
    draw: Callable[[], int] = draw_seed  # a seed for whoever names none
    now: Callable[[], int] = clock.now_ms
    _indexes: dict[tuple[int, int], asyncio.Task[ShingleIndex]] = field(default_factory=dict)

    async def imitate(
        self,
        name: str,
        prompt: str,
        n: int,
        seed: int | None,
        sampling: Sampling,
        message: str | None = None,
        recent: Repeats | None = None,
        person: str = "",
        place: str = SHELL,
    ) -> Imitation:
        """Generates until `n` texts are accepted or the tries run out, replies if there is a `message`; the first seed
        tried is `seed`, the next one `seed + 1` and so on, so each text can be had again alone by its own seed. Where
        any seed will do it is None: what is ready is given, once, and the rest begins at a seed that is drawn.
        Nothing that repeats what is `recent` on the account is accepted. `person` is who asks, "" the bot itself;
        `place` is where it is to be said, and judged by.
        Raises Muted, besides the errors below."""
        persona = await self.database.run(lambda db: self._unmuted(db, name, place))
        prompt = " ".join(storable(prompt).split())
        ready: list[Candidate] = []
        if seed is None and not prompt and message is None and recent is None:
            ready = self.ready(persona, sampling, n, place)
            if len(ready) == n:
                return Imitation(persona, str(persona.run_id), prompt, message, False, tuple(ready))
        self.ahead.interrupt()
        first = self.draw() if seed is None else seed
        while True:
            moderator = self.moderators.of(place)
            wanted = n - len(ready)
            done = await self._imitate(moderator, persona, prompt, wanted, first, sampling, message, recent, person)
            ready = [found for found in ready if self.moderators.of(place).forbids(found.text) is None]
            if moderator is self.moderators.of(place):  # else something was banned meanwhile
                return replace(done, candidates=(*ready, *done.candidates))

    def ready(self, persona: Persona, sampling: Sampling, n: int, place: str) -> list[Candidate]:
        """Up to `n` texts without a prompt that need not be made any more; each is given once."""
        taken = self.ahead.take(Wanted(persona.name, sampling), self._maker(persona), n)
        return [found for found in taken if self.moderators.of(place).forbids(found.text) is None]

    async def make_ahead(self, wanted: Wanted) -> Made:
        """One accepted text to be kept ready, if the tries suffice."""
        persona = await self.database.run(lambda db: personas.speaking(db, wanted.persona))
        maker = self._maker(persona)  # before: what is banned meanwhile may have come too late for this text
        done = await self._imitate(maker.moderator, persona, "", 1, self.draw(), wanted.sampling, None)
        return maker, done.accepted

    def forget(self, persona: Persona, runs: Collection[int]) -> None:
        """Drops what is kept in memory of a persona that is no more; the worker drops its voice once it needs room."""
        self.ahead.interrupt()
        self.ahead.drop(persona.name)
        for kept in [kept for kept in self._indexes if kept[0] in runs]:
            del self._indexes[kept]

    def _unmuted(self, db: Db, name: str, place: str) -> Persona:
        persona = personas.speaking(db, name)
        check_unmuted(db, persona.name, persona.slug, place, self.now())
        return persona

    def _maker(self, persona: Persona) -> Maker:
        assert persona.run_id is not None
        return Maker(persona.run_id, self.choices, self.moderators.of(persona.place))

    async def _imitate(
        self,
        moderator: Moderator,
        persona: Persona,
        prompt: str,
        n: int,
        seed: int,
        sampling: Sampling,
        message: str | None,
        recent: Repeats | None = None,
        person: str = "",
    ) -> Imitation:
        assert persona.run_id is not None
        if not (verdict := moderator.judge_prompt(prompt)).accepted:
            raise PromptRefused(reasons=", ".join(verdict.reasons))
        message = None if message is None else answerable(moderator, message)
        fitting = last_words(prompt, moderator.longest_prompt)
        folder = run.folder_of(self.database.folder, persona.run_id)
        checkpoint = folder / "checkpoint"
        try:
            spec = run.read_spec(folder)
            index = await self._index(persona.run_id, folder)
        except (OSError, ValueError, KeyError, TypeError) as error:  # whatever may be wrong with a file of ours
            handles = " ".join(persona.handles)
            raise CorruptCheckpoint(checkpoint=folder.name, reason=str(error), handles=handles) from error
        whole = spec.recipe.method == "full"
        base: Path | None = None
        if not whole:
            base = await asyncio.to_thread(self._base, spec)
        elif self.choices > 1 and message is None and is_there(Path(spec.base_folder)):
            base = Path(spec.base_folder)  # only to choose by: not worth a download
        voice = base if base and not whole else checkpoint
        wish = Wish(voice, checkpoint, fitting, seed, sampling, message, person=person)
        try:
            shown, cut, candidates, others = await self._speak(moderator, wish, base, n, index, recent)
        except GenerationFailed as error:
            raise self._for_people(error, persona, folder, spec) from error
        return Imitation(persona, folder.name, shown, message, cut or fitting != prompt, candidates, others)

    def _base(self, spec: run.Spec) -> Path:
        """Where the base was when the run began, since a relative folder means another one elsewhere; else where its
        name leads to now."""
        then = Path(spec.base_folder)
        return then if is_there(then) else self.find_base(spec.base)

    async def _speak(
        self,
        moderator: Moderator,
        wish: Wish,
        base: Path | None,
        n: int,
        index: ShingleIndex,
        recent: Repeats | None,
    ) -> tuple[str, bool, tuple[Candidate, ...], tuple[Candidate, ...]]:
        """The prompt as it was gone on from, whether it was cut, the candidates, and those that they were taken from;
        the first seed is the wish's."""
        accepted: list[Candidate] = []
        refused: list[Candidate] = []
        others: list[Candidate] = []
        shown, cut, tried = wish.prompt, False, 0
        while len(accepted) < n and tried < n * self.tries:
            seeds = range(wish.seed + tried, wish.seed + min(tried + n - len(accepted), n * self.tries))
            tried += len(seeds)
            groups: dict[int, list[Candidate]] = {seed: [] for seed in seeds}
            wishes = [replace(wish, seed=number) for seed in seeds for number in seeds_of(seed, self.choices)]
            answers = iter(await together(self.pool.generate, wishes, self.at_once))
            for seed, group in groups.items():
                for done in islice(answers, self.choices):
                    # What is left of a prompt that was cut may begin with a blank, and a text does not.
                    shown, cut = done.prompt.lstrip(), done.cut_tokens > 0
                    text = (shown + CONTROL.sub("", done.text)).strip()
                    verdict = moderator.judge(text, shown, index, wish.message, recent)
                    group.append(Candidate(text, seed, verdict))
            for group in await self._ranked(wish, base, groups.values()):
                found = chosen(group)
                (accepted if found.verdict.accepted else refused).append(found)
                others += [other for other in group if other is not found]
        taken = (accepted + refused)[:n]
        return shown, cut, tuple(taken), tuple(others + refused[max(0, n - len(accepted)) :])

    async def _ranked(
        self, wish: Wish, base: Path | None, groups: Collection[list[Candidate]]
    ) -> list[list[Candidate]]:
        """The same groups, each candidate with its rank; what moderation refused is not ranked."""
        if self.choices > 1:
            texts = [found.text for group in groups for found in group if found.verdict.accepted]
            ranked = iter(await ranks(self.pool, wish, base, texts, self.at_once))
            groups = [
                [replace(found, rank=next(ranked)) if found.verdict.accepted else found for found in group]
                for group in groups
            ]
        return list(groups)

    async def _index(self, run_id: int, folder: Path) -> ShingleIndex:
        """Made once, however many ask for it together; one that could not be made is tried again."""
        words = self.moderators.plain.settings.verbatim_words
        wanted = (run_id, words)
        if wanted not in self._indexes:
            self._indexes[wanted] = asyncio.create_task(asyncio.to_thread(index_corpus, folder, words))
        try:
            return await asyncio.shield(self._indexes[wanted])
        except Exception:
            self._indexes.pop(wanted, None)
            raise

    def _for_people(self, error: GenerationFailed, persona: Persona, folder: Path, spec: run.Spec) -> MockingbirdError:
        handles = " ".join(persona.handles)
        if error.kind == "checkpoint":
            return CorruptCheckpoint(checkpoint=folder.name, reason=error.message, handles=handles)
        if error.kind == "base":
            return BaseUnavailable(base=spec.base, reason=error.message)
        return WorkerUnavailable(reason=error.message, log=self.log)


def answerable(moderator: Moderator, message: str) -> str:
    """A message as training would have cleaned it; raises MessageRefused."""
    cleaned = mended(storable(message))
    reasons = moderator.judge_prompt(cleaned).reasons if cleaned else ("it holds no words",)
    if reasons:
        raise MessageRefused(reasons=", ".join(reasons))
    return cleaned


def storable(text: str) -> str:
    """Without lone surrogates, which are how Python shows bytes that are no UTF-8: U+FFFD stands for each."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def is_there(base: Path) -> bool:
    return (base / "model.safetensors").is_file()


def index_corpus(folder: Path, words: int) -> ShingleIndex:
    """All that the run knew of the person, the held-out part too: copying that is copying all the same."""
    corpus = read_corpus(folder / "corpus")
    return ShingleIndex((piece.text for piece in (*corpus.train, *corpus.held_out)), words)


def last_words(text: str, most: int) -> str:
    """The end of a text, from a word's beginning on, that X would not count as longer than `most`."""
    words = text.split(" ")
    while len(words) > 1 and weighted_length(" ".join(words)) > most:
        # By halves as long as it is far too long: a prompt may be a book.
        words = words[len(words) // 2 :] if len(words) > 2 * most else words[1:]
    while weighted_length(words[0]) > most:
        words[0] = words[0][-most:] if len(words[0]) > most else words[0][1:]
    return " ".join(words)
