"""Places: what the people of a server or a chat have settled for it."""

from __future__ import annotations

from dataclasses import replace

from bot.app import App
from bot.domain import Asker
from bot.errors import UnknownAccount
from bot.store import accounts, places
from bot.store.database import Db
from bot.web.operation import Answer, Asked, Tell, operation


class Settle(Asked):
    notices: str | None = None  # the account, of the place's own platform, where drafts and notices are shown
    first: bool = False  # only if that was not settled before
    webhooks: bool | None = None


@operation("GET", "/v1/place", Asked)
async def show(app: App, asked: Asked, by: Asker, tell: Tell) -> Answer:
    return facts(await app.database.run(lambda db: places.get(db, by.place)))


@operation("POST", "/v1/place", Settle)
async def settle(app: App, asked: Settle, by: Asker, tell: Tell) -> Answer:
    """What is not given stays as it is."""
    platform = "local" if by.is_operator else by.place.partition(":")[0]

    def transaction(db: Db) -> places.Settled:
        settled = places.get(db, by.place)
        if asked.notices is not None and not (asked.first and settled.notices):
            if by.sees is not None and not accounts.may_be_of(db, platform, asked.notices, by.place):
                raise UnknownAccount(account=f"{platform}/{asked.notices}", nearest="")
            settled = replace(settled, notices=(platform, asked.notices))
        if asked.webhooks is not None:
            settled = replace(settled, webhooks=asked.webhooks)
        places.settle(db, by.place, settled)
        return settled

    return facts(await app.database.run(transaction))


def facts(settled: places.Settled) -> dict[str, object]:
    return {"notices": None if settled.notices is None else settled.notices[1], "webhooks": settled.webhooks}
