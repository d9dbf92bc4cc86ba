"""The verbs: each asks for one operation, here or of the running bot, and shows what came of it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bot import log
from bot.app import App
from bot.cli import lines, show
from bot.cli.signals import stop_on_signals
from bot.config import Config, load_config, secret
from bot.domain import FeedEntry
from bot.errors import MockingbirdError
from bot.web.door import Inside, door
from bot.web.operation import Answer, Operation
from bot.web.operations import (
    accounts,
    feed,
    imitations,
    listening,
    outbox,
    people,
    personas,
    posts,
    queue,
    quiet,
    schedules,
    settings,
    timelines,
    trainings,
)

logger = logging.getLogger(__name__)

MOST_TOLD = 10_000  # posts that `run --json` tells of at the end: the newest
Show = Callable[[Answer], Iterable[str]]


@dataclass(frozen=True)
class Verb:
    """What is asked for, with the arguments of the same names, and how its answer is shown to people."""

    operation: Operation[Any]
    lines: Show
    timed: bool = False  # whether --json tells how long the command took
    by_bot: bool = False  # whether it is the running bot that does what was asked for, later


VERBS: Mapping[str, Verb] = {
    "import": Verb(timelines.hold, lines.held),
    "train": Verb(trainings.begin, lines.trained, timed=True),
    "imitate": Verb(imitations.imitate, lines.imitation, timed=True),
    "personas": Verb(personas.every, lines.personas),
    "post": Verb(posts.say, lines.posts, by_bot=True),
    "feed": Verb(feed.newest, lines.feed),
    "schedule add": Verb(schedules.add, lines.schedule_added, by_bot=True),
    "schedule preview": Verb(schedules.preview, lines.schedule_previewed),
    "schedule list": Verb(schedules.every, lines.schedules),
    "schedule show": Verb(schedules.show, lines.schedule),
    "schedule remove": Verb(schedules.remove, lines.schedule_changed),
    "schedule pause": Verb(schedules.pause, lines.schedule_changed),
    "schedule resume": Verb(schedules.resume, lines.schedule_changed),
    "outbox list": Verb(outbox.every, lines.posts),
    "outbox show": Verb(outbox.show, lines.post),
    "outbox explain": Verb(outbox.explain, lines.explanation),
    "outbox approve": Verb(outbox.approve, lines.post, by_bot=True),
    "outbox edit": Verb(outbox.edit, lines.post),
    "outbox replace": Verb(outbox.replace, lines.post),
    "outbox drop": Verb(outbox.drop, lines.post),
    "outbox retry": Verb(outbox.retry, lines.post, by_bot=True),
    "outbox confirm": Verb(outbox.confirm, lines.post),
    "queue list": Verb(queue.every, lines.requests, by_bot=True),
    "queue show": Verb(queue.show, lines.request),
    "queue cancel": Verb(queue.cancel, lines.request),
    "ban-phrase add": Verb(quiet.ban, lines.banned),
    "ban-phrase list": Verb(quiet.phrases_banned, lines.phrases),
    "ban-phrase remove": Verb(quiet.unban, lines.unbanned),
    "mute add": Verb(quiet.mute, lines.muted),
    "mute list": Verb(quiet.muted, lines.mutes),
    "mute remove": Verb(quiet.unmute, lines.unmuted),
    "reply set": Verb(listening.settle, lines.listening),
    "reply off": Verb(listening.off, lines.listening),
    "reply list": Verb(listening.every, lines.listenings),
    "account list": Verb(accounts.every, lines.accounts),
    "account pause": Verb(accounts.pause, lines.account),
    "account resume": Verb(accounts.resume, lines.account),
    "forget": Verb(people.forget, lines.forgotten),
    "optout add": Verb(people.leave, lines.opted_out),
    "optout list": Verb(people.opted_out, lines.opt_outs),
    "optout remove": Verb(people.come_back, lines.opted_in),
    "persona share": Verb(personas.share, lines.shared),
    "persona unshare": Verb(personas.share, lines.shared),
    "config reload": Verb(settings.reload, lines.reloaded, by_bot=True),
}


async def do(asked: argparse.Namespace, environ: Mapping[str, str], began: float) -> None:
    """Does one verb; `began` is when the command started, by the monotonic clock."""
    log.setup("INFO" if asked.verb == "run" else "CRITICAL", sys.stderr)
    read_config = partial(load_config, asked.config, environ)
    config = read_config()
    if asked.verb == "demo":
        from bot.cli import demo  # what it shows takes longer to import than most commands take

        chosen = data_folder(asked.data, environ) if asked.data or environ.get("MOCKINGBIRD_DATA") else None
        await demo.show_all(config, chosen, environ, once=asked.once, as_json=asked.json, began=began)
        return
    folder = data_folder(asked.data, environ)
    open_app = partial(App, config, folder, environ, read_config)
    if asked.verb == "run":
        await run(open_app, config, environ, asked.json)
    else:
        await ask(VERBS[" ".join(filter(None, (asked.verb, asked.part)))], folder, open_app, asked, began)


def data_folder(chosen: Path | None, environ: Mapping[str, str]) -> Path:
    """--data, else MOCKINGBIRD_DATA, else where the XDG base directory specification puts data."""
    if chosen is not None:
        return chosen.absolute()
    if named := environ.get("MOCKINGBIRD_DATA"):
        return Path(named).absolute()
    home = environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "mockingbird"


async def ask(verb: Verb, folder: Path, open_app: Callable[[], App], asked: argparse.Namespace, began: float) -> None:
    """Asks, showing progress meanwhile, and shows the answer."""
    wish = verb.operation.asked(
        **{name: getattr(asked, name) for name in verb.operation.asked.model_fields if hasattr(asked, name)}
    )
    async with door(folder, open_app) as found:
        try:
            with show.progress(title_of(asked)) as tell:
                answer = await found.ask(verb.operation, wish, tell)
        except asyncio.CancelledError:
            if verb.operation is trainings.begin:
                here = isinstance(found, Inside)
                show.note(lines.STOPPED if here else lines.LEFT)
            raise
        if verb.by_bot and isinstance(found, Inside) and not asked.json:
            show.note(lines.NO_BOT)
    if asked.json:
        timing = {"seconds": time.monotonic() - began} if verb.timed else {}
        show.as_json({**answer, **timing})
        return
    for line in verb.lines(answer):
        show.say(line)


def title_of(asked: argparse.Namespace) -> str:
    return " + ".join(getattr(asked, "handles", ()))


async def run(open_app: Callable[..., App], config: Config, environ: Mapping[str, str], as_json: bool) -> None:
    """The bot, until Ctrl-C or SIGTERM; SIGHUP reads the configuration again."""
    from bot.web.api import serving  # aiohttp takes longer to import than most commands take

    discord = None
    if secret(config.discord.token_env, environ) is not None:
        from bot.platforms.discord.run import Discord  # and so does discord.py

        discord = Discord(config.discord, environ)
    posters = () if discord is None else (discord.poster,)
    posts: deque[FeedEntry] = deque(maxlen=MOST_TOLD)

    def on_post(post: FeedEntry) -> None:
        if as_json:
            posts.append(post)
        else:
            show.say(show.entry(post))

    async with open_app(posters=posters) as app, serving(app):
        beside = () if discord is None else (partial(discord.run, app),)
        stop = stop_on_signals()
        hung_up = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up.set)
        reloading = asyncio.create_task(keep_reloading(app, hung_up))
        show.note("Mockingbird is running; Ctrl-C stops it.")
        if discord is None:
            show.note(f"It is not on Discord: {config.discord.token_env} holds no token.")
        try:
            await app.run(on_post, stop, beside)
        finally:
            reloading.cancel()
    if as_json:
        show.as_json({"posts": [asdict(post) for post in posts]})


async def keep_reloading(app: App, asked: asyncio.Event) -> None:
    """Reads the configuration again whenever that is asked for; a mistake in it is told and changes nothing."""
    while True:
        await asked.wait()
        asked.clear()
        try:
            applied, restart = await app.reload()
        except MockingbirdError as error:
            logger.error("the configuration stays as it is: %s", error)
        except Exception:
            logger.exception("the configuration could not be read again")
        else:
            for line in lines.reloaded({"applied": applied, "needs_restart": restart}):
                logger.info("configuration read again: %s", line)
