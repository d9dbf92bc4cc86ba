"""A checkpoint is whole or it is refused."""

import json
import random
import shutil
from pathlib import Path

import pytest

from models.checkpoint import (
    Checkpoint,
    DamagedCheckpoint,
    publish,
    read_checkpoint,
    sha256,
    verify,
    write_checkpoint,
    write_manifest,
)
from tests.factories import make_adapter, make_base

FILES = ["adapter.safetensors", "checkpoint.json", "manifest.json"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    return make_adapter(folder / "adapter", make_base(folder / "base"), rank=4, alpha=6.0)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "adapter"))


def test_what_was_written_is_read(whole: Path) -> None:
    checkpoint = read_checkpoint(whole)
    assert (checkpoint.kind, checkpoint.base, checkpoint.rank, checkpoint.alpha) == ("adapter", "tiny", 4, 6.0)
    assert {path.name for path in whole.iterdir()} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_is_found_wherever_it_is(folder: Path, name: str) -> None:
    path = folder / name
    content = path.read_bytes()
    rng = random.Random(name)
    for place in rng.sample(range(len(content)), 50):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(DamagedCheckpoint):
            verify(folder)
    path.write_bytes(content)
    verify(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [0, 1, -1])
def test_a_truncated_file_is_found(folder: Path, name: str, size: int) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:size])
    if name == "manifest.json" and size == -1:
        verify(folder)  # only its last line end is gone: it says the same
    else:
        with pytest.raises(DamagedCheckpoint):
            verify(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DamagedCheckpoint, match="missing"):
        verify(folder)


@pytest.mark.parametrize(
    "manifest", ["[]", "3", "null", "{}", '{"files": []}', '{"files": {"a": 3}}', '{"files": {"a": {"bytes": 1}}}']
)
def test_a_manifest_of_another_shape_is_found(folder: Path, manifest: str) -> None:
    (folder / "manifest.json").write_text(manifest, encoding="utf-8")
    with pytest.raises(DamagedCheckpoint):
        verify(folder)


def test_a_missing_folder_is_damaged_too(tmp_path: Path) -> None:
    with pytest.raises(DamagedCheckpoint):
        read_checkpoint(tmp_path / "nowhere")


def test_a_checkpoint_json_that_says_something_else_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "adapter.safetensors").write_bytes(b"weights")
    write_checkpoint(tmp_path, Checkpoint("adapter", "tiny", "00", 4, 8.0))
    facts = json.loads((tmp_path / "checkpoint.json").read_text(encoding="utf-8"))
    (tmp_path / "checkpoint.json").write_text(json.dumps({**facts, "colour": "red"}), encoding="utf-8")
    write_manifest(tmp_path)
    with pytest.raises(DamagedCheckpoint, match="colour"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("names", [[], ["checkpoint.json"], ["adapter.safetensors"]])
def test_a_manifest_that_vouches_for_too_little_is_no_checkpoint(folder: Path, names: list[str]) -> None:
    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    kept = {"files": {name: facts[name] for name in names}}
    (folder / "manifest.json").write_text(json.dumps(kept), encoding="utf-8")
    verify(folder)  # a state is whole without them
    with pytest.raises(DamagedCheckpoint, match="names no weights"):
        read_checkpoint(folder)


def test_publishing_moves_the_whole_folder(folder: Path, tmp_path: Path) -> None:
    publish(folder, tmp_path / "checkpoint")
    assert not folder.exists()
    assert read_checkpoint(tmp_path / "checkpoint").rank == 4


def test_a_manifest_of_hashes_as_older_versions_wrote_it_is_read(folder: Path) -> None:
    files = {name: folder / name for name in ("adapter.safetensors", "checkpoint.json")}
    facts = {name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for name, path in files.items()}
    (folder / "manifest.json").write_text(json.dumps({"files": facts}), encoding="utf-8")
    assert read_checkpoint(folder).rank == 4
    content = files["adapter.safetensors"].read_bytes()
    files["adapter.safetensors"].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedCheckpoint, match="has changed"):
        verify(folder)
