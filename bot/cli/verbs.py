"""The verbs: each opens the data directory, calls a flow and shows what came of it."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bot import clock, log
from bot.app import App
from bot.cli import demo, show
from bot.cli.signals import stop_on_signals
from bot.config import load_config
from bot.domain import FeedEntry
from bot.errors import NothingAcceptable
from bot.flows import ingest, schedule, train
from bot.flows.train import Trained
from bot.store import personas
from training.recipe import FULL

Verb = Callable[[App, argparse.Namespace], Awaitable[None]]


async def do(asked: argparse.Namespace, environ: Mapping[str, str], began: float) -> None:
    """Does one verb; `began` is when the command started, by the monotonic clock."""
    asked.began = began
    log.setup("INFO" if asked.verb == "run" else "CRITICAL", sys.stderr)
    config = load_config(asked.config, environ)
    if asked.verb == "demo":
        chosen = data_folder(asked.data, environ) if asked.data or environ.get("MOCKINGBIRD_DATA") else None
        await demo.show_all(config, chosen, environ, once=asked.once, as_json=asked.json, began=began)
        return
    verb = VERBS[f"{asked.verb} {asked.part}" if asked.verb == "schedule" else asked.verb]
    async with App(config, data_folder(asked.data, environ), environ) as app:
        await verb(app, asked)


def data_folder(chosen: Path | None, environ: Mapping[str, str]) -> Path:
    """--data, else MOCKINGBIRD_DATA, else where the XDG base directory specification puts data."""
    if chosen is not None:
        return chosen.absolute()
    if named := environ.get("MOCKINGBIRD_DATA"):
        return Path(named).absolute()
    home = environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "mockingbird"


async def import_file(app: App, asked: argparse.Namespace) -> None:
    done = await ingest.ingest(app.database, asked.file, asked.handle, clock.now_ms(), asked.dry_run)
    if asked.json:
        show.as_json({"handle": done.handle, **asdict(done.counts), "new": done.new})
        return
    counts = done.counts
    show.say(
        f"@{done.handle}: {counts.downloaded:,} downloaded = {counts.retweets:,} retweets + {counts.short:,} short "
        f"+ {counts.kept:,} kept; {done.new:,} new{' (dry run: nothing was held)' if asked.dry_run else ''}"
    )


async def train_persona(app: App, asked: argparse.Namespace) -> None:
    recipe = (asked.recipe or app.config.training.recipe) + (FULL if asked.full else "")
    job = await train.request(app.database, asked.handles, recipe, asked.weights, asked.seed, clock.now_ms())
    title = " + ".join(asked.handles) + (f" (going on with run {job.run_id})" if job.run_id is not None else "")
    try:
        with show.training_bar(title) as tell:
            trained = await app.carry_out(job, tell, show.note)
    except asyncio.CancelledError:
        show.note("Stopped; the same command goes on where it stopped.")
        raise
    report = training_report(trained, time.monotonic() - asked.began)
    if asked.json:
        show.as_json(report)
        return
    show.say(
        f"{trained.persona.slug}: run {trained.run_id} took {report['train_seconds']:.0f} s; "
        f"{show.gain(trained.results)}"
    )
    if trained.promoted:
        show.say(f"Now try: mockingbird imitate {trained.persona.slug}")
    else:
        show.say("It predicts the held-out tweets no better than the base, so it was not promoted.")


def training_report(trained: Trained, seconds: float) -> dict[str, Any]:
    """What `train --json` prints."""
    measured = (
        "train_seconds",
        "tokens_per_second",
        "heldout_loss",
        "base_heldout_loss",
        "heldout_perplexity",
        "heldout_bits_per_byte",
        "checkpoint_bytes",
    )
    return {
        "persona": trained.persona.slug,
        "run": trained.run_id,
        "recipe": trained.recipe,
        "seconds": seconds,
        **{name: trained.results[name] for name in measured},
        "promoted": trained.promoted,
    }


async def imitate(app: App, asked: argparse.Namespace) -> None:
    given = {
        name: value for name in ("temperature", "top_p", "max_tokens") if (value := getattr(asked, name)) is not None
    }
    sampling = replace(app.sampling, **given)
    done = await app.imitator.imitate(asked.persona, asked.prompt, asked.n, asked.seed, sampling, asked.reply_to)
    if done.cut:
        show.note("The prompt was too long: its beginning was left off.")
    if not done.accepted:
        raise NothingAcceptable(persona=done.persona.slug, reasons=done.reasons)
    if asked.json:
        candidates = [
            {
                "text": candidate.text,
                "seed": candidate.seed,
                "verdict": "accepted" if candidate.verdict.accepted else "refused",
                "reasons": list(candidate.verdict.reasons),
                "rank": candidate.rank,
            }
            for candidate in done.candidates
        ]
        show.as_json(
            {
                "persona": done.persona.slug,
                "checkpoint": done.checkpoint,
                "prompt": done.prompt,
                "message": done.message,
                "seconds": time.monotonic() - asked.began,
                "candidates": candidates,
            }
        )
        return
    for candidate in done.candidates:
        show.say(show.candidate(candidate))


async def list_personas(app: App, asked: argparse.Namespace) -> None:
    held = await app.database.run(personas.every)
    if not held:
        show.note("No personas yet: import somebody's tweets, then train.")
    if asked.json:
        show.as_json({"personas": [asdict(persona) for persona in held]})
        return
    for persona in held:
        show.say(f"{persona.slug}  {'run ' + str(persona.run_id) if persona.run_id else 'no checkpoint yet'}")


async def add_schedule(app: App, asked: argparse.Namespace) -> None:
    rule = clock.rule_from(asked.every, asked.cron)
    added, times = await schedule.add(
        app.database, app.moderator, asked.persona, rule, asked.tz, asked.prompt, clock.now_ms()
    )
    if asked.json:
        show.as_json(
            {**schedule_facts(added.id, asked.persona, rule, asked.tz), "next": [show.iso(at) for at in times]}
        )
        return
    show.say(f"Schedule {added.id}: {asked.persona}, {rule}. Its next times:")
    for at in times:
        show.say(f"  {show.moment(at, asked.tz)}")


async def list_schedules(app: App, asked: argparse.Namespace) -> None:
    listed = await schedule.listing(app.database)
    if not listed:
        show.note("No schedules yet: `mockingbird schedule add --help` says how to make one.")
    if asked.json:
        rows = [
            {
                **schedule_facts(found.id, persona.slug, found.rule, found.zone),
                "paused": found.paused,
                "next": None if found.next_due is None else show.iso(found.next_due),
            }
            for found, persona in listed
        ]
        show.as_json({"schedules": rows})
        return
    for found, persona in listed:
        following = "never again" if found.next_due is None else show.moment(found.next_due, found.zone)
        show.say(f"{found.id}  {persona.slug}  {found.rule}  {'paused' if found.paused else following}")


def schedule_facts(number: int, persona: str, rule: str, zone: str) -> dict[str, Any]:
    return {"schedule": number, "persona": persona, "rule": rule, "zone": zone}


async def remove_schedule(app: App, asked: argparse.Namespace) -> None:
    await schedule.remove(app.database, asked.id, clock.now_ms())
    changed(asked, "removed")


async def pause_schedule(app: App, asked: argparse.Namespace) -> None:
    await schedule.pause(app.database, asked.id, clock.now_ms())
    changed(asked, "paused")


async def resume_schedule(app: App, asked: argparse.Namespace) -> None:
    await schedule.resume(app.database, asked.id, clock.now_ms())
    changed(asked, "resumed")


def changed(asked: argparse.Namespace, what: str) -> None:
    if asked.json:
        show.as_json({"schedule": asked.id, "state": what})
    else:
        show.say(f"Schedule {asked.id} is {what}.")


async def run(app: App, asked: argparse.Namespace) -> None:
    posts: list[FeedEntry] = []

    def on_post(post: FeedEntry) -> None:
        posts.append(post)
        if not asked.json:
            show.say(show.entry(post))

    stop = stop_on_signals()
    show.note("Mockingbird is running; Ctrl-C stops it.")
    await app.run(on_post, stop)
    if asked.json:
        show.as_json({"posts": [asdict(post) for post in posts]})


VERBS: Mapping[str, Verb] = {
    "import": import_file,
    "train": train_persona,
    "imitate": imitate,
    "personas": list_personas,
    "schedule add": add_schedule,
    "schedule list": list_schedules,
    "schedule remove": remove_schedule,
    "schedule pause": pause_schedule,
    "schedule resume": resume_schedule,
    "run": run,
}
