"""What is held out reaches no system, whatever its recipe's cleaning."""

from bench.authors import before, in_order
from training.timeline import Tweet


def tweet(number: int, text: str, **said: bool) -> Tweet:
    return Tweet(str(number), text, number * 1_000, "jo", **said)


def test_tweets_come_once_and_oldest_first_without_retweets() -> None:
    tweets = [tweet(10, "c"), tweet(9, "b"), tweet(9, "b"), tweet(11, "d", is_retweet=True), tweet(2, "a")]
    assert [found.text for found in in_order(tweets)] == ["a", "b", "c"]


def test_a_system_sees_what_is_older_than_every_held_out_text_and_is_none_of_them() -> None:
    tweets = [
        tweet(1, "the kettle sings again"),
        tweet(2, "rain walks\nover the roof"),  # by the original's cleaning this is tweet 6
        tweet(3, "Seven  small LOAVES today"),  # but for case and blanks this is tweet 5
        tweet(4, "every fox owes me umbrellas"),
        tweet(5, "seven small loaves today"),
        tweet(6, "rain walks over the roof"),
        tweet(7, "the kettle sings again"),  # an older text, said again when others were held out already
    ]
    older = before(tweets, ["seven small loaves today", "rain walks over the roof"])
    assert [found.id for found in older] == ["1", "4"]
