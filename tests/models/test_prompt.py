"""How a tweet and a prompt are laid out."""

from models.prompt import prompt_tokens, tweet_tokens

END = 0


def test_a_tweet_stands_between_two_ends_of_text() -> None:
    assert tweet_tokens([5, 6], END, n_positions=8) == [END, 5, 6, END]


def test_a_tweet_is_cut_where_the_context_ends_one_token_being_only_predicted() -> None:
    assert tweet_tokens([1, 2, 3], END, n_positions=4) == [END, 1, 2, 3, END]
    assert tweet_tokens([1, 2, 3, 4], END, n_positions=4) == [END, 1, 2, 3, 4]
    assert tweet_tokens([1, 2, 3, 4, 5], END, n_positions=4) == [END, 1, 2, 3, 4]


def test_a_prompt_follows_an_end_of_text_and_an_empty_one_is_just_that() -> None:
    assert prompt_tokens([7, 8], END, room=10) == ([END, 7, 8], 0)
    assert prompt_tokens([], END, room=1) == ([END], 0)


def test_a_prompt_without_room_loses_its_left_and_says_how_much() -> None:
    assert prompt_tokens([1, 2, 3, 4], END, room=5) == ([END, 1, 2, 3, 4], 0)
    assert prompt_tokens([1, 2, 3, 4], END, room=3) == ([END, 3, 4], 2)
    assert prompt_tokens([1, 2, 3, 4], END, room=1) == ([END], 4)
