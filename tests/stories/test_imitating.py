"""Somebody wants five texts, and gets the same five whatever becomes of the worker."""

import os
import signal

from tests.command import HANDLE, Shell, alive

WORKER = "models.engine"
ASK = ("imitate", HANDLE, "--seed", "7", "--json")


def test_the_same_command_gives_the_same_texts_even_if_the_worker_is_killed(speaking: Shell) -> None:
    undisturbed = speaking(*ASK).json["candidates"]
    assert len(undisturbed) == 5
    command = speaking.start(*ASK)
    os.kill(speaking.child(command, WORKER), signal.SIGKILL)
    assert speaking.end(command).json["candidates"] == undisturbed
    alone = speaking.good("imitate", HANDLE, "-n", "1", "--seed", str(undisturbed[3]["seed"]))["candidates"]
    assert alone == [undisturbed[3]]


def test_a_reply_answers_its_message_and_each_one_can_be_had_again_alone(speaking: Shell) -> None:
    ask = ("imitate", HANDLE, "the gull", "--reply-to", "@gullwatcher where is the kettle? https://t.co/x1", "-n", "3")
    done = speaking.good(*ask, "--seed", "7")
    assert (done["prompt"], done["message"]) == ("the gull", "where is the kettle?")
    assert [found["verdict"] for found in done["candidates"]] == ["accepted"] * 3
    assert all(found["text"].startswith("the gull") and found["rank"] is not None for found in done["candidates"])
    assert speaking.good(*ask, "--seed", "7")["candidates"] == done["candidates"]
    alone = speaking.good(*ask[:-1], "1", "--seed", str(done["candidates"][2]["seed"]))
    assert alone["candidates"] == done["candidates"][2:]
    other = speaking.good(*ask[:4], "who has my umbrella?", *ask[5:], "--seed", "7")
    assert other["candidates"] != done["candidates"]


def test_when_two_workers_are_killed_it_is_one_sentence_that_names_the_log(speaking: Shell) -> None:
    command = speaking.start(*ASK)
    first = speaking.child(command, WORKER)
    os.kill(first, signal.SIGKILL)
    speaking.until(lambda: not alive(first))
    os.kill(speaking.child(command, WORKER), signal.SIGKILL)
    said = speaking.end(command).sentence
    assert said.startswith("The worker could not answer (")
    assert "killed by signal 9" in said
    assert said.endswith(f"look into {speaking.data / 'logs' / 'worker.log'} if it happens again.")


def test_no_worker_outlives_a_command_that_was_killed_and_none_saw_a_secret(speaking: Shell) -> None:
    speaking.environ["HF_TOKEN"] = "canary"
    command = speaking.start(*ASK)
    worker = speaking.child(command, WORKER)
    with open(f"/proc/{worker}/environ", "rb") as seen:
        assert b"canary" not in seen.read()
    command.kill()
    command.communicate()
    speaking.until(lambda: not alive(worker))


def test_ctrl_c_ends_an_imitation_and_its_worker(speaking: Shell) -> None:
    command = speaking.start(*ASK)
    worker = speaking.child(command, WORKER)
    command.send_signal(signal.SIGINT)
    said = speaking.end(command)
    assert (said.status, said.out, said.err) == (130, "", "")
    assert not alive(worker)
