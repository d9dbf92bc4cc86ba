"""The pool on this machine answers every wish once, whatever becomes of its worker."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.errors import PoolFull, TooManyWaiting
from bot.pool.local import LocalPool, WorkerSettings
from bot.pool.protocol import GenerationFailed, ScoreWish, Wish
from models.sampling import Sampling
from models.wire import Done, Item

LONGEST = 90.0  # seconds: only a hang takes so long
LONG = Sampling(max_tokens=120, min_tokens=120)


def settings(log: Path, **chosen: object) -> WorkerSettings:
    waiting = {"max_waiting": 100, "max_waiting_per_person": 100}
    defaults = {"device": "cpu", "threads": 1, "budget_mb": 64, "max_batch": 8, "hang_seconds": 60, **waiting}
    folders = {"log": log / "logs" / "worker.log", "cache": log / "cache"}
    return WorkerSettings(**{**defaults, **folders, **chosen})  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def opened(log: Path, **chosen: object) -> AsyncIterator[LocalPool]:
    pool = LocalPool(settings(log, **chosen))
    try:
        async with asyncio.timeout(LONGEST):
            yield pool
    finally:
        await pool.close()


def wishes(base: Path, count: int, sampling: Sampling = LONG) -> list[Wish]:
    return [Wish(base, None, "the gull", seed, sampling) for seed in range(count)]


async def all_of(pool: LocalPool, wanted: list[Wish]) -> list[str]:
    return [done.text for done in await asyncio.gather(*map(pool.generate, wanted))]


async def worker(pool: LocalPool, other_than: int | None = None) -> int:
    """The id of the worker's process, as soon as there is one."""
    while (pid := pool.worker_pid) is None or pid == other_than:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return pid


async def stopped_with(pool: LocalPool, wanted: list[Wish]) -> tuple[int, list[asyncio.Task[Done]]]:
    """A worker that took these wishes and was stopped before it could answer one of them."""
    await pool.generate(wanted[0])
    pid = await worker(pool)
    os.kill(pid, signal.SIGSTOP)
    tasks = [asyncio.create_task(pool.generate(wish)) for wish in wanted]
    await asyncio.sleep(0.2)
    return pid, tasks


# --- Answers ----------------------------------------------------------------------------------------------------------


