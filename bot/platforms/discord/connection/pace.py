"""The pace: how long is waited before Discord is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Draw = Callable[[], float]  # a random number from 0 up to 1


@dataclass(frozen=True)
class Pace:
    """Seconds, but for the number of sessions. What costs nothing is tried again soon, so that the bot is back within
    about a minute of Discord; what costs an IDENTIFY less often, because those are counted; what a person must put
    right least often."""

    first_s: float = 1.0  # after the first failure; each further one doubles it, up to
    outage_s: float = 30.0  # when Discord was not reached, or failed,
    longest_s: float = 300.0  # when a session was begun, or we were told to ask less,
    refused_s: float = 900.0  # when Discord will not have the bot as it is,
    unsynced_s: float = 3600.0  # and when it did not take the commands, which begins with
    unsynced_first_s: float = 60.0
    token_s: float = 5.0  # how often it is looked whether another token was put in place of a refused one
    steady_s: float = 60.0  # a connection that lasted so long ends a row of failures
    login_s: float = 40.0  # the longest that logging in may take,
    open_s: float = 30.0  # and opening a connection, with the pause between sessions,
    close_s: float = 2.0  # and hanging up, and then what is still being answered
    resume_s: float = 180.0  # so long a session is tried to be resumed before a fresh client is built
    identify_s: float = 5.0  # between two sessions, as Discord asks
    sessions_per_day: int = 500  # Discord allows 1,000, and then takes the token away

    def wait_s(self, failures: int, longest_s: float, draw: Draw) -> float:
        """After so many failures in a row; half of it is drawn, so that many bots do not come at once."""
        return min(longest_s, self.first_s * 2.0 ** min(failures - 1, 30)) * (0.5 + draw() / 2)
