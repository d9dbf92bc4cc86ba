"""The worker holds bases, adapters and whole models, and refuses what does not fit."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from models.checkpoint import Checkpoint, DamagedCheckpoint, write_checkpoint, write_manifest
from models.engine.gpt2 import GPT2
from models.engine.voices import BaseProblem, Voices
from tests.factories import Shape, make_adapter, make_base

TOKENS = torch.tensor([[0, 5, 6, 7, 8]])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"))


def voices(budget: int = 2**30) -> Voices:
    return Voices("cpu", 1, budget)


@pytest.mark.parametrize(("rank", "alpha"), [(4, 8.0), (4, 4.0), (2, 5.0)])
def test_an_adapter_is_scaled_by_alpha_over_rank_and_held_in_16_bits(
    rank: int, alpha: float, base: Path, tmp_path: Path
) -> None:
    adapter = make_adapter(tmp_path, base, rank=rank, alpha=alpha)
    voice = voices().get(str(base), str(adapter))
    tensors = load_file(adapter / "adapter.safetensors")
    assert len(voice.low_rank) == 9
    for name, (a, b) in voice.low_rank.items():
        assert a.dtype == b.dtype == np.float16
        expected = tensors[f"{name}.lora_A"] @ tensors[f"{name}.lora_B"] * alpha / rank
        np.testing.assert_allclose(a.astype(float) @ b.astype(float), expected, atol=2e-3 * expected.abs().max().item())
    assert voice.bytes == sum(tensor.numel() * 2 for tensor in tensors.values())


def test_adapters_of_one_base_share_its_weights_and_no_adapter_means_the_base(base: Path, tmp_path: Path) -> None:
    held = voices()
    one, two = (held.get(str(base), str(make_adapter(tmp_path / str(n), base, seed=n))) for n in (1, 2))
    alone = held.get(str(base), None)
    assert one.model is two.model is alone.model
    assert alone.low_rank == {}


def test_an_adapter_of_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    other = make_base(tmp_path / "other", seed=1)
    adapter = make_adapter(tmp_path / "adapter", other)
    with pytest.raises(DamagedCheckpoint, match="another version of the base tiny"):
        voices().get(str(base), str(adapter))


def test_a_damaged_adapter_is_refused_and_the_mended_one_is_taken(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path, base)
    held = voices()
    good = (adapter / "adapter.safetensors").read_bytes()
    (adapter / "adapter.safetensors").write_bytes(good[:-1] + b"\x55")
    with pytest.raises(DamagedCheckpoint, match=r"adapter\.safetensors has changed"):
        held.get(str(base), str(adapter))
    (adapter / "adapter.safetensors").write_bytes(good)
    assert held.get(str(base), str(adapter)).low_rank["wte"][1].shape[0] == 4


def test_an_adapter_that_lacks_a_half_is_refused(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path, base)
    tensors = load_file(adapter / "adapter.safetensors")
    del tensors["h.0.mlp.c_fc.lora_B"]
    save_file(tensors, adapter / "adapter.safetensors")
    write_manifest(adapter)
    with pytest.raises(DamagedCheckpoint, match="lora_B"):
        voices().get(str(base), str(adapter))


def test_an_adapter_of_another_shape_is_refused(base: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path, base)
    tensors = load_file(adapter / "adapter.safetensors")
    tensors["h.0.mlp.c_fc.lora_A"] = tensors["h.0.mlp.c_fc.lora_A"][:-1].contiguous()
    save_file(tensors, adapter / "adapter.safetensors")
    write_manifest(adapter)
    with pytest.raises(DamagedCheckpoint, match=r"h\.0\.mlp\.c_fc"):
        voices().get(str(base), str(adapter))


def test_a_base_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BaseProblem, match="nowhere"):
        voices().get(str(tmp_path / "nowhere"), None)


def whole_model(folder: Path, seed: int) -> Path:
    make_base(folder, Shape(1, 16, 2, 32), seed=seed)
    write_checkpoint(folder, Checkpoint("model", "tiny", "00"))
    return folder


def test_a_whole_model_needs_no_base(tmp_path: Path) -> None:
    folder = whole_model(tmp_path / "model", seed=3)
    voice = voices().get(str(tmp_path / "nowhere"), str(folder))
    slots = voice.model.slots(1)
    slots.put(0, voice.low_rank)
    model = GPT2.load(folder).eval()
    with torch.inference_mode():
        expected = model.logits(model(TOKENS))[0, -1].numpy()
    np.testing.assert_allclose(slots.read(0, TOKENS.tolist())[0, 0], expected, atol=0.05 * np.abs(expected).max())
    assert voice.low_rank == {}
    weights = load_file(folder / "model.safetensors").values()
    assert voice.bytes > sum(tensor.numel() for tensor in weights)


def test_what_is_made_of_a_base_is_kept_for_the_next_worker_and_made_anew_for_another_base(
    base: Path, tmp_path: Path
) -> None:
    def logits(folder: Path) -> NDArray[np.float32]:
        slots = Voices("cpu", 1, 0, tmp_path / "cache").get(str(folder), None).model.slots(1)
        slots.put(0, {})
        return slots.read(0, TOKENS.tolist())[0]

    folder = Path(shutil.copytree(base, tmp_path / "base"))
    expected = logits(folder)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    assert {path.name for path in made} >= {"gpt2.onnx", "tokens.npy"}
    assert np.array_equal(logits(folder), expected)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")} == made
    make_base(folder, seed=5)
    assert not np.allclose(logits(folder), expected)
    adapter = make_adapter(tmp_path / "adapter", folder)
    assert Voices("cpu", 1, 0, tmp_path / "cache").get(str(folder), str(adapter)).low_rank


def test_a_graph_that_was_damaged_is_made_anew(base: Path, tmp_path: Path) -> None:
    Voices("cpu", 1, 0, tmp_path).get(str(base), None)
    (graph,) = tmp_path.rglob("gpt2.onnx")
    whole = graph.read_bytes()
    graph.write_bytes(b"")
    (digest,) = tmp_path.glob("*.sha256")
    digest.write_text("")
    adapter = make_adapter(tmp_path / "adapter", base)
    assert Voices("cpu", 1, 0, tmp_path).get(str(base), str(adapter)).low_rank
    assert graph.read_bytes() == whole
    assert len(digest.read_text()) == 64


def test_nothing_of_a_whole_model_is_kept_elsewhere(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a person's, and goes with the persona."""
    model = whole_model(tmp_path / "model", seed=3)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(elsewhere))
    Voices("cpu", 1, 0, elsewhere / "cache").get(str(base), str(model))
    assert list(elsewhere.iterdir()) == []


