"""People: how they are forgotten, and how they are left alone."""

from __future__ import annotations

from typing import Any

from bot import clock
from bot.app import App
from bot.domain import Asker
from bot.errors import BadRequest, NotOptedOut
from bot.flows import opt_out
from bot.flows.forget import forget as forget_all
from bot.flows.forget import held
from bot.store import opt_outs
from bot.store.erase import Held
from bot.web.operation import Answer, Asked, Tell, only_operator, operation


class Forget(Asked):
    handle: str
    everywhere: bool = False  # in all places, if whoever runs the bot asks
    dry_run: bool = False


class OptOut(Asked):
    handle: str | None = None  # None: whoever asks


@operation("POST", "/v1/forget", Forget)
async def forget(app: App, asked: Forget, by: Asker, tell: Tell) -> Answer:
    """What went or, with `dry_run`, would go; `said` stands on platforms, where only they can remove it."""
    if asked.dry_run:
        found = await held(app.database, asked.handle, by, asked.everywhere)
    else:
        found = await forget_all(
            *(app.database, app.desk, app.imitator, asked.handle, by, clock.now_ms, asked.everywhere, app.running)
        )
    return {"handle": found[0].handle, "places": [facts(of) for of in found], "dry_run": asked.dry_run}


def facts(of: Held) -> dict[str, Any]:
    return {
        "place": of.place,
        "tweets": of.tweets,
        "personas": [persona.slug for persona in of.personas],
        "runs": len(of.runs),
        "schedules": of.schedules,
        "waiting": of.waiting,
        "said": [{"platform": said.platform, "account": said.account, "remote_id": said.remote_id} for said in of.said],
    }


@operation("GET", "/v1/opt-outs", Asked)
async def opted_out(app: App, asked: Asked, by: Asker, tell: Tell) -> Answer:
    """The handles; people are nobody's business."""
    only_operator(by)
    return {"handles": await app.database.run(opt_outs.handles)}


@operation("POST", "/v1/opt-outs", OptOut)
async def leave(app: App, asked: OptOut, by: Asker, tell: Tell) -> Answer:
    """Whoever asks is left alone from now on. A handle is, if whoever runs the bot says so; others ask the people of
    their place to forget it."""
    now = clock.now_ms()
    if asked.handle is None:
        if by.is_operator:
            raise BadRequest(reason="Whose handle is not to be imitated must be said")
        return {"person": by.person, "new": await opt_out.leave(app.database, by.person, now)}
    name = opt_out.checked(asked.handle)
    if by.is_operator:
        new, cancelled = await opt_out.refuse(app.database, name, now)
        return {"handle": name, "new": new, "cancelled": cancelled}
    return {"handle": name, "asked": await opt_out.wish(app.database, name, by, now)}


@operation("DELETE", "/v1/opt-outs", OptOut)
async def come_back(app: App, asked: OptOut, by: Asker, tell: Tell) -> Answer:
    if asked.handle is not None:
        only_operator(by)
        return {"handle": await opt_out.allow(app.database, asked.handle)}
    if not await opt_out.come_back(app.database, by.person):
        raise NotOptedOut(who="You")
    return {"person": by.person}
