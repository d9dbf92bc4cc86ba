"""GPT-2 on a processor: ONNX Runtime computes the graph of `graph.py` on memory that stands here.

torch is not imported: that alone would take longer than all else until a worker's first token.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from safetensors.numpy import load_file

from models.checkpoint import publish, sync
from models.engine.device import has_fast_int8
from models.engine.shape import EMBEDDING, GPT2Config, read_weights
from models.engine.slots import ROWS, SLICE, Logits, LowRank

HEADS_OF = 8  # what ONNX Runtime's attention wants a head's width to be a multiple of; GPT-2's are 64
FIRST_CAPACITY = 128  # positions; doubled when a text needs more
# More threads cut a prompt's product into parts of one row, which are computed another way, with other bits.
MOST_THREADS = 8
PROVIDERS = ["CPUExecutionProvider"]
Floats = NDArray[np.float32]


class CpuModel:
    """A session, and the tables that tokens and positions are looked up in."""

    def __init__(self, config: GPT2Config, parts: Parts, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = min(threads, MOST_THREADS)
        # Exact sums everywhere; where a processor has an instruction for them, this takes twice the time for nothing.
        options.add_session_config_entry("session.x64quantprecision", "0" if has_fast_int8() else "1")
        self.config = config
        size = parts.graph.stat().st_size if isinstance(parts.graph, Path) else len(parts.graph)
        self.bytes = size + sum(table.nbytes for table in (parts.tokens, parts.steps, parts.positions))
        self.session = onnxruntime.InferenceSession(parts.graph, options, PROVIDERS)
        self._tokens, self._steps, self._positions = parts.tokens, parts.steps, parts.positions

    @classmethod
    def load(cls, base: Path, threads: int, graphs: Path | None = None, bits: int = 8) -> CpuModel:
        """Reads a base's folder, or what was made of it in the folder `graphs`, where it is put for the next time.
        Raises ValueError when weights are missing or of the wrong shape."""
        config = GPT2Config.read(base)
        if (config.n_embd // config.n_head) % HEADS_OF:
            raise ValueError(
                f"in {base} heads are {config.n_embd // config.n_head} wide; on a processor that must be a multiple of "
                f"{HEADS_OF}"
            )
        if graphs is not None and graphs.exists():
            with contextlib.suppress(Exception):  # whatever is wrong with it, it can be made again
                return cls(config, Parts.read(graphs), threads)
            shutil.rmtree(graphs, ignore_errors=True)
        parts = Parts.make(base, config, bits)
        if graphs is not None:
            parts.write(graphs)
            parts = Parts.read(graphs)
        return cls(config, parts, threads)

    def slots(self, count: int = ROWS) -> CpuSlots:
        return CpuSlots(self, count)

    def embedded(self, tokens: NDArray[np.int64], first: NDArray[np.int64]) -> Floats:
        """The sum of both embeddings, (rows, time, width), of tokens (rows, time) from the positions `first` (rows)."""
        at = first[:, None] + np.arange(tokens.shape[1])
        found: Floats = self._tokens[tokens] * self._steps[tokens][..., None] + self._positions[at]
        return found


@dataclass(frozen=True)
class Parts:
    """What a CpuModel is made of: a graph, the token table in 8 bits with what a step is worth in each row, and the
    table of positions."""

    graph: bytes | Path  # from a file a session takes a third less memory: bytes it keeps
    tokens: NDArray[Any]
    steps: Floats
    positions: Floats

    @classmethod
    def make(cls, base: Path, config: GPT2Config, bits: int) -> Parts:
        """Of a base's folder, with matrices of 8 bits or of 32."""
        from models.engine.graph import gpt2, rounded  # only here: not needed where it was made before

        weights = read_weights(base, config, load_file)
        table = weights["wte.weight"]
        tokens, steps = rounded(table.T) if bits == 8 else (table.T.astype(np.float32), np.ones(len(table), np.float32))
        graph = gpt2(config, weights, bits).SerializeToString()
        return cls(graph, np.ascontiguousarray(tokens.T), steps, weights["wpe.weight"].astype(np.float32))

    @classmethod
    def read(cls, folder: Path) -> Parts:
        tables = (np.load(folder / f"{name}.npy") for name in ("tokens", "steps", "positions"))
        return cls(folder / "gpt2.onnx", *tables)

    def write(self, folder: Path) -> None:
        """Of parts that were made; the folder is there whole or not at all."""
        assert isinstance(self.graph, bytes)
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = folder.with_name(f"{folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)  # what somebody left who was killed
        fresh.mkdir()
        (fresh / "gpt2.onnx").write_bytes(self.graph)
        for name in ("tokens", "steps", "positions"):
            np.save(fresh / f"{name}.npy", getattr(self, name))
        for path in fresh.iterdir():
            sync(path)
        publish(fresh, folder)


class CpuSlots:
    """As Slots says."""

    def __init__(self, model: CpuModel, count: int) -> None:
        self.model = model
        config = model.config
        self.lengths = np.zeros(count, np.int64)
        # Of zeros the system makes only those pages that are written to.
        shape = (config.n_layer, count, config.n_head, FIRST_CAPACITY, config.n_embd // config.n_head)
        self.keys, self.values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        # A and B of each weight by slot as the graph takes them, zeros beyond a smaller one's rank; the embedding's the
        # other way round, as the head needs them.
        shapes = config.projections | {EMBEDDING: (config.n_embd, config.vocab_size)}
        self.pairs = {
            name: (np.zeros((count, 1, n_in, SLICE), np.float32), np.zeros((count, SLICE, n_out), np.float32))
            for name, (n_in, n_out) in shapes.items()
        }
        self._own: list[LowRank] = [{}] * count  # the adapter of each slot
        self._filled: list[LowRank | None] = [None] * count  # what stands there in `pairs`
        self._step: Bound | None = None

    def put(self, slot: int, low_rank: LowRank) -> None:
        """As Slots says."""
        self.lengths[slot] = 0
        self._own[slot] = low_rank
        self._step = None

    def adapters(self, first: int, rows: int) -> slice:
        """Where in `pairs` the adapters of some slots stand; where none has any, one of zeros, which adds nothing."""
        some = slice(first, first + (rows if any(self._own[first : first + rows]) else 1))
        for slot in range(some.start, some.stop):
            self._fill(slot)
        return some

    def _fill(self, slot: int) -> None:
        """Writes a slot's adapter to `pairs`, in 32 bits: from another slot that has it if there is one, which takes a
        quarter of the time."""
        own = self._own[slot]
        if self._filled[slot] is own:
            return
        self._widen(max((-(-len(b) // SLICE) for _, b in map(_as_read, own.items())), default=0))
        twin = next((other for other, filled in enumerate(self._filled) if filled is own), None)
        self._filled[slot] = None  # half of two, until it is done
        for name, (stacked_a, stacked_b) in self.pairs.items():
            if twin is not None:
                stacked_a[slot], stacked_b[slot] = stacked_a[twin], stacked_b[twin]
                continue
            a, b = _as_read((name, own[name])) if name in own else (stacked_a[slot, 0, :, :0], stacked_b[slot, :0])
            stacked_b[slot, : len(b)], stacked_b[slot, len(b) :] = b, 0.0
            for number, wide in enumerate(stacked_a[slot]):
                part = a[:, number * SLICE : (number + 1) * SLICE]
                wide[:, : part.shape[1]], wide[:, part.shape[1] :] = part, 0.0
        self._filled[slot] = own

    def _widen(self, slices: int) -> None:
        """Makes room for so many slices of the rank."""
        if slices <= self.pairs[EMBEDDING][0].shape[1]:
            return
        wider = {}
        used = [slot for slot, filled in enumerate(self._filled) if filled]
        for name, (a, b) in self.pairs.items():
            wide_a = np.zeros((len(a), slices, *a.shape[2:]), np.float32)
            wide_b = np.zeros((len(b), slices * SLICE, b.shape[2]), np.float32)
            for slot in used:  # the others' pages need not be there
                wide_a[slot, : a.shape[1]], wide_b[slot, : b.shape[1]] = a[slot], b[slot]
            wider[name] = wide_a, wide_b
        self.pairs, self._step = wider, None

    def read(self, first: int, texts: Sequence[Sequence[int]], wanted: Sequence[int] | None = None) -> Logits:
        """As Slots says."""
        ids = np.array(texts, np.int64)
        self._reserve(ids.shape[1])
        self.lengths[first : first + len(ids)] = ids.shape[1]
        rows, time = ids.shape
        return Bound(self, first, rows, time, [time - 1] if wanted is None else wanted).run(ids)

    def step(self, tokens: Sequence[int]) -> Logits:
        """As Slots says."""
        count = len(tokens)
        self._reserve(int(self.lengths[:count].max()) + 1)
        if self._step is None or self._step.rows != count:
            self._step = Bound(self, 0, count, 1, [0])
        self.lengths[:count] += 1
        return self._step.run(np.array(tokens, np.int64)[:, None])[:, 0]

    def copy(self, source: int, to: int) -> None:
        """As Slots says."""
        length = self.lengths[to] = self.lengths[source]
        for held in (self.keys, self.values):
            held[:, to, :, :length] = held[:, source, :, :length]

    def move(self, source: int, to: int) -> None:
        """As Slots says."""
        self.copy(source, to)
        self._own[to] = self._own[source]
        self._step = None

    def _reserve(self, length: int) -> None:
        """Makes room for texts of `length` positions, by doubling."""
        capacity = self.keys.shape[3]
        if length <= capacity:
            return
        while capacity < length:
            capacity *= 2
        longer = []
        for held in (self.keys, self.values):
            fresh = np.zeros((*held.shape[:3], capacity, held.shape[4]), np.float32)
            for slot, filled in enumerate(self.lengths):  # the others' pages need not be there
                fresh[:, slot, :, :filled] = held[:, slot, :, :filled]
            longer.append(fresh)
        self.keys, self.values = longer  # both or none: memory may run out between the two
        self._step = None


def _as_read(item: tuple[str, tuple[NDArray[Any], NDArray[Any]]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """A weight's A and B as the graph takes them."""
    name, (a, b) = item
    return (b.T, a.T) if name == EMBEDDING else (a, b)


class Bound:
    """The session with its inputs and outputs bound to the memory of some slots: to look that up anew for every token
    costs small models as much as computing."""

    def __init__(self, slots: CpuSlots, first: int, rows: int, time: int, wanted: Sequence[int]) -> None:
        self.slots, self.first, self.rows = slots, first, rows
        config = slots.model.config
        some = slice(first, first + rows)
        adapters = slots.adapters(first, rows)
        back, self.table = (part[adapters] for part in slots.pairs[EMBEDDING])
        rank, width = self.table.shape[1], config.n_embd
        self.x = np.zeros((rows, time, width), np.float32)
        self.read = np.zeros((rows, time, rank), np.float32)
        self.lengths, self.longest = np.zeros(rows, np.int32), np.zeros(1, np.int32)
        self.logits = np.zeros((rows, len(wanted), config.vocab_size), np.float32)
        held: dict[str, NDArray[Any]] = {
            **{"x": self.x, "lengths": self.lengths, "longest": self.longest, "wanted": np.array(wanted, np.int64)},
            **{"wte.read": self.read, "wte.back": back.swapaxes(2, 3).reshape(len(back), rank, width)},
            "joined": np.array([0, 0, rank], np.int64),
        }
        for name, (a, b) in slots.pairs.items():
            held |= {f"{name}.A": a[adapters], f"{name}.B": b[adapters]}
        caches = {
            f"{kind}.{layer}": of[layer, some]
            for kind, of in (("keys", slots.keys), ("values", slots.values))
            for layer in range(config.n_layer)
        }
        self._binding = slots.model.session.io_binding()
        value = onnxruntime.OrtValue.ortvalue_from_numpy  # of the same memory
        self._values = {name: value(array) for name, array in (held | caches | {"logits": self.logits}).items()}
        for name in held | caches:
            self._binding.bind_ortvalue_input(name, self._values[name])
        for name in caches:
            self._binding.bind_ortvalue_output(f"{name}.out", self._values[name])
        self._binding.bind_ortvalue_output("logits", self._values["logits"])

    def run(self, ids: NDArray[np.int64]) -> Floats:
        """Reads tokens (rows, time) that the slots' lengths count already."""
        slots, time = self.slots, ids.shape[1]
        lengths = slots.lengths[self.first : self.first + self.rows]
        self.x[:] = slots.model.embedded(ids, lengths - time)
        for row, (table, tokens) in enumerate(zip(self.table, ids, strict=False)):  # one of zeros may stand for all
            self.read[row] = table[:, tokens].T
        self.lengths[:] = lengths - 1
        self.longest[:] = lengths.max()
        slots.model.session.run_with_iobinding(self._binding)
        return self.logits
