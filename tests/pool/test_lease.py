"""A training gives the machine up while imitations are in flight, and ends with the same weights all the same."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.pool.lease import LINGER, Lease
from bot.pool.local import LocalPool
from bot.pool.trainer import train
from models.lifeline import NICEST, TRAINER, WORKER
from models.wire import Pause, Progress, Resume, encode
from tests.command import alive, children
from tests.pool.test_local import settings, wishes
from tests.pool.test_trainer import LONGEST, begun, steps, trainer
from training import run
from training.engine import lease as trainers

FLEDGLING = Path(__file__).parents[2] / "models" / "base" / "fledgling"


# --- What the bot says ------------------------------------------------------------------------------------------------


async def test_a_train_of_requests_is_one_pause() -> None:
    lease, said = Lease(), list[Pause | Resume]()

    async def say(message: Pause | Resume) -> None:
        said.append(message)

    async with lease.lent(say):
        for _ in range(10):
            with lease.taken(), lease.taken():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
        assert said == [Pause()]
        while said[-1] != Resume():  # noqa: ASYNC110
            await asyncio.sleep(LINGER)
        assert said == [Pause(), Resume()]
        with lease.taken():
            await asyncio.sleep(0.01)
    assert said == [Pause(), Resume(), Pause()]


async def test_the_machine_is_idle_when_nothing_is_in_flight_and_nobody_trains() -> None:
    lease = Lease()

    async def say(message: Pause | Resume) -> None:
        raise ConnectionError

    await lease.idle(0.0)
    async with lease.lent(say):
        idle = asyncio.create_task(lease.idle(0.05))
        with lease.taken():
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.1)
        assert not idle.done()
    await asyncio.wait_for(idle, LONGEST)


# --- What the trainer makes of it -------------------------------------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    bot, ours = socket.socketpair()
    with bot, ours:
        yield bot, ours


def test_a_trainer_waits_for_its_lease_but_not_for_ever(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, ours = ends
    monkeypatch.setattr(trainers, "LONGEST_PAUSE", 0.3)
    monkeypatch.setattr(trainers, "TURN", 60.0)
    lease = trainers.Lease(ours, lambda: False)
    assert lease.wait() == 0.0
    bot.sendall(encode(Pause()))
    assert lease.wait() >= 0.3
    assert not lease.held
    assert lease.wait() == 0.0  # its turn
    lease.turn_ends = 0.0
    assert lease.wait() >= 0.3
    bot.sendall(encode(Resume()) + encode(Pause()) + encode(Resume()))
    lease.turn_ends = 0.0
    assert lease.wait() == 0.0
    assert lease.held


def test_a_trainer_that_waits_notices_that_it_is_to_stop_and_that_the_bot_is_gone(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    bot, ours = ends
    monkeypatch.setattr(trainers, "LONGEST_PAUSE", 1e9)
    looks = iter([False, False, True])
    lease = trainers.Lease(ours, lambda: next(looks))
    bot.sendall(encode(Pause()))
    assert lease.wait() > 0.0
    assert not lease.held
    assert next(looks, None) is None
    bot.close()
    lease.stop = lambda: False
    assert lease.wait() == 0.0
    assert lease.wait() == 0.0


# --- Both together ----------------------------------------------------------------------------------------------------


async def paused(folder: Path) -> int:
    """The step at which a run stands still."""
    while True:
        before = steps(folder)[-1]
        await asyncio.sleep(1.5)
        if steps(folder)[-1] == before:
            return before


def weights(folder: Path) -> bytes:
    assert run.results(folder) is not None
    return (folder / "checkpoint" / "adapter.safetensors").read_bytes()


@pytest.mark.long
async def test_a_training_that_paused_ends_with_the_very_weights_of_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed, disturbed = (begun(tmp_path / name, FLEDGLING, threads=2, epochs=3) for name in "ab")
    await asyncio.wait_for(train(undisturbed, lambda progress: None), LONGEST)
    lease, pauses = Lease(), list[int]()
    at = asyncio.Event()

    async def ask() -> None:
        for _ in range(2):
            at.clear()
            await at.wait()
            with lease.taken():
                pauses.append(await paused(disturbed))

    def tell(progress: Progress) -> None:
        at.set()

    asking = asyncio.create_task(ask())
    await asyncio.wait_for(train(disturbed, tell, lease), LONGEST)
    asking.cancel()
    assert len(set(pauses)) == 2
    assert pauses[-1] < steps(disturbed)[-1]
    assert weights(disturbed) == weights(undisturbed)


async def test_a_paused_trainer_that_is_told_to_stop_saves_its_state(tiny_base: Path, tmp_path: Path) -> None:
    folder = begun(tmp_path / "1", tiny_base, epochs=100)
    lease, begin = Lease(), asyncio.Event()
    task = asyncio.create_task(train(folder, lambda progress: begin.set(), lease))
    await asyncio.wait_for(begin.wait(), LONGEST)
    with lease.taken():
        step = await asyncio.wait_for(paused(folder), LONGEST)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    (state,) = folder.glob("state-*")
    assert int(state.name.removeprefix("state-")) >= step


PARENT = """
import asyncio, sys
from pathlib import Path
from bot.pool.lease import Lease
from bot.pool.trainer import train
async def main():
    lease, begun = Lease(), asyncio.Event()
    training = asyncio.create_task(train(Path(sys.argv[1]), lambda progress: begun.set(), lease))
    await begun.wait()
    with lease.taken():
        await training
asyncio.run(main())
"""


async def test_a_paused_trainer_dies_with_its_bot(tiny_base: Path, tmp_path: Path) -> None:
    folder = begun(tmp_path / "1", tiny_base, epochs=100)
    bot = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, str(folder))
    async with asyncio.timeout(LONGEST):
        while not (folder / "progress.jsonl").exists():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await paused(folder)
        (pid,) = children(bot.pid, "training.engine")
        os.kill(bot.pid, signal.SIGKILL)
        await bot.wait()
        while alive(pid):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


# --- Who gives way to whom --------------------------------------------------------------------------------------------


def niceness(pid: int | str) -> tuple[int, list[int]]:
    """Of the process, and of its session's group where the system has such."""
    own = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16])
    group = Path(f"/proc/{pid}/autogroup")
    return own, [int(word) for word in group.read_text().split()[-1:]] if group.exists() else []


async def test_the_worker_gives_way_to_the_bot_and_the_trainer_to_both(tiny_base: Path, tmp_path: Path) -> None:
    folder, pool, seen = begun(tmp_path / "1", tiny_base), LocalPool(settings(tmp_path)), []
    await asyncio.wait_for(train(folder, lambda progress: seen.append(niceness(trainer()))), LONGEST)
    try:
        await pool.generate(wishes(tiny_base, 1)[0])
        worker = niceness(pool.worker_pid or 0)
    finally:
        await pool.close()
    own, group = niceness("self")
    for steps_of_nice, (of_child, of_group) in [(WORKER, worker), (TRAINER, seen[0])]:
        assert of_child == min(own + steps_of_nice, NICEST)
        if of_group and group:
            assert of_group == [min(group[0] + steps_of_nice, NICEST)]
    assert 0 < WORKER < TRAINER