async def test_the_same_wish_yields_the_same_text_alone_and_in_a_crowd(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as pool:
        wanted = wishes(tiny_base, 20)
        crowd = await all_of(pool, wanted)
        assert len(set(crowd)) == len(crowd)
        assert [await all_of(pool, [wanted[index]]) for index in (0, 7, 19)] == [[crowd[index]] for index in (0, 7, 19)]


async def test_who_listens_hears_the_whole_text_once_though_its_worker_dies(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as pool:
        (wish,) = wishes(tiny_base, 1)
        undisturbed = await pool.generate(wish)
        deltas: list[str] = []
        assert await pool.stream(wish, deltas.append) == replace(undisturbed, id=2)
        assert "".join(deltas) == undisturbed.text
        assert len(deltas) > 20
        pid, again = await worker(pool), list[str]()

        def hear(delta: str) -> None:
            again.append(delta)
            if len(again) == 5:
                os.kill(pid, signal.SIGKILL)

        done = await pool.stream(wish, hear)
        assert done.text == "".join(again) == undisturbed.text
        assert await worker(pool, other_than=pid)


async def test_a_listener_that_fails_is_told_and_the_others_get_their_texts(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as pool:
        one, other = wishes(tiny_base, 2)
        undisturbed = (await pool.generate(other)).text
        answers = await asyncio.gather(
            pool.stream(one, lambda _: [][0]), pool.stream(other, len), return_exceptions=True
        )
        assert isinstance(answers[0], IndexError)
        assert isinstance(answers[1], Done)
        assert answers[1].text == undisturbed


async def test_a_wish_whose_time_is_over_ends_with_what_it_has_or_says_so(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path, max_batch=1) as pool:
        (wish,) = wishes(tiny_base, 1)
        whole = await pool.generate(replace(wish, seconds=LONGEST))
        assert whole.tokens == 120
        pid, (flying,) = await stopped_with(pool, [wish])
        with pytest.raises(GenerationFailed, match="before a worker took it") as caught:
            await pool.generate(replace(wish, seconds=0.1))
        assert caught.value.kind == "deadline"
        assert not pool._queue
        os.kill(pid, signal.SIGCONT)
        assert (await flying).text == whole.text


async def test_a_wish_that_cannot_be_fulfilled_costs_the_others_nothing(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as pool:
        bad = [
            Wish(tiny_base, tmp_path / "nowhere", "", 1, LONG),
            Wish(tmp_path, None, "", 1, LONG),
        ]
        asked = [*bad, *wishes(tiny_base, 2)]
        answers = await asyncio.gather(*map(pool.generate, asked), return_exceptions=True)
        assert [answer.kind for answer in answers if isinstance(answer, GenerationFailed)] == [
            "checkpoint", "base"]  # fmt: skip
        assert [answer.tokens for answer in answers if isinstance(answer, Done)] == [120, 120]


async def test_texts_are_scored_alone_and_in_company_alike(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as pool:
        items = tuple(Item(f"the gull counts {number} lamps", [None, "tea?"][number % 2]) for number in range(6))
        crowd, *_ = await asyncio.gather(
            pool.score(ScoreWish(tiny_base, None, items)), *map(pool.generate, wishes(tiny_base, 6))
        )
        alone = await pool.score(ScoreWish(tiny_base, None, items[3:4]))
        assert (alone.nats, alone.tokens) == (crowd.nats[3:4], crowd.tokens[3:4])
        with pytest.raises(GenerationFailed) as caught:
            await pool.score(ScoreWish(tiny_base, tmp_path / "nowhere", items))
        assert caught.value.kind == "checkpoint"


# --- A worker that dies, hangs or does not start ----------------------------------------------------------------------


async def test_a_killed_worker_costs_no_answer_and_changes_no_text(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path, max_batch=3) as pool:
        wanted = wishes(tiny_base, 5)
        undisturbed = await all_of(pool, wanted)
        pid, tasks = await stopped_with(pool, wanted)
        os.kill(pid, signal.SIGKILL)
        assert [done.text for done in await asyncio.gather(*tasks)] == undisturbed
        assert pool.worker_pid not in (None, pid)


async def test_a_worker_killed_while_it_scores_costs_no_answer(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as pool:
        wish = ScoreWish(tiny_base, None, (Item("rain walks"), Item("rain walks", "tea?")))
        undisturbed = (await pool.score(wish)).nats
        pid = await worker(pool)
        os.kill(pid, signal.SIGSTOP)
        task = asyncio.create_task(pool.score(wish))
        await asyncio.sleep(0.2)
        assert pool._flying
        os.kill(pid, signal.SIGKILL)
        assert (await task).nats == undisturbed
        assert pool.worker_pid not in (None, pid)


async def test_a_request_over_which_two_workers_died_fails_and_the_next_one_is_answered(
    tiny_base: Path, tmp_path: Path
) -> None:
    async with opened(tmp_path) as pool:
        pid, (task,) = await stopped_with(pool, wishes(tiny_base, 1))
        os.kill(pid, signal.SIGKILL)
        second = await worker(pool, other_than=pid)
        while not pool._flying:
            assert not task.done()
            await asyncio.sleep(0)
        os.kill(second, signal.SIGKILL)
        with pytest.raises(GenerationFailed, match="died twice over this request, the last time killed by signal 9"):
            await task
        assert len(await all_of(pool, wishes(tiny_base, 1))) == 1


async def test_a_worker_that_hangs_is_replaced_and_its_requests_are_answered(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path, hang_seconds=3) as pool:
        wanted = wishes(tiny_base, 2)
        undisturbed = await all_of(pool, wanted)
        pid, tasks = await stopped_with(pool, wanted)
        assert [done.text for done in await asyncio.gather(*tasks)] == undisturbed
        assert pool.worker_pid != pid


async def test_a_worker_that_had_nothing_to_do_for_long_is_not_taken_for_a_hanging_one(
    tiny_base: Path, tmp_path: Path
) -> None:
    async with opened(tmp_path, hang_seconds=3) as pool:
        await all_of(pool, wishes(tiny_base, 1))
        pid = await worker(pool)
        await asyncio.sleep(2.7)
        end = asyncio.get_running_loop().time() + 0.8
        while asyncio.get_running_loop().time() < end:
            await all_of(pool, wishes(tiny_base, 4))
        assert pool.worker_pid == pid


async def test_a_worker_that_cannot_start_says_why_instead_of_keeping_people_waiting(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    async with opened(tmp_path, device="cuda") as pool:
        for _ in range(2):
            with pytest.raises(GenerationFailed, match="it does not start: no CUDA device is available") as caught:
                await pool.generate(wishes(tiny_base, 1)[0])
            assert caught.value.kind == "worker"


async def test_a_worker_that_hangs_while_it_starts_is_given_up(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path, start_seconds=0.05) as pool:
        with pytest.raises(GenerationFailed, match="it does not start: killed by signal 9"):
            await pool.generate(wishes(tiny_base, 1)[0])


async def test_a_worker_whose_log_cannot_be_written_is_given_up(tiny_base: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    async with opened(tmp_path) as pool:
        with pytest.raises(GenerationFailed, match="it does not start: FileExistsError"):
            await pool.generate(wishes(tiny_base, 1)[0])


# --- Too many, and no longer wanted -----------------------------------------------------------------------------------


async def test_what_is_no_longer_wanted_leaves_the_others_and_makes_room(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path, max_batch=2, max_waiting=2) as pool:
        wanted = wishes(tiny_base, 4)
        undisturbed = [(await pool.generate(wish)).text for wish in wanted]
        pid, flying = await stopped_with(pool, wanted[:2])
        waiting = [asyncio.create_task(pool.generate(wish)) for wish in wanted[2:]]
        await asyncio.sleep(0)
        with pytest.raises(PoolFull, match="already 2 requests waiting"):
            await pool.generate(wanted[0])
        for cancelled in (flying[0], waiting[0]):
            cancelled.cancel()
        assert {type(end) for end in await asyncio.gather(flying[0], waiting[0], return_exceptions=True)} == {
            asyncio.CancelledError}  # fmt: skip
        again = asyncio.create_task(pool.generate(wanted[2]))
        os.kill(pid, signal.SIGCONT)
        done = await asyncio.gather(flying[1], waiting[1], again)
        assert [answer.text for answer in done] == [undisturbed[1], undisturbed[3], undisturbed[2]]
        assert await all_of(pool, wanted[:2]) == undisturbed[:2]
        assert pool.worker_pid == pid


async def test_who_waits_when_the_pool_closes_is_told(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path, max_batch=1) as pool:
        _, tasks = await stopped_with(pool, wishes(tiny_base, 3))
        await pool.close()
        for task in tasks:
            with pytest.raises(GenerationFailed, match="the bot is stopping"):
                await task
        with pytest.raises(GenerationFailed, match="the bot is stopping"):
            await pool.generate(wishes(tiny_base, 1)[0])


async def test_closing_while_the_worker_starts_leaves_no_process(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path) as pool:
        task = asyncio.create_task(pool.generate(wishes(tiny_base, 1)[0]))
        pid = await worker(pool)
    with pytest.raises(GenerationFailed):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# --- What the worker is given -----------------------------------------------------------------------------------------


async def test_the_worker_sees_no_secret_and_no_folder_that_shadows_ours(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "canary-in-a-variable")
    monkeypatch.setenv("MOCKINGBIRD__HUB__TOKEN_ENV", "canary-in-a-setting")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    async with opened(tmp_path) as pool:
        await pool.generate(wishes(tiny_base, 1)[0])
        seen = Path(f"/proc/{pool.worker_pid}/environ").read_bytes()  # noqa: ASYNC240
        assert b"PATH=" in seen
        assert b"canary" not in seen


# --- The door ---------------------------------------------------------------------------------------------------------


def resident_mib() -> float:
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def test_ten_thousand_at_once_are_taken_in_or_refused_and_nobody_waits_behind_one_person(
    tiny_base: Path, tmp_path: Path
) -> None:
    async with opened(tmp_path, max_waiting=1_000, max_waiting_per_person=200) as pool:
        await pool.generate(wishes(tiny_base, 1)[0])
        loop, before = asyncio.get_running_loop(), resident_mib()
        refused: list[str] = []

        async def ask(seed: int, person: str) -> None:
            try:
                await pool.generate(Wish(tiny_base, None, "the gull", seed, LONG, person=person))
            except (PoolFull, TooManyWaiting) as error:
                refused.append(type(error).__name__)

        began = loop.time()
        people = ["loud"] * 9_000 + [f"person {number}" for number in range(1_000)]
        tasks = [asyncio.create_task(ask(seed, person)) for seed, person in enumerate(people)]
        await asyncio.sleep(0)
        seconds = loop.time() - began
        assert (len(pool._queue), refused.count("TooManyWaiting"), refused.count("PoolFull")) == (1_000, 8_800, 200)
        assert seconds < 2.0

        handed: dict[int, str] = {}
        while len(handed) < 3 * pool.settings.max_batch:
            await asyncio.sleep(0)
            handed |= {waiting.request.id: waiting.person for waiting in pool._flying.values()}
        assert list(handed.values()) == ["loud", *people[9_000 : 9_000 + len(handed) - 1]]
        grown = resident_mib() - before
        print(f"decided within {seconds:.2f} s, {grown:.0f} MiB more")
        assert grown < 100
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not pool._queue


async def test_what_a_dead_worker_left_comes_before_what_waits(tiny_base: Path, tmp_path: Path) -> None:
    async with opened(tmp_path, max_batch=2) as pool:
        pid, flying = await stopped_with(pool, wishes(tiny_base, 2))
        waiting = [asyncio.create_task(pool.generate(wish)) for wish in wishes(tiny_base, 4)[2:]]
        await asyncio.sleep(0)
        left = list(pool._flying)
        os.kill(pid, signal.SIGKILL)
        await worker(pool, other_than=pid)
        while not pool._flying:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert next(iter(pool._flying)) == left[0]
        await asyncio.gather(*flying)
        assert len(await asyncio.gather(*waiting)) == 2
