"""The outbox: what is to be said, what was, and what people decide about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import Field

from bot import clock
from bot.app import App
from bot.domain import Asker, Post, PostState
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
async def every(app: App, asked: Every, by: Asker, tell: Tell) -> Answer:
    states = () if asked.state is None else (asked.state,)

    def transaction(db: Db) -> list[dict[str, Any]]:
        return [waiting(db, post) for post in outbox.every(db, asked.limit, states, by.sees)]

    return {"posts": await app.database.run(transaction)}


@operation("GET", "/v1/outbox/{id}", One)
async def show(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    return await app.database.run(lambda db: waiting(db, outbox.find(db, asked.id, by.sees)))


@operation("GET", "/v1/outbox/{id}/explanation", One)
async def explain(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    return await app.database.run(lambda db: outbox.explain(db, outbox.find(db, asked.id, by.sees).id))


@operation("POST", "/v1/outbox/{id}/approve", One)
async def approve(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    latest = app.lateness.max_late_ms
    return await decided(app, asked, by, lambda db, post: decisions.approve(db, post, clock.now_ms(), latest))


@operation("POST", "/v1/outbox/{id}/edit", Edit)
async def edit(app: App, asked: Edit, by: Asker, tell: Tell) -> Answer:
    judge = await app.judge_for(await named(app, asked, by))
    return await decided(app, asked, by, lambda db, post: decisions.edit(db, post, asked.text, judge, clock.now_ms()))


@operation("POST", "/v1/outbox/{id}/replace", One)
async def replace(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    post = await named(app, asked, by)
    judge = await app.judge_for(post)
    replaced = await decide.replace(app.database, post, judge, app.speaker.further, clock.now_ms)
    await app.database.run(lambda db: decisions.sign(db, post, by.person))
    return facts(replaced)


@operation("POST", "/v1/outbox/{id}/drop", One)
async def drop(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    return await decided(app, asked, by, lambda db, post: decisions.drop(db, post, clock.now_ms()))


@operation("POST", "/v1/outbox/{id}/retry", One)
async def retry(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    latest = app.lateness.max_late_ms
    return await decided(app, asked, by, lambda db, post: decisions.retry(db, post, clock.now_ms(), latest))


@operation("POST", "/v1/outbox/{id}/confirm", Confirm)
async def confirm(app: App, asked: Confirm, by: Asker, tell: Tell) -> Answer:
    remote_id = asked.remote_id
    return await decided(app, asked, by, lambda db, post: decisions.confirm(db, post, remote_id, clock.now_ms()))


async def decided(app: App, asked: One, by: Asker, decide: Callable[[Db, str], Post]) -> Answer:
    """Does what somebody decides about a post that they see, by its id."""

    def transaction(db: Db) -> Post:
        post = decide(db, outbox.find(db, asked.id, by.sees).id)
        decisions.sign(db, post.id, by.person)
        return post

    return facts(await app.database.run(transaction))


async def named(app: App, asked: One, by: Asker) -> str:
    return (await app.database.run(lambda db: outbox.find(db, asked.id, by.sees))).id


def waiting(db: Db, post: Post) -> dict[str, Any]:
    """A post, why it is not said yet, and who decided last about it."""
    decision = decisions.decided(db, post.id)
    return {
        **facts(post),
        "waits_for": outbox.waits_for(db, post, clock.now_ms()),
        "decided_by": None if decision is None else decision.person,
    }


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
