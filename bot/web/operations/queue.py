"""The queue: what people wait for."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from bot import clock
from bot.app import App
from bot.domain import Request, RequestState
from bot.store import requests
from bot.web.operation import Answer, Asked, Tell, operation


class One(Asked):
    id: int = Field(ge=0, lt=2**63)


@operation("GET", "/v1/requests", Asked)
async def every(app: App, asked: Asked, tell: Tell) -> Answer:
    return {
        "requests": [
            {
                **facts(found.request),
                "state": found.request.state if app.running else RequestState.WAITING,
                "ahead": found.ahead,
                "eta_seconds": found.eta_seconds,
            }
            for found in await app.desk.listing()
        ]
    }


@operation("GET", "/v1/requests/{id}", One)
async def show(app: App, asked: One, tell: Tell) -> Answer:
    found = await app.database.run(lambda db: requests.get(db, asked.id))
    return {**facts(found), "answer": found.answer, "error": found.error}


@operation("DELETE", "/v1/requests/{id}", One)
async def cancel(app: App, asked: One, tell: Tell) -> Answer:
    return facts(await app.desk.cancel(asked.id))


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
