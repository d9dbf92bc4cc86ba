"""Accounts: who speaks where, what they have used up, and whether they are paused."""

from __future__ import annotations

from typing import Any

from bot import clock
from bot.app import App
from bot.domain import Asker
from bot.errors import UnknownAccount, did_you_mean
from bot.platforms.local.poster import FEED
from bot.store import accounts, ledger
from bot.store.database import Db
from bot.web.operation import Answer, Asked, Tell, only_operator, operation


class One(Asked):
    platform: str
    account: str


@operation("GET", "/v1/accounts", Asked)
async def every(app: App, asked: Asked, by: Asker, tell: Tell) -> Answer:
    only_operator(by)
    now = clock.now_ms()

    def transaction(db: Db) -> list[dict[str, Any]]:
        held = {(found.platform, found.account): found for found in accounts.every(db)}
        rows = []
        for platform, account in sorted({*accounts.known(db), FEED}):
            found = held.get((platform, account))
            used: dict[str, float] = {**ledger.used(db, platform, account, now)}
            used["dollars_per_day"] = used.pop("micros_per_day") / 1_000_000
            paused = found is not None and found.paused_at is not None
            reason = found.reason if found is not None else None
            rows.append({"platform": platform, "account": account, "paused": paused, "reason": reason, "used": used})
        return rows

    return {"limits": app.config.limits.model_dump(), "accounts": await app.database.run(transaction)}


@operation("POST", "/v1/accounts/{platform}/{account}/pause", One)
async def pause(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    only_operator(by)

    def transaction(db: Db) -> None:
        check(db, asked)
        accounts.pause(db, asked.platform, asked.account, "its owner paused it", clock.now_ms())

    await app.database.run(transaction)
    return {"platform": asked.platform, "account": asked.account, "state": "paused"}


@operation("POST", "/v1/accounts/{platform}/{account}/resume", One)
async def resume(app: App, asked: One, by: Asker, tell: Tell) -> Answer:
    only_operator(by)

    def transaction(db: Db) -> None:
        check(db, asked)
        accounts.resume(db, asked.platform, asked.account)

    await app.database.run(transaction)
    return {"platform": asked.platform, "account": asked.account, "state": "resumed"}


def check(db: Db, asked: One) -> None:
    """Raises UnknownAccount for one that has nothing to say."""
    known = {f"{platform}/{account}" for platform, account in {*accounts.known(db), FEED}}
    name = f"{asked.platform}/{asked.account}"
    if name not in known:
        raise UnknownAccount(account=name, nearest=did_you_mean(name, known))
