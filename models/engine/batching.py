"""Continuous batching: requests join and leave a running batch at token borders, whatever their persona.

A batch always computes the same number of rows, in use or not: matrix products of one fixed shape give a row the
same bits whoever its neighbours are, so the same seed gives the same text alone or in any batch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from models.engine.cache import Cache
from models.engine.sampler import Draw, draw_tokens
from models.engine.voices import Voice
from models.prompt import prompt_tokens, without_marks
from models.sampling import Sampling
from models.wire import Done, Generate

ROWS = 8  # rows of every decoding step


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
    tokens: list[int] = field(default_factory=list)

    def draw(self) -> Draw:
        return Draw(self.sampling, self.request.seed, len(self.tokens), [*self.before, *self.tokens], self.bad_words)

    def done(self, finished: bool) -> Done:
        # A byte-level model can stop inside a character, or write bytes that are none; neither is shown.
        text = self.voice.tokenizer.decode(self.tokens, skip_special_tokens=True).replace("\ufffd", "")
        return Done(self.request.id, self.prompt, text, len(self.tokens), finished, self.cut)


class Batch:
    """Up to ROWS requests of one model; their adapters are stacked (rows, in, rank), zero where a row has none."""

    def __init__(self, voice: Voice) -> None:
        self.model, self.shapes, self.marks = voice.model, voice.shapes, voice.marks
        weight = self.model.wte.weight
        self.rows: list[Row | None] = [None] * ROWS
        self.cache = Cache(self.model.config, ROWS, weight.device, weight.dtype)
        self.low_rank: dict[str, tuple[Tensor, Tensor]] = {
            name: (a.new_zeros(ROWS, *a.shape), b.new_zeros(ROWS, *b.shape)) for name, (a, b) in voice.low_rank.items()
        }

    def fits(self, voice: Voice) -> bool:
        """Whether a request of this voice can join now."""
        return self.model is voice.model and self.shapes == voice.shapes and None in self.rows

    def join(self, request: Generate, voice: Voice) -> None:
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
        for name, (a, b) in voice.low_rank.items():
            self.low_rank[name][0][index] = a
            self.low_rank[name][1][index] = b
        if len(prompt) > 1:
            try:
                ids = torch.tensor([prompt[:-1]], device=self.cache.rows.device)
                self.model(ids, attend=self.cache.prefill(index, len(prompt) - 1), low_rank=voice.low_rank)
            except BaseException:
                self._free(index)  # or what was half read would stand before the next request's text
                raise
        self.rows[index] = Row(request, voice, sampling, shown, text[cut:], cut, prompt[-1], bad_words)

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
        hidden = self.model(ids, positions, self.cache.step(), self.low_rank)
        logits = self.model.logits(hidden, self.low_rank)[:, 0]
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

    def _free(self, index: int) -> None:
        self.rows[index] = None
        self.cache.free(index)

    @property
    def empty(self) -> bool:
        return not any(self.rows)


class Running:
    """All batches of a worker."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def join(self, request: Generate, voice: Voice) -> None:
        batch = next((batch for batch in self.batches if batch.fits(voice)), None)
        if batch is None:
            batch = Batch(voice)
            self.batches.append(batch)
        try:
            batch.join(request, voice)
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

    def _drop_empty(self) -> None:
        self.batches = [batch for batch in self.batches if not batch.empty]

    def __bool__(self) -> bool:
        return bool(self.batches)
