"""The outbox: what is to be said, what was, and what people decide about it."""

from __future__ import annotations

from functools import partial
from typing import Any

from pydantic import Field

from bot import clock
from bot.app import App
from bot.domain import Post, PostState
from bot.flows import decide
from bot.store import decisions, outbox
from bot.store.database import Db
from bot.web.operation import Answer, Asked, Tell, operation


class Every(Asked):
    state: PostState | None = None
    limit: int = Field(default=20, ge=1, le=1_000)


class One(Asked):
    id: str  # or as much of its beginning or end as only one post has


class Edit(One):
    text: str


class Confirm(One):
    remote_id: str | None = None


@operation("GET", "/v1/outbox", Every)
async def every(app: App, asked: Every, tell: Tell) -> Answer:
    states = () if asked.state is None else (asked.state,)

    def transaction(db: Db) -> list[dict[str, Any]]:
        return [waiting(db, post) for post in outbox.every(db, asked.limit, states)]

    return {"posts": await app.database.run(transaction)}


@operation("GET", "/v1/outbox/{id}", One)
async def show(app: App, asked: One, tell: Tell) -> Answer:
    return await app.database.run(lambda db: waiting(db, outbox.find(db, asked.id)))


@operation("GET", "/v1/outbox/{id}/explanation", One)
async def explain(app: App, asked: One, tell: Tell) -> Answer:
    return await app.database.run(lambda db: outbox.explain(db, asked.id))


@operation("POST", "/v1/outbox/{id}/approve", One)
async def approve(app: App, asked: One, tell: Tell) -> Answer:
    return facts(
        await app.database.run(lambda db: decisions.approve(db, asked.id, clock.now_ms(), app.lateness.max_late_ms))
    )


@operation("POST", "/v1/outbox/{id}/edit", Edit)
async def edit(app: App, asked: Edit, tell: Tell) -> Answer:
    judge = await app.judge_for(asked.id)
    change = partial(decisions.edit, name=asked.id, text=asked.text, judge=judge, now=clock.now_ms())
    return facts(await app.database.run(change))


@operation("POST", "/v1/outbox/{id}/replace", One)
async def replace(app: App, asked: One, tell: Tell) -> Answer:
    judge = await app.judge_for(asked.id)
    return facts(await decide.replace(app.database, asked.id, judge, app.speaker.further, clock.now_ms))


@operation("POST", "/v1/outbox/{id}/drop", One)
async def drop(app: App, asked: One, tell: Tell) -> Answer:
    return facts(await app.database.run(lambda db: decisions.drop(db, asked.id, clock.now_ms())))


@operation("POST", "/v1/outbox/{id}/retry", One)
async def retry(app: App, asked: One, tell: Tell) -> Answer:
    return facts(
        await app.database.run(lambda db: decisions.retry(db, asked.id, clock.now_ms(), app.lateness.max_late_ms))
    )


@operation("POST", "/v1/outbox/{id}/confirm", Confirm)
async def confirm(app: App, asked: Confirm, tell: Tell) -> Answer:
    return facts(await app.database.run(lambda db: decisions.confirm(db, asked.id, asked.remote_id, clock.now_ms())))


def waiting(db: Db, post: Post) -> dict[str, Any]:
    """A post, and why it is not said yet."""
    return {**facts(post), "waits_for": outbox.waits_for(db, post, clock.now_ms())}


def facts(post: Post) -> dict[str, Any]:
    return {
        "post": post.id,
        "kind": post.kind,
        "platform": post.platform,
        "account": post.account,
        "persona": post.cause.get("persona"),
        "state": post.state,
        "text": post.text,
        "due": clock.iso(post.due_at),
        "expires": clock.iso(post.expires_at),
        "attempts": post.attempts,
        "remote_id": post.remote_id,
        "error": post.error,
        "alternatives": [other["text"] for other in post.alternatives],
        "follows": post.parent_id,
        "part": post.cause.get("part", 1),
        "parts": post.cause.get("parts", 1),
    }
