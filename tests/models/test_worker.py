"""The worker answers every request exactly once, with a text or with the reason why there is none."""

import shutil
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.engine.__main__ import serve
from models.engine.voices import Voices
from models.inbox import Inbox
from models.sampling import Sampling
from models.wire import Cancel, Delta, Done, Failed, Generate, Item, Message, Score, Scored, encode
from tests.factories import Shape, make_adapter, make_base


class Bot:
    """The other end of the worker's socket."""

    def __init__(self, end: socket.socket) -> None:
        self.end, self.inbox = end, Inbox(end)

    def say(self, *messages: Message) -> None:
        self.end.sendall(b"".join(map(encode, messages)))

    def hear(self, count: int) -> dict[int, Message]:
        heard: dict[int, Message] = {}
        while len(heard) < count:
            for message in self.inbox.arrived(wait=True):
                if isinstance(message, Done | Scored | Failed):
                    assert message.id not in heard
                    heard[message.id] = message
            assert not self.inbox.closed
        return heard


@pytest.fixture
def bot() -> Iterator[Bot]:
    ours, theirs = socket.socketpair()

    def work() -> None:
        serve(Inbox(theirs), theirs, Voices("cpu", 1, 2**30))

    worker = threading.Thread(target=work)
    worker.start()
    with theirs:
        with ours:
            yield Bot(ours)
        worker.join(10)  # it ends when we hang up
        assert not worker.is_alive()


def ask(id: int, base: Path, checkpoint: Path | None = None, most: int = 12) -> Generate:
    return Generate(id, str(base), str(checkpoint) if checkpoint else None, "tea", id, Sampling(max_tokens=most))


def test_bad_requests_are_told_why_and_good_ones_get_their_text(bot: Bot, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    good = make_adapter(tmp_path / "good", base)
    damaged = Path(shutil.copytree(good, tmp_path / "damaged"))
    (damaged / "adapter.safetensors").write_bytes(b"")
    foreign = make_adapter(tmp_path / "foreign", base, base_sha256="00")
    bot.say(
        ask(1, base),
        ask(2, base, good),
        ask(3, base, damaged),
        ask(4, base, foreign),
        ask(5, tmp_path / "nowhere"),
        ask(6, base, tmp_path / "nowhere"),
        Cancel(77),
        ask(7, base, good),
    )
    heard = bot.hear(7)
    assert {id: type(answer) for id, answer in heard.items() if isinstance(answer, Done)} == dict.fromkeys(
        (1, 2, 7), Done
    )
    reasons = {id: answer.kind for id, answer in heard.items() if isinstance(answer, Failed)}
    assert reasons == {3: "checkpoint", 4: "checkpoint", 5: "base", 6: "checkpoint"}
    assert all("\n" not in answer.message for answer in heard.values() if isinstance(answer, Failed))


def test_a_cancelled_request_is_not_answered_and_disturbs_no_other(bot: Bot, tmp_path: Path) -> None:
    base = make_base(tmp_path)
    bot.say(ask(1, base, most=60), Cancel(1), ask(2, base))
    assert set(bot.hear(1)) == {2}
    bot.say(ask(3, base))
    assert set(bot.hear(1)) == {3}


class Script(Inbox):
    """Hands over what is written for each token border, and then that the bot is gone."""

    def __init__(self, end: socket.socket, borders: Sequence[Sequence[Message]]) -> None:
        super().__init__(end)
        self.borders = iter(borders)

    def arrived(self, wait: bool) -> Iterator[Message]:
        messages = next(self.borders, None)
        self.closed = messages is None
        yield from messages or ()


def test_a_cancellation_takes_effect_at_the_next_token(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    sampling = Sampling(max_tokens=40, min_tokens=40)
    first, second = (Generate(id, str(base), None, "tea", id, sampling, stream=True) for id in (1, 2))
    borders: list[list[Message]] = [[first, second], [], [], [Cancel(1)], *([[]] * 36)]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with torch.inference_mode():
            serve(Script(theirs, borders), theirs, Voices("cpu", 1, 2**30))
        theirs.shutdown(socket.SHUT_WR)
        heard = list(Inbox(ours).arrived(wait=True))
    deltas = [[message for message in heard if isinstance(message, Delta) and message.id == id] for id in (1, 2)]
    assert 1 <= len(deltas[0]) <= 3
    assert len(deltas[1]) > 20
    (done,) = (message for message in heard if isinstance(message, Done))
    assert (done.id, done.tokens) == (2, 40)
    assert done.text.startswith("".join(delta.text for delta in deltas[1]))


def test_a_request_ends_when_its_time_is_over(bot: Bot, tmp_path: Path) -> None:
    base = make_base(tmp_path, Shape(n_positions=1024))
    endless = Generate(1, str(base), None, "tea", 1, Sampling(max_tokens=1000, min_tokens=1000), seconds=0.3)
    bot.say(endless, replace(endless, id=2, seconds=0.0), ask(3, base))
    heard = bot.hear(3)
    ended, refused, other = heard[1], heard[2], heard[3]
    assert isinstance(ended, Done)
    assert 1 <= ended.tokens < 1000
    assert not ended.finished
    assert isinstance(refused, Failed)
    assert refused.kind == "deadline"
    assert isinstance(other, Done)


def test_texts_are_scored_while_others_are_written_and_a_bad_voice_is_told(bot: Bot, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    adapter = make_adapter(tmp_path / "adapter", base)
    items = [Item("rain walks"), Item("rain walks", "tea?"), Item("rain walks", "")]
    bot.say(ask(1, base, most=50))
    alone = bot.hear(1)[1]
    bot.say(
        ask(2, base, most=60),
        Score(3, str(base), str(adapter), items),
        Score(4, str(base), None, items[::-1]),
        Score(5, str(tmp_path), None, items),
        Score(6, str(base), str(tmp_path), items),
        Score(7, str(base), None, []),
        ask(1, base, most=50),
    )
    heard = bot.hear(7)
    assert heard[1] == alone
    ours, plain = heard[3], heard[4]
    assert isinstance(ours, Scored)
    assert isinstance(plain, Scored)
    assert ours.tokens == plain.tokens
    assert len({*ours.nats, *plain.nats}) == 6
    assert [answer.kind for id in (5, 6) if isinstance(answer := heard[id], Failed)] == ["base", "checkpoint"]
    assert heard[7] == Scored(7, [], [])
