"""Requests keep their fair order whatever becomes of the bot, and nobody has more of them than is allowed."""

import sqlite3

import pytest
import sqlite_utils

from bot.config import QuotaSettings
from bot.domain import Request, RequestState
from bot.errors import PoolFull, QuotaSpent, TooManyWaiting, UnknownRequest
from bot.store import jobs, personas, requests, timelines
from bot.store.migrations import migrations

HOUR = 3_600_000
FREE = QuotaSettings(
    waiting_per_person=0,
    imitations_per_person_per_day=0,
    imitations_per_place_per_day=0,
    trainings_per_person_per_day=0,
    trainings_per_place_per_day=0,
)


@pytest.fixture
def db() -> sqlite_utils.Database:
    opened = sqlite_utils.Database(sqlite3.connect(":memory:"))
    opened.execute("PRAGMA foreign_keys = ON")
    migrations.apply(opened)
    return opened


def ask(
    db: sqlite_utils.Database,
    person: str,
    now: int = 5,
    quota: QuotaSettings = FREE,
    place: str = "hall",
    kind: str = "imitate",
    deadline_at: int | None = None,
) -> Request:
    return requests.add(db, quota, kind, person, place, {"persona": "jo"}, now, deadline_at)


def take(db: sqlite_utils.Database, kind: str = "imitate") -> Request:
    request = requests.waiting(db, kind)
    assert request is not None
    requests.start(db, request.id, now=6)
    return requests.get(db, request.id)


def served(db: sqlite_utils.Database, count: int) -> list[str]:
    return [take(db).person for _ in range(count)]


# --- Order ------------------------------------------------------------------------------------------------------------


def test_a_request_is_what_was_asked(db: sqlite_utils.Database) -> None:
    asked = {"persona": "jo", "prompt": "caf\u00e9 \ud800", "n": 5, "seed": None}
    made = requests.add(db, FREE, "imitate", "ann", "hall", asked, 5, 9)
    assert made == Request(1, "imitate", "ann", "hall", asked, RequestState.WAITING, None, None, None, 5, None, 9)
    assert requests.get(db, 1) == made
    with pytest.raises(UnknownRequest, match="no request 7"):
        requests.get(db, 7)


def test_one_person_s_hundred_do_not_keep_another_waiting(db: sqlite_utils.Database) -> None:
    for _ in range(100):
        ask(db, "ann")
    assert served(db, 1) == ["ann"]
    ask(db, "bea")
    assert served(db, 3) == ["bea", "ann", "ann"]
    for person in ("bea", "cy", "bea"):
        ask(db, person)
    assert served(db, 5) == ["bea", "cy", "ann", "bea", "ann"]


def test_kinds_have_orders_of_their_own(db: sqlite_utils.Database) -> None:
    for _ in range(3):
        ask(db, "ann")
    ask(db, "ann", kind="train")
    ask(db, "bea", kind="train")
    assert take(db, "train").person == "ann"


def test_what_was_taken_back_before_its_turn_delays_nobody(db: sqlite_utils.Database) -> None:
    for _ in range(10):
        requests.cancel(db, ask(db, "ann").id, "unwanted", now=6)
    ask(db, "bea")
    ask(db, "ann")
    ask(db, "bea")
    assert served(db, 3) == ["bea", "ann", "bea"]


def test_what_ran_waits_again_in_its_old_place_unless_it_is_still_being_done(db: sqlite_utils.Database) -> None:
    for person in ("ann", "bea", "cy"):
        ask(db, person)
    assert served(db, 2) == ["ann", "bea"]
    ask(db, "dee")
    assert requests.recover(db, doing=[2]) == 1
    assert served(db, 3) == ["ann", "cy", "dee"]


def test_the_order_outlives_the_memory_of_what_was_done(db: sqlite_utils.Database) -> None:
    for _ in range(5):
        ask(db, "ann")
    for _ in range(3):
        requests.answer(db, take(db).id, {}, now=7)
    assert requests.prune(db, now=7 + 25 * HOUR) == 3
    ask(db, "bea", now=8 + 25 * HOUR)
    assert served(db, 3) == ["ann", "bea", "ann"]


# --- Ends -------------------------------------------------------------------------------------------------------------


def test_a_request_ends_once(db: sqlite_utils.Database) -> None:
    answered, failed, cancelled = (ask(db, "ann").id for _ in range(3))
    requests.answer(db, answered, {"candidates": ["é"]}, now=7)
    requests.fail(db, failed, "no", now=7)
    requests.cancel(db, cancelled, "unwanted", now=7)
    for request_id in (answered, failed, cancelled):
        with pytest.raises(LookupError):
            requests.fail(db, request_id, "twice", now=8)
        requests.requeue(db, request_id)
    assert requests.unfinished(db) == []
    assert requests.get(db, answered).answer == {"candidates": ["é"]}
    assert [requests.get(db, number).error for number in (failed, cancelled)] == ["no", "unwanted"]


