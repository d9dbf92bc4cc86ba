"""What goes wrong on demand: refused for now, failed, answered never."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Literal

from tests.servers.discord.objects import JSON

Says = Literal["429", "500", "502", "503", "504", "reset", "hang", "slow"]


@dataclass
class Fault:
    """Befalls the next `times` requests to a route ("POST /channels/{channel_id}/messages"; "*": any), after `skip`
    that go well. With `applied` the request is done nevertheless, and only its answer is lost; "slow" is answered after
    `delay_s`, and "hang" when the client has gone away."""

    route: str
    says: Says
    times: int = 1
    skip: int = 0
    applied: bool = False
    retry_after_s: float = 0.2
    scope: Literal["user", "global", "shared"] = "user"
    delay_s: float = 0.0
    happened: int = 0

    def __post_init__(self) -> None:
        assert not (self.applied and self.says == "429"), "nobody refuses what they apply"

    def befalls(self, route: str) -> bool:
        if self.route not in ("*", route) or self.happened >= self.times:
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.happened += 1
        return True


@dataclass
class Limit:
    """`count` requests in each `window_s` for a route, or for each channel, guild or webhook in it."""

    count: int
    window_s: float
    left: int = 0
    ends: float = 0.0

    def take(self) -> bool:
        now = time.time()
        if now >= self.ends:
            self.left, self.ends = self.count, now + self.window_s
        if self.left == 0:
            return False
        self.left -= 1
        return True

    def wait_s(self) -> float:
        """Until the window ends; never quite nothing, by which hikari would divide."""
        return max(0.001, round(self.ends - time.time(), 3))


def bucket_headers(name: str, count: int, left: int, after_s: float) -> dict[str, str]:
    return {
        "X-RateLimit-Limit": str(count),
        "X-RateLimit-Remaining": str(left),
        "X-RateLimit-Reset": f"{time.time() + after_s:.3f}",
        "X-RateLimit-Reset-After": f"{after_s:.3f}",
        "X-RateLimit-Bucket": name,
    }


def too_many(retry_after_s: float, scope: str) -> tuple[JSON, dict[str, str]]:
    is_global = scope == "global"
    body = {"message": "You are being rate limited.", "code": 0, "retry_after": retry_after_s, "global": is_global}
    headers = {"Retry-After": str(math.ceil(retry_after_s)), "X-RateLimit-Scope": scope}
    return body, headers | ({"X-RateLimit-Global": "true"} if is_global else {})
