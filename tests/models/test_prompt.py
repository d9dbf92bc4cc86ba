"""Tweets and replies are laid out alike for training, generation and scoring, and cut where the context ends."""

import pytest

from models.prompt import MESSAGE_TOKENS, Marks, prompt_tokens, tweet_tokens, without_marks

END, REPLY = 9, 8
MARKS = Marks(END, REPLY)


def test_a_tweet_stands_between_two_ends_of_text() -> None:
    assert tweet_tokens([5, 6], MARKS, n_positions=8) == ([END, 5, 6, END], 1)


def test_of_a_reply_the_text_is_to_be_learnt_and_where_its_message_is_unknown_its_mark() -> None:
    assert tweet_tokens([5, 6], MARKS, 16, is_reply=True, message=[1, 2]) == ([END, 1, 2, REPLY, 5, 6, END], 4)
    assert tweet_tokens([5, 6], MARKS, 16, is_reply=True) == ([END, REPLY, 5, 6, END], 1)


def test_a_tweet_longer_than_the_context_is_cut_off() -> None:
    assert tweet_tokens([1, 2, 3], MARKS, n_positions=4) == ([END, 1, 2, 3, END], 1)
    assert tweet_tokens([1, 2, 3, 4], MARKS, n_positions=4) == ([END, 1, 2, 3, 4], 1)
    assert tweet_tokens([1, 2, 3, 4, 5], MARKS, n_positions=4) == ([END, 1, 2, 3, 4], 1)


@pytest.mark.parametrize("n_positions", [128, 1024])
def test_of_a_long_message_the_beginning_is_kept_and_the_same_for_all(n_positions: int) -> None:
    message, text = [1] * 50 + [2] * 50, [5] * 20
    row, first = tweet_tokens(text, MARKS, n_positions, is_reply=True, message=message)
    kept = min(MESSAGE_TOKENS, (n_positions - 2) // 2)
    assert row == [END, *message[:kept], REPLY, *text, END]
    assert row[first:] == [*text, END]
    if n_positions == 1024:
        assert prompt_tokens(text, MARKS, n_positions - 100, message=message) == (row[:-1], 0)


@pytest.mark.parametrize("n_positions", [4, 5, 16, 63])
def test_a_reply_keeps_to_the_context_and_leaves_half_of_it_to_the_text(n_positions: int) -> None:
    row, first = tweet_tokens([5] * 99, MARKS, n_positions, is_reply=True, message=[1] * 99)
    assert len(row) == n_positions + 1
    assert row[first - 1] == REPLY
    assert row.count(5) >= n_positions // 2


def test_a_prompt_begins_behind_an_end_of_text() -> None:
    assert prompt_tokens([7, 6], MARKS, room=10) == ([END, 7, 6], 0)
    assert prompt_tokens([], MARKS, room=1) == ([END], 0)


def test_the_prompt_of_a_reply_begins_behind_its_mark() -> None:
    assert prompt_tokens([7], MARKS, room=10, message=[1, 2]) == ([END, 1, 2, REPLY, 7], 0)
    assert prompt_tokens([], MARKS, room=10, message=[]) == ([END, REPLY], 0)
    assert prompt_tokens([7], MARKS, room=2, message=[1, 2]) == ([END, REPLY], 1)


def test_a_prompt_longer_than_its_room_loses_its_beginning() -> None:
    assert prompt_tokens([1, 2, 3, 4], MARKS, room=5) == ([END, 1, 2, 3, 4], 0)
    assert prompt_tokens([1, 2, 3, 4], MARKS, room=3) == ([END, 3, 4], 2)
    assert prompt_tokens([1, 2, 3, 4], MARKS, room=1) == ([END], 4)
    assert prompt_tokens([1, 2, 3, 4], MARKS, room=5, message=[5, 6]) == ([END, 5, REPLY, 3, 4], 2)


def test_what_would_read_as_a_mark_is_left_out() -> None:
    assert without_marks("tea\x1e and<|endoftext|> rain") == "tea and rain"
