"""Schedules: what is said regularly, by whom, and on which conditions."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bot import clock
from bot.app import App
from bot.domain import Asker, Schedule
from bot.flows import schedule
from bot.flows.imitate import draw_seed
from bot.flows.schedule import Moment, Plan
from bot.store import personas
from bot.web.operation import Answer, Asked, Tell, operation


class Add(Asked):
    persona: str
    every: str | None = None  # "30m", or with `at` "2d", "1w" or "1mo"
    cron: str | None = None  # "0 9 * * mon-fri"
    at: str | None = None  # "09:00"
    on: str | None = None  # "2026-11-30", from which `every` counts
    times: int | None = None  # so many a day,
    between: str | None = None  # "09:00-21:00",
    apart: str | None = None  # "2h"
    zone: str = "UTC"
    prompt: str = ""
    quiet: str | None = None  # "22:00-07:00"
    jitter: str | None = None  # "10m"
    late: str | None = None  # "2h"
    chance: float = 1.0
    approval: str = "off"  # "always" or "first-20"
    platform: str = "local"
    account: str = "feed"


class Preview(Add):
    n: int = Field(default=5, ge=1, le=100)


class One(Asked):
    id: int = Field(ge=0, lt=2**63)


async def plan_of(app: App, asked: Add, by: Asker) -> Plan:
    app.check_platform(asked.platform)
    rule = clock.rule_from(asked.every, asked.cron, asked.at, asked.on, asked.times, asked.between, asked.apart)
    persona = await app.database.run(lambda db: personas.speaking(db, asked.persona, by.sees))
    return Plan(
        place=by.place,
        persona=persona.name,
        rule=rule,
        zone=asked.zone,
        prompt=asked.prompt,
        platform=asked.platform,
        account=asked.account,
        quiet="" if asked.quiet is None else clock.window_from(asked.quiet),
        jitter_s=0 if asked.jitter is None else clock.parse_every(asked.jitter),
        max_late_s=None if asked.late is None else clock.parse_every(asked.late),
        chance=asked.chance,
        approval=asked.approval,
    )


@operation("POST", "/v1/schedules", Add)
async def add(app: App, asked: Add, by: Asker, tell: Tell) -> Answer:
    plan = await plan_of(app, asked, by)
    moderator = app.moderators.of(by.place)
    added, coming = await schedule.add(app.database, moderator, plan, draw_seed(), clock.now_ms())
    return {**facts(added, plan.persona), "next": moments(coming)}


@operation("POST", "/v1/schedules/preview", Preview)
async def preview(app: App, asked: Preview, by: Asker, tell: Tell) -> Answer:
    plan = await plan_of(app, asked, by)
    moderator = app.moderators.of(by.place)
    coming = await schedule.preview(app.database, moderator, plan, draw_seed(), clock.now_ms(), asked.n)
    drawn = plan.rule.startswith("random") or plan.jitter_s > 0 or plan.chance < 1
    return {"persona": plan.persona, "rule": plan.rule, "zone": plan.zone, "drawn": drawn, "next": moments(coming)}


@operation("GET", "/v1/schedules", Asked)
async def every(app: App, asked: Asked, by: Asker, tell: Tell) -> Answer:
    listed = await schedule.listing(app.database, by.sees)
    return {
        "schedules": [
            {**facts(found, persona.name), "next": None if found.next_due is None else clock.iso(found.next_due)}
            for found, persona in listed
        ]
    }


@operation("GET", "/v1/schedules/{id}", One)
async def show(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    shown = await schedule.show(app.database, asked.id, clock.now_ms(), place=by.sees)
    past = [
        {
            "due": clock.iso(occurrence.due_at),
            "state": occurrence.state,
            "reason": occurrence.reason,
            "post": None if post is None else {"post": post[0], "state": post[1]},
        }
        for occurrence, post in shown.past
    ]
    return {**facts(shown.schedule, shown.persona.name), "next": moments(shown.coming), "past": past}


@operation("DELETE", "/v1/schedules/{id}", One)
async def remove(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    cancelled = await schedule.remove(app.database, asked.id, clock.now_ms(), by.sees)
    return {"schedule": asked.id, "state": "removed", "cancelled": [post.id for post in cancelled]}


@operation("POST", "/v1/schedules/{id}/pause", One)
async def pause(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    cancelled = await schedule.pause(app.database, asked.id, clock.now_ms(), by.sees)
    return {"schedule": asked.id, "state": "paused", "cancelled": [post.id for post in cancelled]}


@operation("POST", "/v1/schedules/{id}/resume", One)
async def resume(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    coming = await schedule.resume(app.database, asked.id, clock.now_ms(), by.sees)
    return {"schedule": asked.id, "state": "resumed", "next": moments(coming)}


def facts(of: Schedule, persona: str) -> dict[str, Any]:
    return {
        "schedule": of.id,
        "persona": persona,
        "rule": of.rule,
        "zone": of.zone,
        "platform": of.platform,
        "account": of.account,
        "prompt": of.prompt,
        "quiet": of.quiet,
        "jitter_seconds": of.jitter_s,
        "late_seconds": of.max_late_s,
        "chance": of.chance,
        "approval": of.approval,
        "paused": of.paused,
    }


def moments(coming: list[Moment]) -> list[dict[str, Any]]:
    return [{"due": clock.iso(moment.due_at), "speaks": moment.speaks} for moment in coming]