def test_what_nobody_waits_for_any_more_fails_before_its_turn(db: sqlite_utils.Database) -> None:
    late, running, patient = ask(db, "ann", deadline_at=10), ask(db, "bea", deadline_at=10), ask(db, "cy")
    requests.start(db, running.id, now=6)
    assert requests.expire(db, now=10) == []
    assert requests.expire(db, now=11) == [late]
    assert requests.get(db, late.id).error == "It was too late: its time was over before its turn came."
    assert requests.waiting(db, "imitate") == patient


def test_the_mean_is_of_answered_imitations(db: sqlite_utils.Database) -> None:
    assert requests.mean_seconds(db) is None
    for seconds in (2, 4):
        requests.answer(db, take(db).id if requests.waiting(db, "imitate") else started(db), {}, 6 + 1000 * seconds)
    assert requests.mean_seconds(db) == 3.0


def started(db: sqlite_utils.Database) -> int:
    ask(db, "ann")
    return take(db).id


# --- Quotas -----------------------------------------------------------------------------------------------------------


def test_so_many_wait_in_all_and_of_one_person(db: sqlite_utils.Database) -> None:
    quota = FREE.model_copy(update={"max_waiting": 4, "waiting_per_person": 2})
    ask(db, "ann", quota=quota)
    ask(db, "ann", quota=quota, kind="train")
    with pytest.raises(TooManyWaiting, match="You already have 2 waiting"):
        ask(db, "ann", quota=quota)
    take(db)
    for person in ("ann", "bea", "cy"):
        ask(db, person, quota=quota)
    with pytest.raises(PoolFull, match="already 4 requests waiting"):
        ask(db, "dee", quota=quota)
    assert len(requests.unfinished(db)) == 5


@pytest.mark.parametrize(("kind", "what"), [("imitate", "imitations"), ("train", "trainings")])
def test_a_day_s_quota_of_a_person_says_when_it_frees(db: sqlite_utils.Database, kind: str, what: str) -> None:
    quota = FREE.model_copy(update={f"{what}_per_person_per_day": 2})
    for now in (0, HOUR):
        ask(db, "ann", now, quota, kind=kind)
    with pytest.raises(QuotaSpent) as caught:
        ask(db, "ann", 2 * HOUR - 30_000, quota, kind=kind)
    assert str(caught.value) == (
        f"You had 2 {what} in the last 24 hours, as many as are allowed: the next one is possible in 22 hours 1 minute."
    )
    ask(db, "ann", 2 * HOUR, quota, kind="train" if kind == "imitate" else "imitate")
    ask(db, "bea", 2 * HOUR, quota, kind=kind)
    ask(db, "ann", 24 * HOUR, quota, kind=kind)
    with pytest.raises(QuotaSpent, match="possible in 1 hour\\."):
        ask(db, "ann", 24 * HOUR, quota, kind=kind)


def test_a_place_has_a_quota_too_and_the_operator_has_none_at_home(db: sqlite_utils.Database) -> None:
    quota = FREE.model_copy(update={"imitations_per_place_per_day": 1, "imitations_per_person_per_day": 1})
    ask(db, "ann", quota=quota)
    with pytest.raises(QuotaSpent, match="This place had 1 imitations"):
        ask(db, "bea", quota=quota)
    ask(db, "bea", quota=quota, place="kitchen")
    for _ in range(3):
        ask(db, "operator", quota=quota, place="shell")
    with pytest.raises(QuotaSpent, match="You had"):
        ask(db, "operator", quota=quota, place="garden")


def test_what_was_taken_back_in_time_is_not_counted(db: sqlite_utils.Database) -> None:
    quota = FREE.model_copy(update={"imitations_per_person_per_day": 1})
    requests.cancel(db, ask(db, "ann", quota=quota).id, "unwanted", now=6)
    ask(db, "ann", quota=quota)
    requests.cancel(db, take(db).id, "unwanted", now=7)
    with pytest.raises(QuotaSpent):
        ask(db, "ann", quota=quota)


def test_requests_for_one_training_are_found_by_its_job(db: sqlite_utils.Database) -> None:
    timelines.hold(db, "jo", None, [], now=1)
    personas.create(db, ["jo"], now=1)
    job = jobs.enqueue(db, 1, "quick", [1.0], 7, now=5)
    both = [requests.add(db, FREE, "train", who, "hall", {}, 5, None, job.id) for who in ("ann", "bea")]
    ask(db, "cy", kind="train")
    assert requests.of_job(db, job.id) == both
    requests.cancel(db, both[0].id, "unwanted", now=6)
    assert requests.of_job(db, job.id) == both[1:]
