"""Timelines: the readers that turn an X archive, a lone tweets.js, jsonl or csv into tweets, a piece at a time."""

from training.timeline.errors import BadHandle, NeedsHandle, UnreadableFile
from training.timeline.read import read_tweets
from training.timeline.tweet import Counts, Tweet, check_handle, count

__all__ = [
    "BadHandle",
    "Counts",
    "NeedsHandle",
    "Tweet",
    "UnreadableFile",
    "check_handle",
    "count",
    "read_tweets",
]
