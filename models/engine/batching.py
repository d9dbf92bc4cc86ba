"""Continuous batching: requests join and leave a running batch at token borders, whatever their persona.

A batch always computes the same number of rows, in use or not, and adapters in slices of one width: matrix products of
one fixed shape give a row the same bits whoever its neighbours are, so the same seed gives the same text alone or in
any batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from models.engine.cache import Cache
from models.engine.gpt2 import LowRank
from models.engine.sampler import Draw, draw_tokens
from models.engine.voices import Voice
from models.prompt import prompt_tokens, without_marks
from models.sampling import Sampling
from models.wire import Delta, Done, Failed, Generate

ROWS = 8  # rows of every decoding step
SLICE = 16  # of an adapter's rank


@dataclass
class Row:
    """One request on its way: `last` is the token that the next step reads."""

    request: Generate
    voice: Voice
    sampling: Sampling
    prompt: str
    before: list[int]  # the tokens of the prompt
    cut: int
    last: int
    bad_words: list[list[int]]
    until: float  # when its time is over
    tokens: list[int] = field(default_factory=list)
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


class Adapters:
    """The adapters of a batch's rows, of whatever ranks: slices of each weight's pair, (slices, ROWS, in, SLICE) and
    (slices, ROWS, SLICE, out), zero where a row has none or a smaller one.

    Zeros may change the bits of a product that they widen, but a slice of zeros only adds nothing to what is there.
    """

    def __init__(self) -> None:
        self._stacks: dict[str, tuple[Tensor, Tensor]] = {}
        self._counts: list[dict[str, int]] = [{} for _ in range(ROWS)]  # the slices of each row's own
        self.low_rank: LowRank = {}  # as many slices as the widest row has now

    def put(self, row: int, low_rank: LowRank) -> None:
        """Gives a row its adapter; it must have left the one before."""
        counts = {name: -(-a.shape[1] // SLICE) for name, (a, _) in low_rank.items()}
        for name, count in counts.items():
            self._reserve(name, count, *low_rank[name])
        for name, (stacked_a, stacked_b) in self._stacks.items():
            stacked_a[:, row] = 0.0
            stacked_b[:, row] = 0.0
            if name in low_rank:
                whole_a, whole_b = low_rank[name]
                for part, (a, b) in enumerate(zip(whole_a.split(SLICE, 1), whole_b.split(SLICE), strict=True)):
                    stacked_a[part, row, :, : len(b)] = a
                    stacked_b[part, row, : len(b)] = b
        self._counts[row] = counts
        self._narrow()

    def leave(self, row: int) -> None:
        self._counts[row] = {}
        self._narrow()

    def _reserve(self, name: str, count: int, a: Tensor, b: Tensor) -> None:
        more = count - (len(self._stacks[name][0]) if name in self._stacks else 0)
        if more > 0:
            fresh = a.new_zeros(more, ROWS, len(a), SLICE), b.new_zeros(more, ROWS, SLICE, b.shape[1])
            if name in self._stacks:
                fresh = torch.cat([self._stacks[name][0], fresh[0]]), torch.cat([self._stacks[name][1], fresh[1]])
            self._stacks[name] = fresh

    def _narrow(self) -> None:
        widest = {name: max(counts.get(name, 0) for counts in self._counts) for name in self._stacks}
        self.low_rank = {name: (a[: widest[name]], b[: widest[name]]) for name, (a, b) in self._stacks.items()}


class Batch:
    """Up to ROWS requests of one model, with whatever adapters."""

    def __init__(self, voice: Voice) -> None:
        self.model, self.marks = voice.model, voice.marks
        weight = self.model.wte.weight
        self.rows: list[Row | None] = [None] * ROWS
        self.cache = Cache(self.model.config, ROWS, weight.device, weight.dtype)
        self.adapters = Adapters()

    def fits(self, voice: Voice) -> bool:
        """Whether a request of this voice can join now."""
        return self.model is voice.model and None in self.rows

    def join(self, request: Generate, voice: Voice, until: float) -> None:
        """Reads the prompt, all but its last token, into a free row."""
        n_positions = self.model.config.n_positions
        most = max(1, min(request.sampling.max_tokens, n_positions - 2))
        sampling = replace(request.sampling, max_tokens=most)
        text = voice.tokens(request.prompt)
        message = None if request.message is None else voice.tokens(request.message)
        prompt, cut = prompt_tokens(text, self.marks, n_positions - most, message=message)
        words = [word for word in sampling.bad_words if voice.tokens(word)]
        bad_words = [voice.tokens(form) for word in words for form in (word, f" {word}")]
        # The cut can fall inside a character; what is left of it is not shown.
        shown = voice.tokenizer.decode(text[cut:]).lstrip("\ufffd") if cut else without_marks(request.prompt)
        index = self.rows.index(None)
        try:
            self.adapters.put(index, voice.low_rank)
            if len(prompt) > 1:
                ids = torch.tensor([prompt[:-1]], device=self.cache.rows.device)
                self.model(ids, attend=self.cache.prefill(index, len(prompt) - 1), low_rank=voice.low_rank)
        except BaseException:
            self._free(index)  # or what was half read would stand before the next request's text
            raise
        self.rows[index] = Row(request, voice, sampling, shown, text[cut:], cut, prompt[-1], bad_words, until)

    def leave(self, request_id: int) -> None:
        """Forgets a request that is no longer wanted."""
        for index, row in enumerate(self.rows):
            if row is not None and row.request.id == request_id:
                self._free(index)

    def step(self) -> list[Done]:
        """One token for every row; returns the requests that are done."""
        device = self.cache.rows.device
        ids = torch.tensor([[row.last if row else self.marks.end] for row in self.rows], device=device)
        positions = torch.tensor(self.cache.lengths, device=device)[:, None]
        hidden = self.model(ids, positions, self.cache.step(), self.adapters.low_rank)
        logits = self.model.logits(hidden, self.adapters.low_rank)[:, 0]
        idle = Draw(Sampling(top_k=1), 0, 0)  # the least work
        draws = [row.draw() if row else idle for row in self.rows]
        finished = []
        for index, token in enumerate(draw_tokens(logits, draws, self.marks)):
            row = self.rows[index]
            if row is None:
                continue
            self.cache.advance(index)
            row.last = token
            if token != self.marks.end:
                row.tokens.append(token)
            if token == self.marks.end or len(row.tokens) == row.sampling.max_tokens:
                finished.append(row.done(token == self.marks.end))
                self._free(index)
        return finished

    def deltas(self) -> list[Delta]:
        found = [row.delta() for row in self.rows if row and row.request.stream]
        return [delta for delta in found if delta.text]

    def overdue(self, now: float) -> list[Done | Failed]:
        ended: list[Done | Failed] = []
        for index, row in enumerate(self.rows):
            if row is not None and row.until <= now:
                done = row.done(finished=False)
                ended.append(done if done.text else too_late(row.request))
                self._free(index)
        return ended

    def _free(self, index: int) -> None:
        self.rows[index] = None
        self.adapters.leave(index)
        self.cache.free(index)

    @property
    def empty(self) -> bool:
        return not any(self.rows)


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

    def step(self) -> list[Done]:
        """One token for every request of every batch."""
        finished = [done for batch in self.batches for done in batch.step()]
        self._drop_empty()
        return finished

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