def test_a_graph_that_could_not_be_finished_is_not_there(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Voices("cpu", 1, 0, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(np, "save", lambda *_: (_ for _ in ()).throw(OSError("no room")))
        with pytest.raises(BaseProblem, match="no room"):
            held.get(str(base), None)
    assert not list(tmp_path.glob("*.graph-?"))
    assert held.get(str(base), None)
    assert list(tmp_path.glob("*.graph-?"))


def test_the_least_recently_used_checkpoints_go_when_the_budget_is_full(base: Path, tmp_path: Path) -> None:
    folders = [str(make_adapter(tmp_path / str(n), base, seed=n)) for n in range(3)]
    size = voices().get(str(base), folders[0]).bytes
    assert size == sum(tensor.numel() * 2 for tensor in load_file(Path(folders[0]) / "adapter.safetensors").values())
    held = voices(budget=2 * size)
    first, second = held.get(str(base), folders[0]), held.get(str(base), folders[1])
    assert held.get(str(base), folders[0]) is first  # used again, so the second is the oldest now
    third = held.get(str(base), folders[2])
    shutil.rmtree(folders[1])
    assert held.get(str(base), folders[0]) is first
    assert held.get(str(base), folders[2]) is third
    with pytest.raises(DamagedCheckpoint):  # it has to be read anew, and is gone
        held.get(str(base), folders[1])
    assert second.low_rank  # who still speaks with it is not disturbed


def test_one_checkpoint_larger_than_the_budget_is_held_alone(base: Path, tmp_path: Path) -> None:
    held = voices(budget=1)
    adapter, model = make_adapter(tmp_path / "adapter", base), whole_model(tmp_path / "model", seed=3)
    voice = held.get(str(base), str(adapter))
    assert held.get(str(base), str(adapter)) is voice
    held.get(str(base), str(model))
    assert held.get(str(base), str(adapter)) is not voice
    assert held.get(str(base), None).model is voice.model  # bases stay
