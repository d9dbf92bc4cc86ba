"""How the bot bears Discord's commands: a flood of them, most by one person; and a training beside twenty imitations.

The real bot in a process of its own, against the loopback Discord of the tests in this one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from bench.lag import FLYING, LEARNER, SPEAKER, lateness
from bot.app import App
from bot.clock import now_ms
from bot.config import load_config
from bot.flows.ingest import ingest
from bot.flows.train import request
from bot.platforms.discord.layout.parts import MARK
from bot.store import personas
from bot.store.database import Db
from tests.servers.discord.objects import Channel, Interaction, User
from tests.servers.discord.server import LoopbackDiscord
from training import run

RATE, SECONDS, LOUD = 300, 30.0, 0.9  # commands a second, for so long, and which part of them one person's are
OTHERS = 300  # persons
TICK = 0.01  # seconds between two portions of commands
ACKNOWLEDGE_S = 20.0  # after the flood, to be acknowledged
DRAIN_S = 600.0  # for what was accepted to be answered
HEARTBEAT_S = 2.0
WATCHED_S = 60.0  # while a persona trains
START_S = 60.0
SETTINGS = {
    "MOCKINGBIRD__DISCORD__COOLDOWN_SECONDS": "0",  # or what comes too soon is refused before it costs anything
    # or who asks again and again is refused from the two hundredth time on
    "MOCKINGBIRD__QUOTA__IMITATIONS_PER_PERSON_PER_DAY": "0",
    "MOCKINGBIRD__QUOTA__IMITATIONS_PER_PLACE_PER_DAY": "0",
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="make flood", description=__doc__)
    parser.add_argument("--rate", type=int, default=RATE, help="commands a second")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--watched", type=float, default=WATCHED_S, help="seconds of training")
    parser.add_argument("--only", choices=("flood", "training"))
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--bot", nargs=2, metavar=("DATA", "SECONDS"), help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.bot:
        print(json.dumps(asyncio.run(watched_bot(Path(asked.bot[0]), float(asked.bot[1])))))
        return
    parts = {
        "flood": partial(flood, rate=asked.rate, seconds=asked.seconds),
        "training": partial(beside_a_training, seconds=asked.watched),
    }
    found: dict[str, Any] = {}
    for part, measure in parts.items():
        if asked.only in (None, part):
            # A bot of its own, which has not told any other Discord of its commands.
            with tempfile.TemporaryDirectory(prefix="mockingbird-flood-") as folder:
                asyncio.run(prepare(Path(folder)))
                found |= asyncio.run(measure(Path(folder)))
    for name, figure in found.items():
        print(f"{name:>32}  {figure:,.3f}" if isinstance(figure, float) else f"{name:>32}  {figure:,}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


async def prepare(data: Path) -> None:
    """One persona that speaks and that everybody may use, and the tweets of another."""
    async with App(load_config(Path(os.devnull), {}), data, {}) as app:
        for handle in (SPEAKER, LEARNER):
            with as_file(files("bot") / "demo" / f"{handle}.jsonl") as path:
                await ingest(app.database, path, None, now_ms())
        job = await request(app.database, [SPEAKER], "quick", None, 0, now_ms())
        await app.carry_out(job, lambda step: None, lambda warning: None)

        def share(db: Db) -> None:
            persona = personas.speaking(db, SPEAKER)
            personas.share(db, persona.id, True)

        await app.database.run(share)


@contextlib.asynccontextmanager
async def discord_with(command: Sequence[str], heartbeat_s: float) -> AsyncIterator[tuple[LoopbackDiscord, Any]]:
    """A Discord, and a bot that is connected to it; the bot's process is ended at last."""
    async with LoopbackDiscord(heartbeat_s=heartbeat_s) as discord:
        discord.spec.active = False
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MOCKINGBIRD_")},
            **SETTINGS,
            "DISCORD_TOKEN": discord.token,
            "MOCKINGBIRD__DISCORD__API_BASE": discord.api_url,
            "MOCKINGBIRD__DISCORD__GATEWAY_URL": discord.gateway_url,
        }
        bot = await asyncio.create_subprocess_exec(
            sys.executable, "-P", *command, env=environ, stdout=asyncio.subprocess.PIPE
        )
        try:
            await discord.world.until(lambda: discord.world.commands.get(None) and discord.gateway.identifies, START_S)
            await discord.gateway.ready()
            yield discord, bot
        finally:
            if bot.returncode is None:
                bot.terminate()
            await bot.wait()


def place_with(discord: LoopbackDiscord, count: int) -> tuple[Channel, list[User]]:
    """A channel of a server, and so many who may speak in it."""
    world = discord.world
    guild = world.add_guild("Meadow")
    users = [world.add_user(f"person{number}") for number in range(count)]
    for user in users:
        world.join(guild, user)
    return next(iter(guild.channels.values())), users


