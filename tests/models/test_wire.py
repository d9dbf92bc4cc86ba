"""Messages survive the wire, however its bytes arrive; what is no message is refused."""

import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import asdict, fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.inbox import Inbox
from models.sampling import Sampling
from models.wire import HEADER, KINDS, LARGEST, Cancel, Done, Generate, Item, Message, Progress, decode, encode

NUMBERS = st.floats(allow_nan=False)
VALUES = {
    "int": st.integers(),
    "str": st.text(),
    "str | None": st.none() | st.text(),
    "bool": st.booleans(),
    "float": NUMBERS,
    "float | None": st.none() | NUMBERS,
    "tuple[str, ...]": st.lists(st.text()).map(tuple),
    "list[int]": st.lists(st.integers()),
    "list[float]": st.lists(NUMBERS),
    "list[Item]": st.lists(st.builds(Item, st.text(), st.none() | st.text())),
}
VALUES["Sampling"] = st.builds(Sampling, **{field.name: VALUES[str(field.type)] for field in fields(Sampling)})
MESSAGES = st.one_of(
    *(st.builds(kind, **{field.name: VALUES[str(field.type)] for field in fields(kind)}) for kind in KINDS.values())
)
GENERATE = Generate(7, "/base", None, "tea \u2028 “first” 🦊", 2**31, Sampling(min_tokens=3))


@settings(deadline=None)  # the machine may be busy
@given(MESSAGES)
def test_every_message_comes_out_as_it_went_in(message: Message) -> None:
    frame = encode(message)
    assert HEADER.unpack(frame[:4]) == (len(frame) - 4,)
    assert decode(frame[4:]) == message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b"3",
        b"{}",
        b'{"type": "Shutdown"}',
        b'{"type": ["Cancel"], "id": 3}',
        b'{"type": "Cancel"}',
        b'{"type": "Cancel", "id": 3, "why": "no"}',
        json.dumps({"type": "Generate", **asdict(GENERATE), "sampling": {"warmth": 3}}).encode(),
        json.dumps({"type": "Generate", **asdict(GENERATE), "sampling": None}).encode(),
        json.dumps({"type": "Generate", **asdict(GENERATE), "sampling": {"bad_words": 3}}).encode(),
    ],
)
def test_what_is_no_message_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decode(body)


def test_a_lone_surrogate_in_a_prompt_costs_one_character_not_the_connection() -> None:
    sent = Generate(1, "/base", None, "half a \ud83e fox", 0, Sampling())
    assert decode(encode(sent)[4:]) == Generate(1, "/base", None, "half a ? fox", 0, Sampling())


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Inbox]]:
    bot, worker = socket.socketpair()
    with bot, worker:
        yield bot, Inbox(worker)


SENT = [GENERATE, Cancel(3), Done(7, "tea", "éclair 🦊", 4, True, 0), Progress(1, 2, 0.5, None, 9.0)]


def test_frames_cut_at_any_byte_are_put_together_again(ends: tuple[socket.socket, Inbox]) -> None:
    bot, inbox = ends
    stream = b"".join(map(encode, SENT))
    for cut in range(len(stream) + 1):
        bot.sendall(stream[:cut])
        first = list(inbox.arrived(wait=False))
        bot.sendall(stream[cut:])
        assert first + list(inbox.arrived(wait=False)) == SENT


def test_single_bytes_make_messages_too(ends: tuple[socket.socket, Inbox]) -> None:
    bot, inbox = ends
    arrived = []
    for byte in b"".join(map(encode, SENT)):
        bot.sendall(bytes([byte]))
        arrived += inbox.arrived(wait=True)
    assert arrived == SENT
    assert not inbox.closed


def test_a_frame_larger_than_one_read_arrives_whole(ends: tuple[socket.socket, Inbox]) -> None:
    bot, inbox = ends
    long = Generate(1, "/base", None, "x" * 100_000, 0, Sampling())
    bot.sendall(encode(long))
    arrived: list[Message] = []
    while not arrived:
        arrived += inbox.arrived(wait=True)
    assert arrived == [long]


def test_the_last_messages_are_read_before_the_end_is_noticed(ends: tuple[socket.socket, Inbox]) -> None:
    bot, inbox = ends
    bot.sendall(encode(Cancel(1)) + encode(Cancel(2)) + encode(Cancel(3))[:-1])
    bot.close()
    assert list(inbox.arrived(wait=True)) == [Cancel(1), Cancel(2)]
    assert inbox.closed


def test_without_work_to_do_nothing_there_means_no_messages(ends: tuple[socket.socket, Inbox]) -> None:
    assert list(ends[1].arrived(wait=False)) == []


def test_an_absurd_length_is_refused_before_it_is_awaited(ends: tuple[socket.socket, Inbox]) -> None:
    bot, inbox = ends
    bot.sendall(struct.pack(">I", LARGEST + 1))
    with pytest.raises(ValueError, match="bytes"):
        list(inbox.arrived(wait=True))
