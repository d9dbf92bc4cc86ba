"""A fair queue: whoever asks much waits behind those who ask little, and nobody's asking fills the memory."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from bot.errors import PoolFull, TooManyWaiting

T = TypeVar("T", bound=Hashable)


class Line(Generic[T]):
    """What one person waits for, in the order of asking; the first of it has a turn."""

    def __init__(self, person: str) -> None:
        self.person = person
        self.items: OrderedDict[T, None] = OrderedDict()


class FairQueue(Generic[T]):
    """Start-time fair queueing with a cost of one for each item: an item's turn is that of the last one taken or, if
    that is later, the one after its person's last turn; the earliest turn is taken first, then the earliest arrival.

    Putting and taking cost O(log n), removing O(1). The bot itself is the person "", who may fill the whole queue.
    """

    def __init__(self, most: int, most_of_one: int) -> None:
        """Holds `most` items, and `most_of_one` of one person."""
        self._most, self._most_of_one = most, most_of_one
        self._arrivals = itertools.count()
        self._length = 0
        self._turn = 0  # of the last one taken
        self._served: set[str] = set()  # who had an item in that turn and waits for nothing since
        self._lines: dict[str, Line[T]] = {}
        self._heap: list[tuple[int, int, Line[T]]] = []  # (turn, arrival, line) of every line
        self._front: OrderedDict[T, None] = OrderedDict()
        self._filled = asyncio.Event()

    def put(self, person: str, item: T) -> None:
        """Raises PoolFull, or TooManyWaiting when it is this person who has too many."""
        if self._length >= self._most:
            raise PoolFull(waiting=self._length)
        line = self._lines.get(person)
        if line is not None and person and len(line.items) >= self._most_of_one:
            raise TooManyWaiting(waiting=len(line.items))
        if line is None:
            line = self._lines[person] = Line(person)
            self._push(self._turn + (person in self._served), line)
        line.items[item] = None
        self._length += 1
        self._filled.set()

    def put_back(self, item: T) -> None:
        """To the front, before what was put back earlier; it was taken before, so no bound refuses it."""
        self._front[item] = None
        self._front.move_to_end(item, last=False)
        self._length += 1
        self._filled.set()

    async def get(self) -> T:
        """The next one, as soon as there is one; a cancelled call takes none."""
        while not self._length:
            self._filled.clear()
            await self._filled.wait()
        self._length -= 1
        if self._front:
            return self._front.popitem(last=False)[0]
        return self._first_in_turn()

    def remove(self, person: str, item: T) -> None:
        """Nobody waits for it any more; if it is not here, nothing happens."""
        line = self._lines.get(person)
        for held in (self._front, *([line.items] if line is not None else [])):
            if item in held:
                del held[item]
                self._length -= 1
        # A line that was emptied so keeps its turn in the heap until that comes, or until there are too many such.
        if len(self._lines) > 2 * self._length + 64:
            self._heap = [entry for entry in self._heap if entry[2].items]
            heapq.heapify(self._heap)
            self._lines = {line.person: line for _, _, line in self._heap}

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        """All that wait, in no particular order."""
        yield from self._front
        for line in self._lines.values():
            yield from line.items

    def _first_in_turn(self) -> T:
        while True:
            turn, _, line = heapq.heappop(self._heap)
            if not line.items:
                del self._lines[line.person]
                continue
            if turn > self._turn:
                self._turn = turn
                self._served.clear()
            item, _ = line.items.popitem(last=False)
            if line.items:
                self._push(turn + 1, line)
            else:
                del self._lines[line.person]
                self._served.add(line.person)
                if not self._length:
                    self._served.clear()  # nobody waited for them
            return item

    def _push(self, turn: int, line: Line[T]) -> None:
        heapq.heappush(self._heap, (turn, next(self._arrivals), line))