async def flood(data: Path, rate: int, seconds: float) -> dict[str, Any]:
    """How soon each of a flood of commands is acknowledged, in seconds, and what memory the bot takes, in MiB."""
    async with discord_with(["-m", "bot", "--data", str(data), "run"], 41.25) as (discord, bot):
        channel, (loud, *others) = place_with(discord, 1 + OTHERS)
        await discord.world.answer(imitate(discord, channel, loud), START_S)  # the worker's start is not measured
        before = most = resident_mib(bot.pid)
        spent = cpu_seconds(bot.pid), time.process_time()
        chance, loop = random.Random(1), asyncio.get_running_loop()
        asked: list[Interaction] = []
        began = loop.time()
        while (passed := loop.time() - began) < seconds:
            while len(asked) < rate * passed:
                asked.append(imitate(discord, channel, loud if chance.random() < LOUD else chance.choice(others)))
            most = max(most, resident_mib(bot.pid))
            await asyncio.sleep(TICK)
        ours = time.process_time() - spent[1]
        spent_by_bot = cpu_seconds(bot.pid) - spent[0]
        with contextlib.suppress(TimeoutError):
            await discord.world.until(lambda: all(one.acknowledged_at for one in asked), ACKNOWLEDGE_S)
        taken = [one for one in asked if one.callback is not None and one.callback["type"] == 5]
        with contextlib.suppress(TimeoutError):
            await discord.world.until(lambda: all(is_there(one) for one in taken), DRAIN_S)
        drained = loop.time() - began - seconds
        after = sorted(one.after_s for one in asked if one.after_s is not None)
        return {
            "commands": len(asked),
            "commands_a_second": len(asked) / seconds,
            "unacknowledged": len(asked) - len(after),
            "acknowledged_p50_seconds": after[len(after) // 2],
            "acknowledged_p99_seconds": after[int(0.99 * len(after))],
            "acknowledged_worst_seconds": after[-1],
            "accepted": len(taken),
            "accepted_by_others": sum(one.user is not loud for one in taken),
            "accepted_and_unanswered": sum(not is_there(one) for one in taken),
            "drained_after_seconds": drained,
            "cpu_percent_of_the_bot": 100 * spent_by_bot / seconds,
            "cpu_percent_of_discord": 100 * ours / seconds,
            "mib_before": before,
            "mib_most": max(most, resident_mib(bot.pid)),
        }


async def beside_a_training(data: Path, seconds: float) -> dict[str, Any]:
    """How late the bot's loop and its heartbeats are while it trains and twenty people always wait for an imitation."""
    command = ["-m", "bench.flood", "--bot", str(data), str(seconds)]
    async with discord_with(command, HEARTBEAT_S) as (discord, bot):
        channel, users = place_with(discord, FLYING)
        done = 0

        async def keep_asking(user: User) -> None:
            nonlocal done
            while True:
                asked = imitate(discord, channel, user)
                await discord.world.until(partial(is_there, asked), START_S)
                done += 1

        asking = [asyncio.create_task(keep_asking(user)) for user in users]
        (connection,) = discord.gateway.connections
        said, _ = await bot.communicate()
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        beats = connection.beats
    gaps = [later - earlier for earlier, later in itertools.pairwise(beats)]
    late = [gap - HEARTBEAT_S for gap in gaps]
    heartbeats = {"heartbeats": len(beats), "heartbeat_latest_seconds": max(late)}
    return {**json.loads(said), "imitations": done, **heartbeats}


async def watched_bot(data: Path, seconds: float) -> dict[str, float]:
    """A bot on Discord that trains a persona meanwhile and looks how late its own loop is, in ms."""
    from bot.platforms.discord.run import Discord

    config = load_config(Path(os.devnull), os.environ)
    discord = Discord(config.discord, os.environ)
    async with App(config, data, os.environ, posters=[discord.poster]) as app:
        stop = asyncio.Event()
        await request(app.database, [LEARNER], "standard", None, 0, now_ms())
        running = asyncio.create_task(app.run(lambda post: None, stop, [partial(discord.run, app)]))
        training = run.folder_of(data, 2)
        end = time.monotonic() + START_S
        while not (training / "progress.jsonl").exists():
            if running.done() or time.monotonic() > end:
                running.cancel()
                raise SystemExit("the training did not begin")
            await asyncio.sleep(0.05)
        lags = await lateness(seconds, lambda: run.results(training) is not None)
        stop.set()
        await running
    return {"lag_p99_ms": lags[int(0.99 * len(lags))], "lag_worst_ms": lags[-1], "looks": len(lags)}


def is_there(asked: Interaction) -> bool:
    """Whether the texts are shown, and not only how many are ahead."""
    return asked.original is not None and MARK in asked.original.text


def imitate(discord: LoopbackDiscord, channel: Channel, user: User) -> Interaction:
    return discord.world.slash(channel, user, "imitate", handle=SPEAKER)


def cpu_seconds(pid: int) -> float:
    """What a process has computed; its children are not counted."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """What a process holds in memory; its children are not counted."""
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
