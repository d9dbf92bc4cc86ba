"""Each verb as a person types it: what it prints, what `--json` holds, and one sentence for every mistake."""

import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import HANDLE, Shell, Sitting


def limited(size: int) -> Callable[[], None]:
    """Files that may not grow beyond this size: what a full disk is to those who write."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def rows(data: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(data / "mockingbird.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


# --- import -----------------------------------------------------------------------------------------------------------


def test_an_import_is_counted(shell: Shell, timeline: Callable[..., Path]) -> None:
    file = timeline("kevin", 40)
    dry = shell("import", file, "--dry-run")
    assert (dry.status, dry.err) == (0, "")
    assert dry.out == ("@kevin: 40 downloaded = 0 retweets + 0 short + 40 kept; 40 new (dry run: nothing was held)\n")
    assert rows(shell.data, "SELECT handle FROM timelines UNION ALL SELECT text FROM tweets") == []
    counts = {"handle": "kevin", "downloaded": 40, "retweets": 0, "short": 0, "kept": 40, "dry_run": False}
    assert shell.good("import", file) == {**counts, "new": 40}
    assert shell.good("import", file) == {**counts, "new": 0}
    assert shell("import", file).out == "@kevin: 40 downloaded = 0 retweets + 0 short + 40 kept; 0 new\n"


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'{"id": "1", "text": "the gull wa'])
def test_a_bad_file_is_one_sentence(shell: Shell, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.jsonl").write_bytes(content)
    assert shell("import", tmp_path / "bad.jsonl", "--json").sentence.startswith("bad.jsonl")
    assert shell("import", tmp_path / "bad.jsonl", "--handle", "a b!").sentence.startswith("'a b!' is not a handle")


def test_a_full_disk_leaves_nothing_half_imported(shell: Shell, timeline: Callable[..., Path]) -> None:
    shell.good("import", timeline("kevin", 40))
    size = (shell.data / "mockingbird.db").stat().st_size
    said = shell("import", timeline("jo", 8_000), preexec_fn=limited(size + 100_000))
    assert said.sentence == (
        f"The disk that holds {shell.data} is full: free some space and try again; nothing was half-written."
    )
    assert rows(shell.data, "SELECT handle FROM timelines") == [("kevin",)]
    assert shell.good("import", timeline("jo", 8_000))["new"] == 8_000


# --- The data directory and the configuration -------------------------------------------------------------------------


@pytest.fixture
def running(shell: Shell) -> Iterator[int]:
    """A bot that holds the data directory; its process id."""
    process = shell.start("run")
    assert process.stderr is not None
    assert "running" in process.stderr.readline()
    yield process.pid
    process.terminate()
    assert shell.end(process).status == 0


def test_a_data_directory_in_use_is_told_with_who_uses_it(shell: Shell, running: int) -> None:
    for arguments in (["run"], ["run", "--json"]):
        said = shell(*arguments)
        assert (said.status, said.out) == (3, "")
        assert said.err == (
            f"Another Mockingbird (process {running}) is using {shell.data}: stop it, or choose another folder with "
            "--data.\n"
        )


def test_where_the_data_lie_is_chosen_by_option_then_variable_then_custom(shell: Shell) -> None:
    shell.environ |= {"MOCKINGBIRD_DATA": "named", "XDG_DATA_HOME": str(shell.folder / "xdg")}
    shell.good("personas")
    assert shell("personas", data=False).status == 0
    del shell.environ["MOCKINGBIRD_DATA"]
    assert shell("personas", data=False).status == 0
    assert [(shell.folder / name / "mockingbird.db").is_file() for name in ("data", "named", "xdg/mockingbird")] == [
        True, True, True]  # fmt: skip


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/mockingbird"])
def test_a_data_directory_that_cannot_be_is_one_sentence(shell: Shell, place: str) -> None:
    (shell.folder / "file").touch()
    said = shell("--data", place, "personas", "--json", data=False)
    assert said.sentence.startswith(f"The data directory {shell.folder / place} cannot be used (")
    assert said.sentence.endswith("choose another with --data or MOCKINGBIRD_DATA.")


def test_a_file_that_is_no_database_is_one_sentence(shell: Shell) -> None:
    shell.data.mkdir()
    (shell.data / "mockingbird.db").write_bytes(b"no database at all" * 1000)
    assert "cannot be used (file is not a database)" in shell("personas").sentence


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SAMPLING__TOP_P", "2", "MOCKINGBIRD__SAMPLING__TOP_P"),
        ("SAMPLING__TOPP", "1", "did you mean"),
        ("MODERATION__BLOCK_LIST", "/nowhere", "moderation.block_list"),
    ],
)
def test_a_mistake_in_the_configuration_is_one_sentence(shell: Shell, name: str, value: str, sentence: str) -> None:
    shell.environ[f"MOCKINGBIRD__{name}"] = value
    assert sentence in shell("personas").sentence
    assert not shell.data.exists()


def test_the_configuration_may_be_named_before_or_after_the_verb(shell: Shell) -> None:
    (shell.folder / "bad.toml").write_text("[sampling]\ntop_k = -1\n")
    assert "sampling.top_k" in shell("--config", "bad.toml", "schedule", "list").sentence
    assert "sampling.top_k" in shell("schedule", "list", "--config", "bad.toml").sentence


def test_usage_mistakes_end_with_two(shell: Shell) -> None:
    said = shell("imitate", "-n", "many", "jo")
    assert (said.status, said.out) == (2, "")
    assert "usage: mockingbird imitate" in said.err


def test_a_reader_that_has_gone_is_no_error(speaking: Shell) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        said = speaking("personas", stdout=gone)
    assert (said.status, said.err) == (0, "")


# --- train ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gullwatchr"], "Nothing is held of @gullwatchr (did you mean @gullwatcher?): import their tweets first with "
                         "`mockingbird import FILE --handle gullwatchr`."),
        (["a b!"], "'a b!' is not a handle: give 1 to 15 letters, digits or underscores, such as @some_name."),
        ([b"caf\xe9"], "'caf\ufffd' is not a handle: give 1 to 15 letters, digits or underscores, such as @some_name."),
        ([HANDLE, "--weights", "2,1"], "1 handle cannot have the weights 2,1: give one positive number per handle, for "
                                       "instance --weights 2,1."),
        ([HANDLE, "--weights=-1"], "1 handle cannot have the weights -1: give one positive number per handle, for "
                                   "instance --weights 2,1."),
    ],
)  # fmt: skip
def test_a_training_of_nobody_is_one_sentence(speaking: Shell, arguments: list[str], sentence: str) -> None:
    assert speaking("train", *arguments, "--json").sentence == sentence
    assert rows(speaking.data, "SELECT count(*) FROM jobs") == [(1,)]


def test_too_little_text_is_one_sentence(shell: Shell, timeline: Callable[..., Path]) -> None:
    shell.good("import", timeline("kevin", 20))
    said = shell("train", "kevin").sentence
    assert "in 20 usable tweets" in said
    assert "(held: 20 downloaded, 0 retweets, 0 short, 20 kept)" in said
    assert shell("imitate", "kevin").sentence == (
        "kevin has no promoted checkpoint: train one with `mockingbird train kevin`."
    )


@pytest.mark.parametrize("base", ["nowhere/at-all", "./nowhere"])
def test_a_missing_base_is_told_with_the_two_lines_that_help(speaking: Shell, base: str) -> None:
    speaking.environ["MOCKINGBIRD__MODEL__BASE"] = base
    said = speaking("train", HANDLE).sentence
    assert said.startswith(f"The base model '{base}' is not available (")
    assert said.endswith('put these two lines in config.toml: `[model]` and `base = "fledgling"`.')
    assert not (speaking.data / "runs" / "2").exists()


def test_a_disk_that_fills_up_while_training_is_one_sentence_and_the_same_command_goes_on(speaking: Shell) -> None:
    said = speaking("train", HANDLE, "--recipe", "quick", "--json", preexec_fn=limited(30_000))
    assert "is full: free some space and try again" in said.sentence
    assert not (speaking.data / "runs" / "2" / "checkpoint").exists()
    assert speaking.good("train", HANDLE, "--recipe", "quick")["run"] == 2


def test_training_again_is_a_new_run_and_json_holds_its_figures(speaking: Shell) -> None:
    trained = speaking.good("train", f"@{HANDLE.upper()}", "--recipe", "quick", "--seed", "7")
    assert set(trained) == {
        "persona", "run", "recipe", "seconds", "train_seconds", "tokens_per_second", "heldout_loss",
        "base_heldout_loss", "heldout_perplexity", "heldout_bits_per_byte", "base_heldout_bits_per_byte",
        "checkpoint_bytes", "promoted",
    }  # fmt: skip
    assert (trained["persona"], trained["run"], trained["recipe"], trained["promoted"]) == (HANDLE, 2, "quick", True)
    assert 0 < trained["train_seconds"] < trained["seconds"]
    held = sum(path.stat().st_size for path in (speaking.data / "runs" / "2" / "checkpoint").iterdir())
    assert trained["checkpoint_bytes"] == held
    first, second = (speaking.data / "runs" / run / "checkpoint" / "adapter.safetensors" for run in "12")
    assert first.read_bytes() == second.read_bytes()
    (persona,) = speaking.good("personas")["personas"]
    assert (persona["name"], persona["handles"], persona["run_id"]) == (HANDLE, [HANDLE], 2)


# --- imitate ----------------------------------------------------------------------------------------------------------


def test_an_imitation_is_explained_by_its_json(speaking: Shell) -> None:
    asked = ("imitate", HANDLE, "the gull", "-n", "3", "--seed", "7", "--temperature", "0.9", "--top-p", "0.9")
    done = speaking.good(*asked)
    assert set(done) == {"persona", "checkpoint", "prompt", "message", "cut", "seconds", "candidates"}
    assert (done["persona"], done["checkpoint"], done["prompt"], done["message"]) == (HANDLE, "1", "the gull", None)
    assert [set(candidate) for candidate in done["candidates"]] == [{"text", "seed", "verdict", "reasons", "rank"}] * 3
    assert [(found["verdict"], found["reasons"]) for found in done["candidates"]] == [("accepted", [])] * 3
    said = speaking(*asked)
    assert said.out == "".join(f"  - {found['text']}\n".replace("\n", "\n    ")[:-4] for found in done["candidates"])


def test_without_a_seed_the_texts_differ(speaking: Shell) -> None:
    one, other = (speaking.good("imitate", HANDLE, "-n", "1")["candidates"][0] for _ in range(2))
    assert one["seed"] != other["seed"]
    assert one["text"] != other["text"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gullwatchr"], "There is no persona 'gullwatchr' (did you mean \"gullwatcher\"?): train one first with "
                         "`mockingbird train gullwatchr`."),
        ([b"\xff"], "There is no persona '\ufffd': train one first with `mockingbird train \ufffd`."),
        ([HANDLE, "mail jo@example.com"], "The prompt was refused (personal data): choose another one."),
        ([HANDLE, "--reply-to", "mail jo@example.com"],
         "The message to reply to was refused (personal data): choose another one."),
        ([HANDLE, "--reply-to", "@jo https://example.com"],
         "The message to reply to was refused (it holds no words): choose another one."),
    ],
)  # fmt: skip
def test_an_imitation_that_cannot_be_is_one_sentence(
    speaking: Shell, arguments: list[str | bytes], sentence: str
) -> None:
    assert speaking("imitate", *arguments, "--json").sentence == sentence


def test_a_blank_message_is_bad_usage(speaking: Shell) -> None:
    said = speaking("imitate", HANDLE, "--reply-to", " \n")
    assert (said.status, said.out) == (2, "")
    assert said.err.endswith("argument --reply-to: must not be blank\n")


def test_a_prompt_that_is_no_text_is_mended(speaking: Shell) -> None:
    done = speaking("imitate", HANDLE, b"caf\xe9 \xff", "-n", "1", "--json")
    assert done.json["prompt"] == "caf\ufffd \ufffd"


@pytest.mark.parametrize("length", ["280", "25000"])  # what X takes, and more than the tiny base's context
def test_a_prompt_that_is_too_long_is_told_of_on_standard_error_only(speaking: Shell, length: str) -> None:
    speaking.environ["MOCKINGBIRD__MODERATION__MAX_LENGTH"] = length
    prompt = " ".join(f"rain{number}" for number in range(200))
    said = speaking("imitate", HANDLE, prompt, "-n", "1", "--json")
    assert (said.status, said.err) == (0, "The prompt was too long: its beginning was left off.\n")
    assert prompt.endswith(said.json["prompt"])
    assert said.json["candidates"][0]["text"].startswith(said.json["prompt"])


def test_when_everything_is_refused_it_is_one_sentence(speaking: Shell) -> None:
    speaking.environ["MOCKINGBIRD__MODERATION__MAX_LENGTH"] = "1"
    speaking.environ["MOCKINGBIRD__SAMPLING__CANDIDATES"] = "1"  # of more of them one may happen to be that short
    said = speaking("imitate", HANDLE, "-n", "2", "--seed", "7", "--json").sentence
    assert said.startswith("Moderation refused every text of gullwatcher (")
    assert said.endswith("too long): try another prompt, or another seed.")


def test_a_damaged_checkpoint_is_one_sentence(speaking: Shell) -> None:
    weights = speaking.data / "runs" / "1" / "checkpoint" / "adapter.safetensors"
    content = bytearray(weights.read_bytes())
    content[-100] ^= 1
    weights.write_bytes(content)
    assert speaking("imitate", HANDLE).sentence == (
        "The checkpoint 1 is damaged (adapter.safetensors has changed since it was written): train it again with "
        "`mockingbird train gullwatcher`."
    )


def test_one_wish_for_more_texts_than_may_wait_is_answered(speaking: Shell) -> None:
    speaking.environ["MOCKINGBIRD__POOL__MAX_WAITING"] = "3"
    assert len(speaking.good("imitate", HANDLE, "-n", "4")["candidates"]) == 4


def test_a_prompt_and_handles_may_stand_behind_options(speaking: Shell) -> None:
    assert speaking.good("imitate", HANDLE, "-n", "1", "My dream")["prompt"] == "My dream"
    assert speaking("train", HANDLE, "--recipe", "quick", "nobody").sentence.startswith("Nothing is held of @nobody")
    said = speaking("imitate", HANDLE, "-n", "1", "my", "dream")
    assert said.status == 2
    assert "put the prompt in quotes" in said.err


# --- schedule ---------------------------------------------------------------------------------------------------------


def test_a_schedule_is_made_shown_paused_resumed_and_removed(speaking: Shell) -> None:
    added = speaking.good("schedule", "add", HANDLE, "--every", "1h", "--prompt", "so", "--chance", "0.5")
    plan = {
        "schedule": 1, "persona": HANDLE, "rule": "every 3600s", "zone": "UTC", "platform": "local", "account": "feed",
        "prompt": "so", "quiet": "", "jitter_seconds": 0, "late_seconds": None, "chance": 0.5, "approval": "off",
        "paused": False,
    }  # fmt: skip
    coming = added.pop("next")
    assert added == plan
    assert [set(moment) for moment in coming] == [{"due", "speaks"}] * 5
    shown = speaking("schedule", "add", HANDLE, "--cron", "0 9 * * mon-fri", "--tz", "Europe/Helsinki").out
    assert shown.startswith(f"Schedule 2: {HANDLE}, cron 0 9 * * mon-fri. Its next times:\n")
    assert shown.count(" 09:00:00 EE") == 5
    assert speaking.good("schedule", "pause", "1") == {"schedule": 1, "state": "paused", "cancelled": []}
    listed = speaking.good("schedule", "list")["schedules"]
    assert listed[0] == {**plan, "paused": True, "next": coming[0]["due"]}
    assert [(row["schedule"], row["paused"]) for row in listed] == [(1, True), (2, False)]
    resumed = speaking.good("schedule", "resume", "1")
    assert (resumed["state"], len(resumed["next"])) == ("resumed", 5)
    assert speaking.good("schedule", "show", "1") == {**plan, "next": coming, "past": []}
    assert speaking.good("schedule", "remove", "1") == {"schedule": 1, "state": "removed", "cancelled": []}
    assert [row["schedule"] for row in speaking.good("schedule", "list")["schedules"]] == [2]


def test_a_preview_shows_what_would_come_and_stores_nothing(speaking: Shell) -> None:
    ask = (HANDLE, "--times", "3", "--between", "09:00-21:00", "--apart", "2h", "--tz", "Australia/Lord_Howe")
    previewed = speaking.good("schedule", "preview", *ask, "-n", "9")
    assert (previewed["rule"], len(previewed["next"])) == ("random 3 09:00-21:00 7200s", 9)
    shown = speaking("schedule", "preview", *ask, "-n", "3").out.splitlines()
    assert shown[0] == (
        f"{HANDLE}, 3 times a day between 09:00-21:00, at least 2h apart, would come at these times, or at others like "
        "them, since they are drawn anew (nothing was stored):"
    )
    assert len(shown) == 4
    assert speaking.good("schedule", "list") == {"schedules": []}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["add", HANDLE, "--every", "soon"], '"soon" is not an interval up to a year'),
        (["add", HANDLE, "--cron", "61 * * * *"], '"61 * * * *" is not a cron rule'),
        (["add", HANDLE, "--cron", "0 9 * * *", "--tz", "Europe/Helsinky"], 'did you mean "Europe/Helsinki"?'),
        (["add", "nobody", "--every", "1h"], "There is no persona 'nobody'"),
        (["add", HANDLE, "--every", b"\xff"], '"\ufffd" is not an interval'),
        (["remove", "9"], "There is no schedule 9: `mockingbird schedule list` shows them all."),
        (["pause", str(2**63 - 1)], f"There is no schedule {2**63 - 1}"),
        (["resume", "9"], "There is no schedule 9"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_one_sentence(
    speaking: Shell, arguments: list[str | bytes], sentence: str
) -> None:
    assert sentence in speaking("schedule", *arguments, "--json").sentence
    assert rows(speaking.data, "SELECT * FROM schedules") == []


# --- People -----------------------------------------------------------------------------------------------------------


def test_a_handle_is_forgotten_with_all_that_was_learned(speaking: Shell) -> None:
    speaking = Sitting(speaking)
    dry = speaking("forget", f"@{HANDLE}", "--dry-run")
    assert dry.out == (
        f"@{HANDLE}: 130 tweets, 1 personas ({HANDLE}), 1 trainings, 0 schedules, 0 posts that waited "
        "(dry run: nothing was forgotten)\n"
    )
    assert rows(speaking.data, "SELECT grounds, person FROM consents") == [("operator", "operator")]
    assert (speaking.data / "runs" / "1").is_dir()
    went = speaking.good("forget", HANDLE)
    (place,) = went["places"]
    assert (place["place"], place["tweets"], place["personas"], place["said"]) == ("shell", 130, [HANDLE], [])
    assert not (speaking.data / "runs" / "1").exists()
    for table in ("timelines", "tweets", "personas", "runs", "jobs", "consents"):
        assert rows(speaking.data, f"SELECT * FROM {table}") == []
    assert speaking("forget", HANDLE).sentence == f"Nothing is held of @{HANDLE}."
    assert speaking("imitate", HANDLE).sentence.startswith(f"There is no persona '{HANDLE}'")


def test_a_handle_that_opted_out_is_never_imitated(speaking: Shell, timeline: Callable[..., Path]) -> None:
    speaking = Sitting(speaking)
    assert speaking("optout", "add", f"@{HANDLE}").out == (
        f"@{HANDLE} is imitated no more; `mockingbird forget {HANDLE} --everywhere` removes it.\n"
    )
    refused = f"@{HANDLE} does not want to be imitated: nothing of theirs is held, learned or spoken."
    assert speaking("imitate", HANDLE).sentence == refused
    assert speaking("train", HANDLE).sentence == refused
    assert speaking("import", timeline(HANDLE, 40)).sentence == refused
    assert speaking("optout", "list").out == f"@{HANDLE}\n"
    assert speaking("optout", "add", "a b").sentence.startswith("'a b' is not a handle")
    assert speaking("optout", "remove", HANDLE.upper()).out == f"@{HANDLE.upper()} may be imitated again.\n"
    assert speaking("optout", "remove", HANDLE).sentence == f"@{HANDLE} had not opted out."
    assert speaking.good("optout", "list") == {"handles": []}


def test_a_persona_is_shared_with_everybody_and_no_longer(speaking: Shell) -> None:
    speaking = Sitting(speaking)
    assert speaking("persona", "share", HANDLE).out == f"{HANDLE} can be used everywhere.\n"
    assert speaking("personas").out == f"{HANDLE}  run 1  (shared with everybody)\n"
    assert speaking.good("persona", "unshare", HANDLE) == {"persona": HANDLE, "shared": False}
    assert speaking("personas").out == f"{HANDLE}  run 1\n"
    assert speaking("persona", "share", "gullwatch").sentence.startswith(
        f"There is no persona 'gullwatch' (did you mean \"{HANDLE}\"?)"
    )
