"""Continuous batching: requests join and leave a running batch at token borders, whatever their persona."""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from models.engine.sampler import Draw, draw_token
from models.engine.slots import ROWS, Logits
from models.engine.voices import Voice
from models.prompt import prompt_tokens, without_marks
from models.sampling import Sampling
from models.wire import Delta, Done, Failed, Generate

AT_ONCE = 1024  # tokens of prompts that are read in one go at most, for the memory that reading takes


@dataclass
class Row:
    """One request on its way; none of its tokens are read yet while it is `fresh`."""

    request: Generate
    voice: Voice
    sampling: Sampling
    prompt: str
    start: list[int]  # what the model goes on from, marks included
    before: list[int]  # the tokens of the prompt in it
    cut: int
    bad_words: list[list[int]]
    until: float  # when its time is over
    tokens: list[int] = field(default_factory=list)
    fresh: bool = True
    sent: int = 0  # characters of its text that Deltas have told

    def draw(self) -> Draw:
        return Draw(self.sampling, self.request.seed, len(self.tokens), [*self.before, *self.tokens], self.bad_words)

    def done(self, finished: bool) -> Done:
        # A byte-level model can stop inside a character, or write bytes that are none; neither is shown.
        text = self._decoded().replace("\ufffd", "")
        return Done(self.request.id, self.prompt, text, len(self.tokens), finished, self.cut)

    def delta(self) -> Delta:
        """The characters that have been finished since the last one."""
        # At the end may stand the beginning of a character; what is broken before it stays broken.
        text = self._decoded().rstrip("\ufffd").replace("\ufffd", "")
        delta = Delta(self.request.id, text[self.sent :])
        self.sent = len(text)
        return delta

    def _decoded(self) -> str:
        text: str = self.voice.tokenizer.decode(self.tokens, skip_special_tokens=True)
        return text


