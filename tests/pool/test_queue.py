"""Who asks much waits for those who ask little, and the queue forgets whoever it no longer holds."""

import asyncio
import random

import pytest

from bot.errors import PoolFull, TooManyWaiting
from bot.pool.queue import FairQueue


async def taken(queue: FairQueue[str], count: int | None = None) -> list[str]:
    return [await queue.get() for _ in range(len(queue) if count is None else count)]


def filled(*asked: str, most: int = 100, most_of_one: int = 100) -> FairQueue[str]:
    """Items such as "a3" of persons such as "a"."""
    queue: FairQueue[str] = FairQueue(most, most_of_one)
    for item in asked:
        queue.put(item[0], item)
    return queue


async def test_those_who_ask_little_come_before_the_many_of_one() -> None:
    queue = filled("a0", "a1", "a2", "a3", "b0", "b1", "c0")
    assert await taken(queue) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


async def test_who_comes_late_is_next_and_who_was_just_served_is_not() -> None:
    queue = filled(*(f"a{number}" for number in range(10)))
    assert await taken(queue, 4) == ["a0", "a1", "a2", "a3"]
    queue.put("b", "b0")
    assert await taken(queue, 2) == ["b0", "a4"]
    queue.put("b", "b1")
    queue.put("c", "c0")
    assert await taken(queue, 4) == ["b1", "c0", "a5", "a6"]


async def test_asking_one_after_another_is_no_way_past_the_others() -> None:
    queue = filled("a0", "b0", "c0", "d0")
    order = []
    for number in range(1, 4):
        order += await taken(queue, 1)
        queue.put("a", f"a{number}")
    assert order + await taken(queue) == ["a0", "b0", "c0", "d0", "a1", "a2", "a3"]


async def test_who_was_just_served_comes_after_those_who_were_not() -> None:
    queue = filled("a0", "b0")
    assert await taken(queue, 1) == ["a0"]
    queue.put("a", "a1")
    queue.put("c", "c0")
    assert await taken(queue) == ["b0", "c0", "a1"]


async def test_what_was_taken_in_vain_comes_first_in_its_old_order() -> None:
    queue = filled("a0", "a1", "b0", "c0", most=4)
    for item in reversed(await taken(queue, 2)):
        queue.put_back(item)
    assert len(queue) == len(list(queue)) == 4
    queue.remove("c", "c0")
    assert await taken(queue) == ["a0", "b0", "a1"]


async def test_a_full_queue_refuses_and_so_does_a_person_s_own_line() -> None:
    queue = filled("a0", "a1", "b0", most=4, most_of_one=2)
    with pytest.raises(TooManyWaiting, match="You already have 2 waiting"):
        queue.put("a", "a2")
    queue.put("", "bot")
    with pytest.raises(PoolFull, match="already 4 requests waiting"):
        queue.put("c", "c0")
    queue.remove("a", "a0")
    queue.remove("a", "a0")
    queue.put("", "bot again")
    assert await taken(queue) == ["a1", "b0", "bot", "bot again"]


async def test_what_is_removed_leaves_the_others_in_their_order_and_nothing_in_memory() -> None:
    queue = filled("a0", "a1", "a2", "b0", "b1")
    for item in ("a0", "b0", "b1"):
        queue.remove(item[0], item)
    assert await taken(queue) == ["a1", "a2"]
    for number in range(10_000):
        queue.put(f"person {number}", "x")
        queue.remove(f"person {number}", "x")
    assert len(queue) == len(list(queue)) == 0
    assert max(len(queue._lines), len(queue._heap), len(queue._served)) < 100


async def test_a_call_that_is_cancelled_takes_nothing() -> None:
    queue = filled()
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put("a", "a0")
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert await taken(queue) == ["a0"]


async def test_while_several_wait_none_is_served_twice_more_than_another() -> None:
    rng = random.Random(7)
    for _ in range(50):
        counts = {person: rng.randint(1, 30) for person in "abcde"}
        asked = [f"{person}{number:02}" for person, count in counts.items() for number in range(count)]
        rng.shuffle(asked)
        order = await taken(filled(*asked, most=200))
        assert sorted(order) == sorted(asked)
        for place in range(len(order) + 1):
            served = {person: sum(item[0] == person for item in order[:place]) for person in counts}
            still_waiting = [count for person, count in served.items() if count < counts[person]]
            if still_waiting:
                assert max(served.values()) - min(still_waiting) <= 1
