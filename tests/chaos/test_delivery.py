"""Whatever a platform does and whenever the bot dies: nothing is said twice, nothing is lost in silence."""

import json
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from bot.domain import NotSent, Post
from tests.chaos import __main__ as command
from tests.chaos import delivery, script
from tests.chaos.oracle import Findings, Row, judge, most_within, over_limit
from tests.chaos.scenarios import SCENARIOS, Asked, Outcome
from tests.servers.platform import Accepted, Request
from tests.servers.poster import HttpPoster

SEQUENCES = 100


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    delivery.be_quiet()
    yield
    logging.disable(logging.NOTSET)


def test_random_sequences_have_neither_duplicates_nor_silent_losses_nor_wrong_beliefs() -> None:
    seed = random.SystemRandom().randrange(2**31)
    print(f"seed {seed}")
    total = delivery.run_all(seed, range(SEQUENCES))
    assert total.runs == SEQUENCES
    assert total.findings == Findings()
    assert total.states["posted"] > SEQUENCES / 2
    assert total.kills > 0
    assert {script.sequence(f"{seed}:{number}").kind for number in range(SEQUENCES)} == set(script.KINDS)


def test_after_one_unclear_answer_a_post_is_settled_or_left_to_the_owner_with_one_notice() -> None:
    total = delivery.run_all(random.SystemRandom().randrange(2**31), range(30), make_sequence=script.one_unclear)
    assert total.findings == Findings()
    assert (total.soon, total.parked) == (total.posts["searchable"], total.posts["nothing legible"])


class Gullible(HttpPoster):
    """Takes a connection that breaks for a post that was not sent."""

    async def send(self, post: Post) -> str:
        try:
            return await super().send(post)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise NotSent("the connection broke") from error


class Deaf(HttpPoster):
    """Takes any answer for a confirmation."""

    async def send(self, post: Post) -> str:
        try:
            return await super().send(post)
        except Exception:
            return f"made up {post.id}"


def test_a_poster_that_takes_a_reset_for_not_sent_is_caught_with_duplicates() -> None:
    assert delivery.run_all(7, range(60), Gullible, script.one_unclear).findings.duplicates > 0


def test_a_poster_that_makes_an_id_up_is_caught_with_silent_losses() -> None:
    assert delivery.run_all(7, range(20), Deaf).findings.silent_losses > 0


# --- The oracle -------------------------------------------------------------------------------------------------------


def row(state: str, number: int = 1, parent: str | None = None, **said: object) -> Row:
    facts = {
        "remote_id": f"s{number}" if state == "posted" else None,
        "parent_id": parent,
        "kind": "post",
        "text": f"text {number}",
        "log": (("queued", 0, None), (state, 1, None)),
        **said,
    }
    return Row(
        id=f"row-{number}",
        platform="loopback",
        account="one",
        cause_key="",
        state=state,
        attempts=1,
        error=None,
        **facts,
    )


def standing(number: int = 1, row: int = 1, reply_to: str | None = None) -> Accepted:
    return Accepted(f"s{number}", "one", f"text {row}", f"row-{row}", None, reply_to, number)


TOLD = row("posted", 9, kind="notice", text="The post row-1 is as it is.")


@pytest.mark.parametrize(
    ("outbox", "accepted", "duplicates", "losses", "lies"),
    [
        ([row("posted")], [standing()], 0, 0, 0),
        ([row("posted")], [standing(), standing(2)], 1, 0, 1),
        ([row("posted")], [], 0, 1, 1),
        ([row("posted", remote_id="s7")], [standing()], 0, 0, 1),
        ([row("queued")], [], 0, 1, 1),
        ([row("sending")], [standing()], 0, 1, 1),
        ([row("cancelled")], [], 0, 0, 0),
        ([row("cancelled")], [standing()], 0, 0, 1),
        ([row("missed")], [], 0, 1, 1),
        ([row("missed"), TOLD], [], 0, 0, 0),
        ([row("rejected"), TOLD], [standing()], 0, 0, 1),
        ([], [standing()], 0, 0, 1),
        ([row("posted"), row("posted", 2, "row-1")], [standing(), standing(2, 2, "s1")], 0, 0, 0),
        ([row("posted"), row("posted", 2, "row-1")], [standing(), standing(2, 2)], 0, 0, 1),
        ([row("posted", 2), row("posted", 1, "row-2")], [standing(1, 1, "s2"), standing(2, 2)], 0, 0, 1),
    ],
)
def test_the_oracle_sees(outbox: list[Row], accepted: list[Accepted], duplicates: int, losses: int, lies: int) -> None:
    found = judge(outbox, accepted)
    assert (found.duplicates, found.silent_losses, len(found.lies)) == (duplicates, losses, lies), found


def test_the_oracle_counts_what_was_used_within_any_span_of_time() -> None:
    assert most_within([(0, 1), (5, 1), (9, 1), (10, 1), (30, 1)], 10) == 3
    requests = [Request("post", "one", "row-1", at, "ok now") for at in (0, 1_000, script.HOUR)]
    refused = [Request("post", "one", "row-1", at, "429 never") for at in (1, 2)]
    limits = script.Limits(posts_per_hour=2)
    assert over_limit([*requests, *refused], limits, script.KINDS["key"]) == []
    assert over_limit([*requests, requests[0]], limits, script.KINDS["key"]) != []


# --- The command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [(), ("something",)])
def test_what_came_of_it_is_written_as_json_and_decides_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: tuple[str, ...]
) -> None:
    def invented(asked: Asked) -> Outcome:
        assert asked == Asked(quick=True, seed=5)
        return Outcome("it holds", "3 of 3", 3, duplicates=len(wrong), wrong=wrong)

    monkeypatch.setitem(SCENARIOS, "invented", invented)
    file = tmp_path / "chaos.json"
    status = command.main(["--quick", "--only", "invented", "--seed", "5", "--json", str(file)])
    assert status == len(wrong)
    assert json.loads(file.read_text("utf-8")) == {
        "scenarios": [
            {
                "id": "invented",
                "criterion": "it holds",
                "figure": "3 of 3",
                "ok": not wrong,
                "runs": 3,
                "duplicates": len(wrong),
                "silent_losses": 0,
            }
        ]
    }
    said = capsys.readouterr()
    assert "seed 5" in said.err
    assert "invented" in said.out


def test_the_scenarios_of_the_delivery_are_there() -> None:
    kills = {f"kill-{wish}" for wish in ("post-now", "scheduled-post", "approval", "thread")}
    assert SCENARIOS.keys() >= {"delivery", "settling", "kill-any-time", *kills}
    assert command.main(["--only", "no such"]) == 2
