"""The worker: `python -P -m models.engine --fd N ...` reads requests from a socket and answers until it closes."""

from __future__ import annotations

import argparse
import math
import socket
import sys
import time
import traceback
from pathlib import Path

from models.checkpoint import DamagedCheckpoint
from models.engine.batching import Running, failed, too_late
from models.engine.device import choose_device
from models.engine.scoring import score
from models.engine.voices import BaseProblem, Voices
from models.inbox import Inbox
from models.lifeline import WORKER, die_with_parent, give_way
from models.wire import Alive, Cancel, Failed, Generate, Message, Ready, Score, Scored, encode


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the inherited socket")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--budget-mb", type=int, required=True, help="memory for adapters and whole models")
    parser.add_argument("--cache", type=Path, help="a folder for what takes long to make of a base's files")
    arguments = parser.parse_args()
    die_with_parent()
    give_way(WORKER)
    device = choose_device(arguments.device)
    voices = Voices(device, arguments.threads, arguments.budget_mb * 2**20, arguments.cache)
    with socket.socket(fileno=arguments.fd) as bot:
        bot.sendall(encode(Ready(device, arguments.threads)))
        serve(Inbox(bot), bot, voices)


def serve(inbox: Inbox, bot: socket.socket, voices: Voices) -> None:
    """Takes in what has arrived, makes one token for every request, sends what is done; ends when the bot does."""
    running = Running()
    steps, told = 0, time.monotonic()
    while True:
        for message in inbox.arrived(wait=not running):
            answer = take(message, running, voices)
            if answer is not None:
                bot.sendall(encode(answer))
        if inbox.closed:
            return
        answers: list[Message] = [*running.step(), *running.deltas(), *running.overdue(time.monotonic())]
        steps += 1
        if time.monotonic() - told > 1.0:
            answers.append(Alive(steps))
            told = time.monotonic()
        bot.sendall(b"".join(map(encode, answers)))


def take(message: Message, running: Running, voices: Voices) -> Scored | Failed | None:
    """Lets a request join, or answers it at once: a Score, and why one cannot be fulfilled, since a bad checkpoint must
    not cost the others their answers."""
    if isinstance(message, Cancel):
        running.leave(message.id)
    elif isinstance(message, Generate | Score):
        seconds = message.seconds if isinstance(message, Generate) else None
        if isinstance(message, Generate) and seconds is not None and seconds <= 0:
            return too_late(message)
        until = math.inf if seconds is None else time.monotonic() + seconds
        try:
            voice = voices.get(message.base, message.checkpoint)
            if isinstance(message, Score):
                return score(message, voice)
            running.join(message, voice, until)
        except DamagedCheckpoint as error:
            return Failed(message.id, "checkpoint", str(error))
        except BaseProblem as error:
            return Failed(message.id, "base", str(error))
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            return failed(message.id, error)
    return None


if __name__ == "__main__":
    main()
