"""Schedule: what is said regularly, by whom, where and when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from discord import app_commands

from bot.clock.spoken import duration, rule
from bot.errors import BadSchedule, MockingbirdError
from bot.platforms.discord.access.channels import Channel, account_of
from bot.platforms.discord.commands import completing
from bot.platforms.discord.front import PLATFORM, Front, Interaction
from bot.platforms.discord.kinds import Command, group
from bot.platforms.discord.layout.listing import Line, Listing, listing
from bot.platforms.discord.layout.parts import moment, place, view
from bot.platforms.discord.review import redress
from bot.platforms.discord.sentences import show, tell
from bot.platforms.discord.texts import name, quoted
from bot.web.operation import Answer, Asked
from bot.web.operations import places, schedules

MOST_MOMENTS = 10
APPROVAL = [
    app_commands.Choice(name=app_commands.locale_str(shown), value=value)
    for shown, value in (
        ("Every post", "always"), ("The first 5 posts", "first-5"), ("The first 20 posts", "first-20"), ("None", "off"),
    )
]  # fmt: skip
SUGGESTED = {
    "every": ("30m", "1h", "2h", "3h", "6h", "12h", "1d", "2d", "1w", "1mo"),
    "at": tuple(f"{hour:02}:00" for hour in range(24)),
    "quiet": ("22:00-07:00", "23:00-08:00", "00:00-09:00", "18:00-09:00"),
    "between": ("09:00-21:00", "08:00-22:00", "10:00-18:00", "18:00-23:00"),
    "apart": ("30m", "1h", "2h", "3h"),
    "jitter": ("5m", "10m", "30m", "1h"),
}
Act = Callable[[Interaction, Mapping[str, Any]], Awaitable[None]]


def schedule(front: Front) -> Command:
    made = group("schedule", "What personas say by themselves, and when")
    _add_planning(made, front)
    _add_listing(made, front)
    _add_changes(made, front)
    return made


# --- Making one -------------------------------------------------------------------------------------------------------


def _add_planning(to: app_commands.Group, front: Front) -> None:
    async def add(interaction: Interaction, asked: Mapping[str, Any]) -> None:
        answer = await front.ask(interaction, schedules.add, schedules.Add(**asked))
        notices = await _notices(front, interaction, asked["account"])
        head = f"**Schedule {answer['schedule']}**: {_when(answer)}\n{place(PLATFORM, answer['account'])}"
        foot = f"-# Drafts and notices for you go to {place(PLATFORM, notices)}; /settings changes that."
        await show(interaction, view(head, _moments(answer["next"]), foot))

    async def preview(interaction: Interaction, asked: Mapping[str, Any]) -> None:
        answer = await front.ask(interaction, schedules.preview, schedules.Preview(**asked, n=MOST_MOMENTS))
        drawn = "\n-# These are drawn: it will come at others like them." if answer["drawn"] else ""
        head = f"**{name(_slug(answer))}**, {rule(answer['rule'])} ({answer['zone']}), would speak at:"
        await show(interaction, view(head, _moments(answer["next"]) + drawn, "-# Nothing was stored."))

    _add_plan(to, front, "add", "Lets a persona speak by itself at the times that you choose", add)
    _add_plan(to, front, "preview", "Shows when such a schedule would speak, and makes none", preview)


def _add_plan(to: app_commands.Group, front: Front, called: str, description: str, act: Act) -> None:
    @to.command(name=called, description=description)
    @app_commands.describe(
        persona="Who speaks",
        every="How often: 30m, 3h, or days, weeks and months with a time of day: 1d, 2w, 1mo",
        at="The time of day that goes with days, weeks or months: 09:00",
        cron="Instead: a rule as in crontab, such as 0 9 * * mon-fri",
        times="Instead: so many times a day, at moments that are drawn",
        between="The part of the day for these times: 09:00-21:00",
        apart="How far apart these times are at least: 2h",
        channel="Where; this channel if you leave it out",
        approval="Which posts somebody must approve first; none if you leave it out",
        quiet="Part of the day in which nothing is said: 22:00-07:00",
        zone="Whose clock the times are of, such as Europe/Berlin; UTC if you leave it out",
        prompt="What each text begins with",
        chance="How likely it speaks when it is due: 0.5 is every other time",
        jitter="Up to how much later, so that it is less regular: 10m",
    )
    @app_commands.choices(approval=APPROVAL)
    async def command(
        interaction: Interaction,
        persona: app_commands.Range[str, 1, 100],
        every: str | None = None,
        at: str | None = None,
        cron: app_commands.Range[str, 1, 100] | None = None,
        times: app_commands.Range[int, 1, 100] | None = None,
        between: str | None = None,
        apart: str | None = None,
        channel: Channel | None = None,
        approval: str = "off",
        quiet: str | None = None,
        zone: str = "UTC",
        prompt: app_commands.Range[str, 1, 200] | None = None,
        chance: app_commands.Range[float, 0.01, 1.0] = 1.0,
        jitter: str | None = None,
    ) -> None:
        if at is not None and every is None:
            raise BadSchedule(reason="at goes with every, such as every:1d.")
        asked = {
            "persona": persona, "every": every, "at": at, "cron": cron, "times": times, "between": between,
            "apart": apart, "approval": approval, "quiet": quiet, "zone": zone, "prompt": prompt or "",
            "chance": chance, "jitter": jitter, "platform": PLATFORM, "account": account_of(interaction, channel),
        }  # fmt: skip
        await act(interaction, asked)

    command.autocomplete("persona")(completing.persona(front, speaking=True))
    command.autocomplete("zone")(completing.zone)
    for option, values in SUGGESTED.items():
        command.autocomplete(option)(_suggesting(values))


def _suggesting(values: tuple[str, ...]) -> completing.Complete:
    async def complete(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        return completing.choices(typed, values)

    return complete


async def _notices(front: Front, interaction: Interaction, account: str) -> str:
    """Where drafts and notices of this place are shown: unless that was settled, where this was asked, or else where it
    is spoken."""
    try:
        here = account_of(interaction, None)
    except MockingbirdError:
        here = account
    answer = await front.ask(interaction, places.settle, places.Settle(notices=here, first=True))
    return str(answer["notices"])


# --- Looking ----------------------------------------------------------------------------------------------------------


def _add_listing(to: app_commands.Group, front: Front) -> None:
    @to.command(name="list", description="All schedules of this place, and when each speaks next")
    async def every(interaction: Interaction) -> None:
        answer = await front.ask(interaction, schedules.every, Asked())
        lines = tuple(
            Line(f"{found['schedule']} · {_slug(found)}", _rest(found), _at(found["next"]))
            for found in answer["schedules"]
        )
        await show(interaction, listing(Listing("Schedules", lines, "None yet: /schedule add makes one.")))

    @to.command(name="show", description="A schedule with its next times, and what became of the last ones")
    @app_commands.describe(schedule="Which one")
    async def one(interaction: Interaction, schedule: app_commands.Range[int, 1]) -> None:
        answer = await front.ask(interaction, schedules.show, schedules.One(id=schedule))
        head = f"**Schedule {answer['schedule']}**: {_when(answer)}\n{place(answer['platform'], answer['account'])}"
        begins = f"Begins with\n{quoted(answer['prompt'])}" if answer["prompt"] else ""
        past = "\n".join(_past(found) for found in answer["past"])
        coming = "It is paused." if answer["paused"] else _moments(answer["next"])
        await show(interaction, view(*filter(None, [head, begins, coming, past])))

    one.autocomplete("schedule")(_completing(front))


# --- Changing ---------------------------------------------------------------------------------------------------------


def _add_changes(to: app_commands.Group, front: Front) -> None:
    for called, description, operation in (
        ("pause", "Silences a schedule until it is resumed", schedules.pause),
        ("resume", "Lets a paused schedule go on", schedules.resume),
        ("remove", "Removes a schedule, and what it has queued", schedules.remove),
    ):
        _add_change(to, front, called, description, operation)


def _add_change(to: app_commands.Group, front: Front, called: str, description: str, operation: Any) -> None:
    @to.command(name=called, description=description)
    @app_commands.describe(schedule="Which one")
    async def command(interaction: Interaction, schedule: app_commands.Range[int, 1]) -> None:
        answer = await front.ask(interaction, operation, schedules.One(id=schedule))
        cancelled = len(answer.get("cancelled", ()))
        taken = f" What it had queued is cancelled ({cancelled})." if cancelled else ""
        await tell(interaction, f"Schedule {schedule} is {answer['state']}.{taken}")
        if cancelled:  # their notices still have buttons
            front.following.start(f"redress:{interaction.id}", partial(redress, front, answer["cancelled"]))

    command.autocomplete("schedule")(_completing(front))


def _completing(front: Front) -> Any:
    async def complete(interaction: Interaction, typed: str) -> list[app_commands.Choice[int]]:
        answer = await front.ask(interaction, schedules.every, Asked())
        names = {found["schedule"]: f"{_slug(found)} · {rule(found['rule'])}" for found in answer["schedules"]}
        return completing.numbered(str(typed), names)

    return complete


# --- In words ---------------------------------------------------------------------------------------------------------


def _slug(of: Answer) -> str:
    return str(of["persona"]).rpartition("/")[2]


def _when(of: Answer) -> str:
    return f"{name(_slug(of))}, {name(_rest(of), 400)}"


def _rest(of: Answer) -> str:
    """Its rule and conditions."""
    said = [
        f"{rule(of['rule'])} ({of['zone']})",
        f"quiet {of['quiet']}" if of["quiet"] else "",
        f"up to {duration(of['jitter_seconds'])} later" if of["jitter_seconds"] else "",
        f"chance {of['chance']:g}" if of["chance"] < 1 else "",
        f"approval {of['approval']}" if of["approval"] != "off" else "",
        "paused" if of["paused"] else "",
    ]
    return ", ".join(filter(None, said))


def _at(instant: str | None) -> int | None:
    return None if instant is None else round(datetime.fromisoformat(instant).timestamp() * 1000)


def _moments(coming: list[Mapping[str, Any]]) -> str:
    lines = [moment(_at(found["due"]) or 0) + ("" if found["speaks"] else ", but chance says no") for found in coming]
    return "\n".join(lines) or "It never speaks again."


def _past(found: Mapping[str, Any]) -> str:
    became = f"post {found['post']['post'][-8:]} is {found['post']['state']}" if found["post"] else found["state"]
    reason = f" ({name(found['reason'], 200)})" if found["reason"] else ""
    return f"-# {moment(_at(found['due']) or 0)} {became}{reason}"
