"""The queue: what people wait for."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bot import clock
from bot.app import App
from bot.domain import Asker, Request, RequestState
from bot.errors import UnknownRequest
from bot.store import requests
from bot.web.operation import Answer, Asked, Tell, operation


class One(Asked):
    id: int = Field(ge=0, lt=2**63)


@operation("GET", "/v1/requests", Asked)
async def every(app: App, asked: Asked, by: Asker, tell: Tell) -> Answer:
    return {
        "requests": [
            {
                **facts(found.request),
                "state": found.request.state if app.running else RequestState.WAITING,
                "ahead": found.ahead,
                "eta_seconds": found.eta_seconds,
            }
            for found in await app.desk.listing()
            if by.sees in (None, found.request.place)
        ]
    }


@operation("GET", "/v1/requests/{id}", One)
async def show(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    found = await request_of(app, asked, by)
    return {**facts(found), "answer": found.answer, "error": found.error}


@operation("DELETE", "/v1/requests/{id}", One)
async def cancel(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    return facts(await app.desk.cancel((await request_of(app, asked, by)).id))


async def request_of(app: App, asked: One, by: Asker) -> Request:
    """Raises UnknownRequest for one of another place."""
    found = await app.database.run(lambda db: requests.get(db, asked.id))
    if by.sees not in (None, found.place):
        raise UnknownRequest(request=asked.id)
    return found


def facts(request: Request) -> dict[str, Any]:
    return {
        "request": request.id,
        "kind": request.kind,
        "person": request.person,
        "place": request.place,
        "asked": dict(request.asked),
        "state": request.state,
        "since": clock.iso(request.created_at),
    }
