"""The alarm rings when it should, once at a time, and stops in order."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import pytest

from bot import clock

HOUR = 3_600_000


class Bell:
    def __init__(self, takes_s: float = 0.0, fails: bool = False) -> None:
        self.at: list[int] = []
        self.running = self.most = 0
        self.takes_s, self.fails = takes_s, fails

    async def ring(self) -> None:
        self.at.append(clock.now_ms())
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(self.takes_s)
        self.running -= 1
        if self.fails:
            raise RuntimeError("the bell is broken")


async def test_the_alarm_rings_at_the_start_and_at_the_time_it_is_set_to() -> None:
    bell = Bell()
    alarm = clock.Alarm(bell.ring)
    alarm.start()
    await asyncio.sleep(0.1)
    due = clock.now_ms() + 200
    alarm.set(due)
    await asyncio.sleep(0.5)
    await alarm.stop()
    assert len(bell.at) == 2
    assert due <= bell.at[1] < due + 150


async def test_the_alarm_rings_regularly_even_if_nobody_sets_it_or_the_ringing_fails() -> None:
    bell = Bell(fails=True)
    alarm = clock.Alarm(bell.ring, longest_s=0.1)
    alarm.start()
    await asyncio.sleep(0.65)
    await alarm.stop()
    assert 4 <= len(bell.at) <= 7
    rung = len(bell.at)
    await asyncio.sleep(0.25)
    assert len(bell.at) == rung


async def test_the_alarm_rings_regularly_though_the_clock_was_set_back() -> None:
    bell = Bell()
    alarm = clock.Alarm(bell.ring, longest_s=0.2)
    alarm.start()
    await asyncio.sleep(0.1)
    assert alarm._job is not None
    alarm._job.modify(next_run_time=datetime.now(UTC) + timedelta(hours=1))  # what it looks like to the scheduler then
    await asyncio.sleep(0.6)
    await alarm.stop()
    assert 3 <= len(bell.at) <= 4


async def test_a_ringing_that_succeeds_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    alarm = clock.Alarm(Bell().ring, longest_s=0.05)
    alarm.start()
    await asyncio.sleep(0.2)
    await alarm.stop()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("apscheduler")] == []


async def test_what_becomes_due_during_a_ringing_rings_right_after_it() -> None:
    bell = Bell(takes_s=0.2)
    alarm = clock.Alarm(bell.ring)
    alarm.start()
    await asyncio.sleep(0.1)
    alarm.set(clock.now_ms())
    alarm.set(clock.now_ms() - HOUR)
    await asyncio.sleep(0.5)
    await alarm.stop()
    assert (len(bell.at), bell.most) == (2, 1)


async def test_stopping_cancels_the_ringing_and_waits_until_it_has_ended() -> None:
    ended: list[str] = []

    async def ring() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)  # such as a send that must be finished
            ended.append("in order")

    alarm = clock.Alarm(ring)
    alarm.start()
    await asyncio.sleep(0.05)
    await alarm.stop()
    assert ended == ["in order"]
    await alarm.stop()
