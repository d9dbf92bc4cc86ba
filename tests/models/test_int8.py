"""Matrices in 8 bits say nearly what they said in 32, and no row notices its neighbours."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from models.checkpoint import Checkpoint, write_checkpoint
from models.engine.batching import Running
from models.engine.device import has_fast_int8
from models.engine.gpt2 import GPT2, LowRank, Projection
from models.engine.int8 import Int8
from models.engine.scoring import score
from models.engine.voices import Voices
from models.sampling import Sampling
from models.wire import Done, Generate, Item, Score
from tests.factories import Shape, make_adapter, make_base, sentences

FLEDGLING = Path(__file__).parents[2] / "models" / "base" / "fledgling"
SHAPE = Shape(2, 48, 4, 64)

pytestmark = pytest.mark.skipif(not has_fast_int8(), reason="this processor has no exact products of 8-bit matrices")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base"), SHAPE)


@pytest.mark.parametrize(("n_in", "n_out"), [(64, 96), (33, 41), (3072, 256), (21, 320)])
def test_a_product_is_that_of_the_float_matrix_but_for_rounding(n_in: int, n_out: int) -> None:
    # Rows of quite different sizes, and values that are far from 0 on one side only, as behind GELU.
    weight = noise(n_out, n_in) * noise(n_out, 1, seed=1).exp()
    x = (noise(2, 7, n_in, seed=2) + 1.5).relu() * noise(2, 7, 1, seed=3).exp() - 0.2
    expected, found = x @ weight.t(), Int8(weight)(x)
    assert found.shape == expected.shape
    assert ((found - expected).norm(dim=-1) / expected.norm(dim=-1)).max() < 0.02


def test_the_largest_sums_are_exact() -> None:
    weight = torch.full((64, 3072), 127.0)
    weight[1::2] = -127.0
    x = torch.full((8, 3072), 255.0)
    x[:, 0] = 0.0
    assert torch.equal(Int8(weight)(x), x @ weight.t())  # a product cut off at 16 bits would show


def test_rows_that_say_nothing_or_go_mad_spoil_no_other() -> None:
    matrix = Int8(noise(40, 32))
    x = noise(5, 32, seed=1)
    expected = matrix(x)
    mad = x.clone()
    mad[0], mad[1], mad[2], mad[3, 5] = 0.0, 7.0, torch.nan, torch.inf
    found = matrix(mad)
    assert torch.equal(found[4], expected[4])
    assert torch.equal(found[0], torch.zeros(40))
    torch.testing.assert_close(found[1], 7.0 * (matrix.numbers * matrix.step[:, None]).sum(dim=1))
    assert found[2].isnan().all()


def test_a_row_has_the_same_bits_alone_and_in_any_batch() -> None:
    for n_in, n_out in ((48, 144), (33, 41), (256, 8192)):
        matrix = Int8(noise(n_out, n_in))
        x = noise(70, n_in, seed=1) * noise(70, 1, seed=2).exp()
        expected = torch.cat([matrix(row[None]) for row in x])
        for rows in (2, 3, 8, 32, 70):
            assert torch.equal(matrix(x[-rows:]), expected[-rows:])
        assert torch.equal(matrix(x.flip(0)), expected.flip(0))


def test_the_rows_of_a_matrix_are_read_back_within_half_a_step() -> None:
    weight = noise(30, 16)
    ids = torch.tensor([[3, 3, 29], [0, 7, 1]])
    found = Int8(weight).rows(ids)
    assert found.shape == (2, 3, 16)
    assert ((found - weight[ids]).abs() <= weight[ids].abs().amax(dim=-1, keepdim=True) / 127 * 0.501).all()


def test_a_model_in_8_bits_keeps_no_float_matrix(base: Path) -> None:
    model = GPT2.load(base, dtype=torch.int8)
    floats = GPT2.load(base)
    held = {name: tensor for name, tensor in model.state_dict().items() if tensor.dtype == torch.int8}
    assert len(held) == 2 * 4 + 1
    matrices = [module.weight for module in floats.modules() if isinstance(module, Projection)]
    assert sum(tensor.numel() for tensor in held.values()) == sum(
        weight.numel() for weight in [*matrices, floats.wte.weight]
    )
    largest = max(tensor.numel() for tensor in model.state_dict().values() if tensor.dtype != torch.int8)
    assert largest == SHAPE.n_positions * SHAPE.n_embd  # the positions, which are read and not multiplied
    assert not any(parameter.requires_grad for parameter in model.parameters())


def low_ranks(held: Voices, base: Path, folder: Path, rows: int) -> LowRank:
    """The differences of as many personas as rows, stacked."""
    pairs = [held.get(str(base), str(make_adapter(folder / str(n), base, seed=n))).low_rank for n in range(rows)]
    return {
        name: (torch.stack([pair[name][0] for pair in pairs]), torch.stack([pair[name][1] for pair in pairs]))
        for name in pairs[0]
    }


@pytest.mark.parametrize("adapted", [False, True])
@torch.inference_mode()
def test_logits_are_near_those_in_32_bits(adapted: bool, base: Path, tmp_path: Path) -> None:
    tokens = torch.randint(0, 320, (4, 20), generator=torch.Generator().manual_seed(1))
    found = {}
    for dtype in (torch.float32, torch.int8):
        held = Voices("cpu", dtype, 2**30)
        low_rank = low_ranks(held, base, tmp_path, 4) if adapted else None
        model = held.get(str(base), None).model
        found[dtype] = model.logits(model(tokens, low_rank=low_rank), low_rank)
    error = (found[torch.int8] - found[torch.float32]).norm() / found[torch.float32].norm()
    assert 0 < error < 0.05


@pytest.mark.parametrize("adapted", [False, True])
@torch.inference_mode()
def test_not_one_bit_of_a_rows_logits_depends_on_its_neighbours(adapted: bool, base: Path, tmp_path: Path) -> None:
    held = Voices("cpu", torch.int8, 2**30)
    model = held.get(str(base), None).model
    low_rank = low_ranks(held, base, tmp_path, 8) if adapted else None
    tokens = torch.randint(0, 320, (8, 1), generator=torch.Generator().manual_seed(1))
    strangers = (tokens + 17) % 320
    expected = model.logits(model(tokens, low_rank=low_rank), low_rank)
    for row in range(8):
        mixed = strangers.clone()
        mixed[row] = tokens[row]
        assert torch.equal(model.logits(model(mixed, low_rank=low_rank), low_rank)[row], expected[row])


@torch.inference_mode()
def test_the_same_request_gives_the_same_text_alone_and_in_company(base: Path, tmp_path: Path) -> None:
    held = Voices("cpu", torch.int8, 2**30)
    adapters = [make_adapter(tmp_path / str(n), base, seed=n) for n in range(3)]
    prompts = ["", "the kettle", "rain on tin", "nobody asked for this lamp"]
    crowd = [
        Generate(id, str(base), str(adapters[id % 3]), prompts[id % 4], id, Sampling(max_tokens=12 + id))
        for id in range(14)
    ]

    def written(requests: list[Generate]) -> dict[int, Done]:
        running, waiting, found = Running(), list(requests), {}
        while waiting or running:
            for request in waiting[:3]:  # three join at every token
                running.join(request, held.get(request.base, request.checkpoint))
            del waiting[:3]
            found.update({done.id: done for done in running.step()})
        return found

    together = written(crowd)
    assert len({done.text for done in together.values()}) > 10
    assert together == {request.id: written([request])[request.id] for request in crowd}


@torch.inference_mode()
def test_a_whole_model_is_held_in_8_bits_too(tmp_path: Path) -> None:
    folder = make_base(tmp_path, SHAPE, seed=3)
    write_checkpoint(folder, Checkpoint("model", "tiny", "00"))
    voices = {
        dtype: Voices("cpu", dtype, 2**30).get(str(tmp_path / "nowhere"), str(folder))
        for dtype in (torch.float32, torch.int8)
    }
    assert voices[torch.int8].bytes < 0.4 * voices[torch.float32].bytes
    tokens = torch.tensor([[0, 5, 6, 7, 8]])
    whole, rounded = (voice.model.logits(voice.model(tokens)) for voice in voices.values())
    assert 0 < (rounded - whole).norm() / whole.norm() < 0.05


@torch.inference_mode()
def test_the_bundled_base_predicts_as_well_in_8_bits() -> None:
    request = Score(1, str(FLEDGLING), None, [Item(text) for text in sentences(40)])
    size = sum(len(item.text.encode()) + 1 for item in request.items)
    bits = {
        dtype: sum(score(request, Voices("cpu", dtype, 2**30).get(str(FLEDGLING), None)).nats) / math.log(2) / size
        for dtype in (torch.float32, torch.int8)
    }
    assert bits[torch.float32] < 4  # it has learnt something that could be lost
    assert bits[torch.int8] < 1.01 * bits[torch.float32]
    assert bits[torch.int8] != bits[torch.float32]
