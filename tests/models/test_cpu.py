"""On a processor ONNX Runtime computes the same GPT-2; in 8 bits nearly the same, and no row notices its neighbours."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file

from models.engine.cpu import CpuModel
from models.engine.gpt2 import GPT2
from models.engine.graph import rounded
from models.engine.scoring import score
from models.engine.slots import LowRank, Model, Slots
from models.engine.voices import Voices
from models.wire import Item, Score
from tests.factories import ExactVoices, Shape, make_adapter, make_base, sentences

FLEDGLING = Path(__file__).parents[2] / "models" / "base" / "fledgling"
SHAPE = Shape(2, 48, 6, 64)
Logits = NDArray[np.float32]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), SHAPE)


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [make_adapter(folder / str(n), base, seed=n, rank=rank) for n, rank in enumerate((4, 16, 3, 20))]


def low_rank(base: Path, adapter: Path) -> LowRank:
    return Voices("cpu", 1, 0).get(str(base), str(adapter)).low_rank


def tokens(rows: int, length: int, seed: int = 0) -> list[list[int]]:
    found: list[list[int]] = np.random.default_rng(seed).integers(0, 320, (rows, length)).tolist()
    return found


def filled(model: Model, pairs: list[LowRank]) -> Slots:
    slots = model.slots(len(pairs))
    for slot, pair in enumerate(pairs):
        slots.put(slot, pair)
    return slots


def merged(base: Path, adapter: Path) -> transformers.GPT2LMHeadModel:
    """transformers' model with the adapter's difference, as 16 bits have it, added to its weights."""
    theirs = transformers.GPT2LMHeadModel.from_pretrained(base, dtype=torch.float32).eval()
    state = dict(theirs.transformer.named_parameters())
    with torch.no_grad():
        for name, (a, b) in low_rank(base, adapter).items():
            state[f"{name}.weight"] += torch.from_numpy(a.astype(np.float32) @ b.astype(np.float32))
    return theirs


@pytest.mark.parametrize("rows", [1, 2, 3, 8, 32])
@pytest.mark.parametrize("shape", [Shape(), Shape(1, 48, 6, 32), Shape(3, 192, 3, 32)], ids=str)
@torch.inference_mode()
def test_in_32_bits_logits_are_those_of_transformers_with_and_without_what_was_read(
    shape: Shape, rows: int, tmp_path: Path
) -> None:
    folder = make_base(tmp_path, shape)
    texts = tokens(rows, 20)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()
    expected = theirs(torch.tensor(texts)).logits.numpy()
    slots = filled(CpuModel.load(folder, 2, bits=32), [{}] * rows)
    found = slots.read(0, texts, range(20))
    np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)
    slots = filled(CpuModel.load(folder, 2, bits=32), [{}] * rows)
    slots.read(0, [text[:12] for text in texts])
    for place in range(12, 20):
        stepped = slots.step([text[place] for text in texts])
        np.testing.assert_allclose(stepped, expected[:, place], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_in_32_bits_each_row_has_its_own_adapter(base: Path, adapters: list[Path]) -> None:
    texts = tokens(4, 15)
    slots = filled(CpuModel.load(base, 2, bits=32), [low_rank(base, adapter) for adapter in adapters])
    slots.read(0, [text[:14] for text in texts])
    found = slots.step([text[14] for text in texts])
    for row, (text, adapter) in enumerate(zip(texts, adapters, strict=True)):
        expected = merged(base, adapter)(torch.tensor([text])).logits[0, -1].numpy()
        np.testing.assert_allclose(found[row], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("adapted", [False, True])
@torch.inference_mode()
def test_in_8_bits_logits_are_near(adapted: bool, base: Path, adapters: list[Path]) -> None:
    texts = tokens(4, 20)
    pairs = [low_rank(base, adapter) if adapted else {} for adapter in adapters]
    whole, rough = (filled(CpuModel.load(base, 2, bits=bits), pairs).read(0, texts, range(20)) for bits in (32, 8))
    error = np.linalg.norm(rough - whole) / np.linalg.norm(whole)
    assert 0 < error < 0.05


@pytest.mark.parametrize("adapted", [False, True])
def test_not_one_bit_of_a_rows_logits_depends_on_its_neighbours_or_their_number(
    adapted: bool, base: Path, adapters: list[Path]
) -> None:
    model = CpuModel.load(base, 2)
    pairs = [low_rank(base, adapters[row % 4]) if adapted else {} for row in range(32)]
    texts = tokens(32, 9)

    def logits(first: int, rows: int) -> Logits:
        """After reading texts of two lengths in one go each, and three tokens more."""
        slots = filled(model, pairs[first : first + rows])
        for row in range(rows):
            slots.read(row, [texts[first + row][: 4 + (first + row) % 3]])
        for step in range(3):
            found = slots.step([texts[first + row][6 + step] for row in range(rows)])
        return found.copy()

    expected = logits(0, 32)
    for first, rows in ((0, 1), (5, 1), (31, 1), (3, 2), (0, 5), (8, 8), (16, 16), (1, 31)):
        assert np.array_equal(logits(first, rows), expected[first : first + rows])


def test_texts_of_one_length_read_together_are_read_as_alone(base: Path, adapters: list[Path]) -> None:
    model = CpuModel.load(base, 2)
    pairs = [low_rank(base, adapter) for adapter in adapters]
    texts = tokens(4, 30)
    together = filled(model, pairs).read(0, texts)
    for row in range(4):
        assert np.array_equal(filled(model, pairs[row : row + 1]).read(0, texts[row : row + 1])[0], together[row])


def test_a_base_that_speaks_for_itself_hears_nothing_of_a_mad_adapter_before_it(base: Path, tmp_path: Path) -> None:
    mad = low_rank(base, make_adapter(tmp_path, base, strength=float("nan")))
    model, texts = CpuModel.load(base, 1), tokens(2, 9)
    slots = filled(model, [mad, mad])
    assert np.isnan(slots.read(0, texts)).all()
    for slot in range(2):
        slots.put(slot, {})
    assert np.array_equal(slots.read(0, texts), filled(model, [{}, {}]).read(0, texts))


def test_the_largest_sums_are_exact(tmp_path: Path) -> None:
    """A product cut off at 16 bits would show: every matrix of 127s, read by what is largest everywhere."""
    folder = make_base(tmp_path, Shape(1, 48, 6, 64))
    from safetensors.torch import save_file

    weights = load_file(folder / "model.safetensors")
    for name, weight in weights.items():
        if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            weights[name] = torch.full_like(weight, 0.01) * torch.where(torch.arange(weight.shape[1]) % 2 == 0, 1, -1)
        elif name.endswith("ln_1.weight") or name.endswith("ln_2.weight"):
            weights[name] = torch.zeros_like(weight)
        elif name.endswith("ln_1.bias") or name.endswith("ln_2.bias"):
            weights[name] = torch.ones_like(weight)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    whole, rough = (
        filled(CpuModel.load(folder, 2, bits=bits), [{}]).read(0, tokens(1, 9), range(9)) for bits in (32, 8)
    )
    assert np.linalg.norm(rough - whole) / np.linalg.norm(whole) < 0.02


def test_heads_that_it_cannot_compute_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="heads are 12 wide"):
        CpuModel.load(make_base(tmp_path, Shape(1, 48, 4, 64)), 1)


def test_a_matrix_in_8_bits_is_within_half_a_step_and_one_of_zeros_stays_zeros() -> None:
    weight = np.random.default_rng(1).normal(size=(30, 16)).astype(np.float32)
    weight[:, 3] = 0.0
    numbers, step = rounded(weight)
    assert numbers.dtype == np.int8
    assert (np.abs(numbers * step - weight) <= step * 0.501).all()
    assert (numbers * step)[:, 3].tolist() == [0.0] * 30


def test_a_whole_model_is_held_in_8_bits_too(base: Path, tmp_path: Path) -> None:
    model = CpuModel.load(base, 1, tmp_path / "graph")
    floats = sum(tensor.numel() for tensor in load_file(base / "model.safetensors").values())
    # The token table stands twice, to be looked up in and to be multiplied with, and the graph's text beside it.
    nodes = (tmp_path / "graph" / "gpt2.onnx").stat().st_size - floats
    assert model.bytes < 2 * floats + nodes
    assert GPT2.load(base).wte.weight.element_size() == 4


def test_the_bundled_base_predicts_as_well_in_8_bits() -> None:
    request = Score(1, str(FLEDGLING), None, [Item(text) for text in sentences(40)])
    size = sum(len(item.text.encode()) + 1 for item in request.items)
    whole, rough = (
        sum(score(request, kind("cpu", 2, 0).get(str(FLEDGLING), None)).nats) / math.log(2) / size
        for kind in (ExactVoices, Voices)
    )
    assert whole < 4  # it has learnt something that could be lost
    assert rough < 1.01 * whole
    assert rough != whole
