"""Accounts: who speaks where, what they have used up, and whether they are paused."""

from __future__ import annotations

from bot import clock
from bot.app import App
from bot.store import accounts, ledger, outbox
from bot.store.database import Db
from bot.web.operation import Answer, Asked, Tell, operation


class One(Asked):
    platform: str
    account: str


@operation("GET", "/v1/accounts", Asked)
async def every(app: App, asked: Asked, tell: Tell) -> Answer:
    now = clock.now_ms()

    def transaction(db: Db) -> list[dict[str, object]]:
        held = {(found.platform, found.account): found for found in accounts.every(db)}
        return [
            {
                "platform": platform,
                "account": account,
                "paused": (found := held.get((platform, account))) is not None and found.paused_at is not None,
                "reason": None if found is None else found.reason,
                "used": ledger.used(db, platform, account, now),
            }
            for platform, account in sorted({*held, *outbox.speaking(db)})
        ]

    return {"limits": app.config.limits.model_dump(), "accounts": await app.database.run(transaction)}


@operation("POST", "/v1/accounts/{platform}/{account}/pause", One)
async def pause(app: App, asked: One, tell: Tell) -> Answer:
    reason = "its owner paused it"
    await app.database.run(lambda db: accounts.pause(db, asked.platform, asked.account, reason, clock.now_ms()))
    return {"platform": asked.platform, "account": asked.account, "state": "paused"}


@operation("POST", "/v1/accounts/{platform}/{account}/resume", One)
async def resume(app: App, asked: One, tell: Tell) -> Answer:
    await app.database.run(lambda db: accounts.resume(db, asked.platform, asked.account))
    return {"platform": asked.platform, "account": asked.account, "state": "resumed"}
