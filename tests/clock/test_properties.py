"""Whatever the rule, zone and conditions: what is true of all due times."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bot import clock

DAY = 86_400_000
ZONES = ["America/New_York", "Europe/Helsinki", "Australia/Lord_Howe", "Africa/Cairo", "UTC"]
# Near the changes of 2026 in these zones, or anywhere.
STARTS = [
    round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000
    for text in ("2026-03-08T07:00", "2026-11-01T06:00", "2026-03-29T01:00", "2026-10-25T01:00", "2026-10-03T15:30",
                 "2026-04-04T15:00", "2026-04-23T22:00", "2026-07-01T00:00")
]  # fmt: skip


def minutes(least: int, most: int) -> st.SearchStrategy[str]:
    return st.integers(least, most).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")


@st.composite
def windows(draw: st.DrawFn, shortest: int = 1, longest: int = 1440) -> str:
    start = draw(st.integers(0, 1439))
    end = (start + draw(st.integers(shortest, longest))) % 1440
    assume(start != end)
    return f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"


@st.composite
def randoms(draw: st.DrawFn) -> str:
    window = draw(windows(shortest=90, longest=1200))
    return f"random {draw(st.integers(1, 4))} {window} {60 * draw(st.integers(1, 22))}s"


CRONS = ["*/15 * * * *", "30 1,2,3 * * *", "0 0 * * *", "7 9 * * mon,fri", "59 23 1 * *"]
RULES = st.one_of(
    st.sampled_from([60, 900, 3600, 86_400]).map(lambda step: f"every {step}s"),
    st.sampled_from(CRONS).map("cron {}".format),
    st.builds("calendar {} {}".format, st.sampled_from(["1d", "2d", "1w", "1mo"]), minutes(0, 1439)),
    randoms(),
)  # fmt: skip


@st.composite
def schedules(draw: st.DrawFn, start: int) -> clock.Times:
    times = clock.Times(draw(RULES), draw(st.sampled_from(ZONES)), start, draw(st.integers(0, 2**31)))
    if not times.rule.startswith("random"):
        named = clock.upcoming(times, start, 6)
        shortest = min(later[0] - sooner[0] for sooner, later in itertools.pairwise(named))
        times = replace(times, jitter_s=draw(st.integers(0, min(7200, shortest // 1000))))
    if draw(st.booleans()):
        times = replace(times, quiet=draw(windows(longest=700)))
    return times


def anywhen() -> st.SearchStrategy[int]:
    return st.builds(lambda start, off: start + off, st.sampled_from(STARTS), st.integers(-2 * DAY, 2 * DAY))


@settings(max_examples=60, deadline=None)
@given(st.data(), anywhen())
def test_due_times_increase_never_fall_into_quiet_hours_and_do_not_depend_on_when_we_ask(
    data: st.DataObject, start: int
) -> None:
    times = data.draw(schedules(start))
    found = clock.upcoming(times, start, 12)
    assert all(sooner[0] < later[0] for sooner, later in itertools.pairwise([(start, ""), *found]))
    assert len({key for _, key in found}) == len(found)
    assert not any(clock.quiet_at(times, at) for at, _ in found)
    for sooner, later in itertools.pairwise(found):
        asked = data.draw(st.integers(sooner[0], later[0] - 1))
        assert clock.next_due(times, asked) == later


@settings(max_examples=60, deadline=None)
@given(st.data(), anywhen())
def test_the_last_due_moment_is_the_one_to_which_walking_leads(data: st.DataObject, start: int) -> None:
    times = data.draw(schedules(start))
    first = clock.next_due(times, start)
    assume(first is not None)
    assert first is not None
    now = first[0] + data.draw(st.integers(-1000, DAY))
    walked = list(itertools.islice(itertools.takewhile(lambda due: due[0] <= now, clock.dues(times, start)), 2000))
    assert clock.latest_due(times, first[0], now) == (walked[-1] if walked else None)


@settings(max_examples=60, deadline=None)
@given(st.data(), anywhen())
def test_jitter_makes_late_by_at_most_what_was_wished_and_never_reorders(data: st.DataObject, start: int) -> None:
    times = data.draw(schedules(start))
    plain = replace(times, jitter_s=0)
    late = clock.upcoming(times, start, 12)
    named = {key: at for at, key in clock.upcoming(plain, start - times.jitter_s * 1000, 14)}
    for at, key in late:
        assert 0 <= at - named[key] <= times.jitter_s * 1000
        following = clock.next_due(replace(plain, quiet=""), named[key])
        assert following is None or at < following[0]


@settings(max_examples=60, deadline=None)
@given(randoms(), st.sampled_from(ZONES), st.integers(0, 2**31), anywhen())
def test_random_times_keep_their_window_number_and_distance(rule: str, zone: str, seed: int, start: int) -> None:
    _, number, between, apart = rule.split()
    begin, end = (int(time[:2]) * 60 + int(time[3:]) for time in between.split("-"))
    length = (end - begin) % 1440
    apart_ms = int(apart.removesuffix("s")) * 1000
    found = clock.upcoming(clock.Times(rule, zone, start, seed), start, 5 * int(number))
    assert all(later[0] - sooner[0] >= apart_ms for sooner, later in itertools.pairwise(found))
    days: dict[object, int] = {}
    for at, key in found:
        wall = clock.utc(at).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        assert key == wall.isoformat(timespec="minutes")
        since = (wall.hour * 60 + wall.minute - begin) % 1440
        assert since < length
        day = (wall - timedelta(minutes=since)).date()
        days[day] = days.get(day, 0) + 1
    # On the first and last of these days we may have seen a part only; a change of the clocks may take a window's room.
    whole = list(days.values())[1:-1]
    room = (length - 61 - int(apart.removesuffix("s")) // 60) * 60_000 // apart_ms + 1
    assert all(seen == int(number) or (room < int(number) and seen < int(number)) for seen in whole)
