"""The demo: the whole main job on three invented people, without tokens and without downloads."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from bot import clock
from bot.app import App
from bot.cli import show
from bot.cli.signals import stop_on_signals
from bot.config import Config
from bot.domain import FeedEntry
from bot.flows import ingest, schedule, train
from bot.flows.imitate import Imitation

PEOPLE = ("lighthousejo", "breadwizard_ok", "ProfPettigrew")
CYBORG = ("lighthousejo", "breadwizard_ok")
SEED = 7
EVERY = "every 5s"


async def show_all(
    config: Config, data: Path | None, environ: Mapping[str, str], once: bool, as_json: bool, began: float
) -> None:
    """Imports, trains, imitates and posts, in a folder that is removed at the end unless `data` is given."""
    tell = show.note if as_json else show.say
    with demo_folder(data) as folder:
        async with App(config, folder, environ) as app:
            trained = [await learn(app, [handle], tell) for handle in PEOPLE]
            trained.append(await learn(app, CYBORG, tell))
            candidates = []
            for persona in (trained[0].persona.slug, trained[-1].persona.slug):
                done = await app.imitator.imitate(persona, "", 5, SEED, app.sampling)
                tell(f"\n{persona} says:")
                for candidate in done.accepted:
                    tell(show.item(candidate.text))
                candidates += rows(done)
            posts = await post(app, [found.persona.slug for found in trained], tell, once)
    tell("\nNow somebody real, who agreed to it: README.md says how, under Your own persona.")
    if as_json:
        show.as_json(
            {
                "seconds": time.monotonic() - began,
                "train_seconds": sum(found.results["train_seconds"] for found in trained),
                "personas": [found.persona.slug for found in trained],
                "candidates": candidates,
                "posts": [asdict(found) for found in posts],
            }
        )


@contextmanager
def demo_folder(data: Path | None) -> Iterator[Path]:
    if data is not None:
        yield data.absolute()
    else:
        with tempfile.TemporaryDirectory(prefix="mockingbird-demo-") as folder:
            yield Path(folder)


async def learn(app: App, handles: tuple[str, ...] | list[str], tell: Any) -> train.Trained:
    """Imports the handles' invented tweets and trains a persona on them."""
    for handle in handles:
        with as_file(files("bot") / "demo" / f"{handle}.jsonl") as path:
            held = await ingest.ingest(app.database, path, None, clock.now_ms())
    name = " + ".join(f"@{handle}" for handle in handles)
    tell(
        f"Learning how {name} tweets"
        + (f" from {held.counts.kept} tweets ..." if len(handles) == 1 else " together ...")
    )
    job = await train.request(app.database, handles, app.config.training.recipe, None, SEED, clock.now_ms())
    with show.progress(name) as bar:
        trained = await app.carry_out(job, lambda step: bar(asdict(step)), tell)
    tell(f"  {trained.results['train_seconds']:.0f} s; {show.gain(trained.results)}")
    return trained


def rows(done: Imitation) -> list[dict[str, Any]]:
    return [
        {"persona": done.persona.slug, "text": candidate.text, "seed": candidate.seed, "verdict": "accepted"}
        for candidate in done.accepted
    ]


async def post(app: App, personas: list[str], tell: Any, once: bool) -> list[FeedEntry]:
    """Lets every persona speak on a schedule, until Ctrl-C or, with `once`, until each has spoken."""
    stop = stop_on_signals()
    posts: list[FeedEntry] = []
    numbers: list[int] = []
    for index, persona in enumerate(personas):
        plan = schedule.Plan(persona, EVERY)
        added, _ = await schedule.add(app.database, app.moderators.of(), plan, SEED, clock.now_ms() - index)
        numbers.append(added.id)

    def on_post(entry: FeedEntry) -> None:
        posts.append(entry)
        tell(show.entry(entry))
        if once and {found.author for found in posts} >= set(personas):
            stop.set()

    tell("\nThe local feed, where they now post by themselves" + (":" if once else " (Ctrl-C ends it):"))
    try:
        await app.run(on_post, stop)
    finally:
        for number in numbers:
            await schedule.remove(app.database, number, clock.now_ms())
    return posts