class Batch:
    """Up to ROWS requests of one model, with whatever adapters; row n is in slot n."""

    def __init__(self, voice: Voice) -> None:
        self.model, self.marks = voice.model, voice.marks
        self.rows: list[Row] = []
        self.slots = voice.model.slots()

    def fits(self, voice: Voice) -> bool:
        """Whether a request of this voice can join now."""
        return self.model is voice.model and len(self.rows) < ROWS

    def join(self, request: Generate, voice: Voice, until: float) -> None:
        """Takes a request in; its prompt is read in the next step."""
        n_positions = self.model.config.n_positions
        most = max(1, min(request.sampling.max_tokens, n_positions - 2))
        sampling = replace(request.sampling, max_tokens=most)
        text = voice.tokens(request.prompt)
        message = None if request.message is None else voice.tokens(request.message)
        start, cut = prompt_tokens(text, self.marks, n_positions - most, message=message)
        words = [word for word in sampling.bad_words if voice.tokens(word)]
        bad_words = [voice.tokens(form) for word in words for form in (word, f" {word}")]
        # The cut can fall inside a character; what is left of it is not shown.
        shown = voice.tokenizer.decode(text[cut:]).lstrip("\ufffd") if cut else without_marks(request.prompt)
        self.slots.put(len(self.rows), voice.low_rank)
        self.rows.append(Row(request, voice, sampling, shown, start, text[cut:], cut, bad_words, until))

    def leave(self, request_id: int) -> None:
        """Forgets a request that is no longer wanted."""
        for index, row in enumerate(self.rows):
            if row.request.id == request_id:
                self._free(index)
                return

    def step(self) -> list[Done]:
        """One token for every row; returns the requests that are done."""
        parts = [*self._next(), *self._first()]
        logits = np.concatenate(parts) if len(parts) > 1 else parts[0]
        finished = []
        for row, of_row in zip(self.rows, logits, strict=True):
            token = draw_token(of_row, row.draw(), self.marks)
            if token != self.marks.end:
                row.tokens.append(token)
            if token == self.marks.end or len(row.tokens) == row.sampling.max_tokens:
                finished.append(row.done(token == self.marks.end))
        for done in finished:
            self.leave(done.id)
        return finished

    def _next(self) -> Iterator[Logits]:
        """What comes next in the rows that are on their way; they stand before those that are fresh."""
        last = [row.tokens[-1] for row in self.rows if not row.fresh]
        if last:
            yield self.slots.step(last)

    def _first(self) -> Iterator[Logits]:
        """Reads the prompts of fresh rows, those of neighbours of one length together, and each but once: the
        candidates of one imitation begin alike."""
        fresh = [index for index, row in enumerate(self.rows) if row.fresh]
        sources = {(id(row.voice), *row.start): index for index, row in reversed([*enumerate(self.rows)]) if row.fresh}
        read: dict[int, Logits] = {}
        for index in sorted(sources.values()):
            if index in read:
                continue
            texts = [self.rows[index].start]
            for next_one in range(index + 1, index + AT_ONCE // len(texts[0])):
                if next_one not in sources.values() or len(self.rows[next_one].start) != len(texts[0]):
                    break
                texts.append(self.rows[next_one].start)
            read |= dict(enumerate(self.slots.read(index, texts), index))
        for index in fresh:
            row = self.rows[index]
            source = sources[(id(row.voice), *row.start)]
            if source != index:
                self.slots.copy(source, index)
            row.fresh = False
            yield read[source]

    def deltas(self) -> list[Delta]:
        found = [row.delta() for row in self.rows if row.request.stream]
        return [delta for delta in found if delta.text]

    def overdue(self, now: float) -> list[Done | Failed]:
        ended: list[Done | Failed] = []
        for row in [row for row in self.rows if row.until <= now]:
            done = row.done(finished=False)
            ended.append(done if done.text else too_late(row.request))
            self.leave(row.request.id)
        return ended

    def _free(self, index: int) -> None:
        """Others take its place: the last of those on their way, and the last fresh one the place of that."""
        on_their_way = sum(not row.fresh for row in self.rows)
        for last in (on_their_way - 1, len(self.rows) - 1):
            if index < last:
                self.rows[index] = self.rows[last]
                self.slots.move(last, index)
                index = last
        self.rows.pop()
        self.slots.put(len(self.rows), {})

    @property
    def empty(self) -> bool:
        return not self.rows


def failed(request_id: int, error: Exception) -> Failed:
    """Why a request ends that cannot be fulfilled."""
    # torch's own error is not imported for its name: that would take seconds.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return Failed(request_id, "memory", str(error))
    return Failed(request_id, "bug", f"{type(error).__name__}: {error}")


def too_late(request: Generate) -> Failed:
    return Failed(request.id, "deadline", "its time was over before it had a text")


class Running:
    """All batches of a worker."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def join(self, request: Generate, voice: Voice, until: float = math.inf) -> None:
        """`until` is a moment on the clock of `overdue`."""
        batch = next((batch for batch in self.batches if batch.fits(voice)), None)
        if batch is None:
            batch = Batch(voice)
            self.batches.append(batch)
        try:
            batch.join(request, voice, until)
        finally:
            self._drop_empty()  # a batch made for a request that could not join

    def leave(self, request_id: int) -> None:
        for batch in self.batches:
            batch.leave(request_id)
        self._drop_empty()

    def step(self) -> list[Done | Failed]:
        """One token for every request of every batch; where that fails, the batch's requests end, and no others."""
        ended: list[Done | Failed] = []
        for batch in list(self.batches):
            try:
                ended += batch.step()
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                ended += [failed(row.request.id, error) for row in batch.rows]
                self.batches.remove(batch)
        self._drop_empty()
        return ended

    def deltas(self) -> list[Delta]:
        """What the texts have grown by since the last call, of the requests that want to know."""
        return [delta for batch in self.batches for delta in batch.deltas()]

    def overdue(self, now: float) -> list[Done | Failed]:
        """Ends the requests whose time is over."""
        ended = [end for batch in self.batches for end in batch.overdue(now)]
        self._drop_empty()
        return ended

    def _drop_empty(self) -> None:
        self.batches = [batch for batch in self.batches if not batch.empty]

    def __bool__(self) -> bool:
        return bool(self.batches)
