"""Our GPT-2 is the GPT-2 that everybody else computes."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.engine.gpt2 import GPT2
from models.engine.tokenizer import load_tokenizer, marks_of
from models.engine.voices import BaseProblem, load_base
from tests.factories import Shape, make_base, random_weights
from training.engine.__main__ import write_whole_model
from training.engine.data import padded
from training.engine.loss import next_token_nll

# The third has heads of 64, as every GPT-2 has; the last has heads of an odd size.
SHAPES = [Shape(), Shape(1, 48, 4, 16), Shape(3, 192, 3, 32), Shape(2, 21, 3, 8)]


def ids(rows: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 320, (rows, length), generator=torch.Generator().manual_seed(seed))


def theirs(folder: Path) -> transformers.GPT2LMHeadModel:
    return transformers.GPT2LMHeadModel.from_pretrained(folder, dtype=torch.float32).eval()


@torch.no_grad()
def logits(model: GPT2, tokens: Tensor) -> Tensor:
    return model.logits(model.eval()(tokens))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@torch.no_grad()
def test_logits_are_those_of_transformers(shape: Shape, tmp_path: Path) -> None:
    folder = make_base(tmp_path, shape)
    tokens = ids(3, shape.n_positions)
    expected = theirs(folder)(tokens).logits
    assert expected.std() > 0.4  # weights loud enough to tell implementations apart
    torch.testing.assert_close(logits(GPT2.load(folder).eval(), tokens), expected, atol=1e-4, rtol=1e-4)


def test_gradients_are_those_of_transformers(tmp_path: Path) -> None:
    folder = make_base(tmp_path, loud=3.0)
    tokens = ids(4, 33)
    reference, model = theirs(folder), GPT2.load(folder).eval()
    reference(tokens, labels=tokens).loss.backward()
    inputs, targets = padded([(row, 1) for row in tokens.tolist()], "cpu")
    (next_token_nll(model, model(inputs), targets) / targets.numel()).backward()
    wanted = dict(reference.transformer.named_parameters())
    found = dict(model.named_parameters())
    assert found.keys() == wanted.keys()
    for name, parameter in found.items():
        torch.testing.assert_close(parameter.grad, wanted[name].grad, atol=1e-6, rtol=1e-3, msg=name)


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_old_files_load_whatever_their_names_and_buffers(prefix: str, tmp_path: Path) -> None:
    expected = logits(GPT2.load(make_base(tmp_path)), ids(1, 9))
    weights = {
        name.replace("transformer.", prefix): tensor
        for name, tensor in load_file(tmp_path / "model.safetensors").items()
    }
    for layer in range(2):
        weights[f"{prefix}h.{layer}.attn.bias"] = torch.ones(1, 1, 64, 64).tril()
        weights[f"{prefix}h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    weights["lm_head.weight"] = weights[f"{prefix}wte.weight"].clone()
    save_file(weights, tmp_path / "model.safetensors")
    assert torch.equal(logits(GPT2.load(tmp_path), ids(1, 9)), expected)


def test_half_precision_files_compute_in_single_precision(tmp_path: Path) -> None:
    make_base(tmp_path)
    halves = {name: tensor.half() for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    save_file(halves, tmp_path / "model.safetensors")
    model = GPT2.load(tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.wte.weight, halves["transformer.wte.weight"].float())


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"model_type": "llama"}, "of type 'llama', not a GPT-2"),
        ({"model_type": None}, "of type None, not a GPT-2"),
        ({"activation_function": "relu"}, "activation_function is 'relu'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ({"scale_attn_weights": False}, "scale_attn_weights is False"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings is False"),
        ({"n_layer": 3}, "lacks the weight h.2.attn.c_attn.weight"),
        ({"n_positions": 128}, r"wpe.weight has the shape \(64, 32\)"),
    ],
)
def test_what_it_cannot_compute_is_refused_with_a_sentence(
    said: dict[str, object], complaint: str, tmp_path: Path
) -> None:
    folder = make_base(tmp_path, **said)
    with pytest.raises(ValueError, match=complaint) as refusal:
        GPT2.load(folder)
    assert "\n" not in str(refusal.value)  # the bot shows the last line of what went wrong


def test_a_config_without_its_numbers_is_refused_with_a_sentence(tmp_path: Path) -> None:
    make_base(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "vocab_size": 320}', encoding="utf-8")
    with pytest.raises(BaseProblem, match="does not say 'n_embd'"):
        load_base(tmp_path, GPT2.load)


@torch.no_grad()
def test_a_whole_model_that_we_wrote_is_the_same_model_in_transformers(tmp_path: Path) -> None:
    folder = make_base(tmp_path / "base", dtype="float16")
    trained = {name.removeprefix("transformer."): tensor for name, tensor in random_weights(Shape(), seed=9).items()}
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    write_whole_model(fresh, folder, trained)
    tokens = ids(2, 64)
    model = GPT2.load(fresh).eval()
    assert torch.equal(model.wte.weight, trained["wte.weight"])
    loaded = transformers.AutoModelForCausalLM.from_pretrained(fresh).eval()
    assert loaded.dtype == torch.float32
    torch.testing.assert_close(logits(model, tokens), loaded(tokens).logits, atol=1e-4, rtol=1e-4)
    text = "seven foxes owe me éclairs 🦊"
    assert transformers.AutoTokenizer.from_pretrained(fresh)(text).input_ids == load_tokenizer(fresh).encode(text).ids


def test_a_low_rank_difference_is_added_to_the_weight_it_names(tmp_path: Path) -> None:
    model = GPT2.load(make_base(tmp_path)).eval()
    a, b = torch.randn(32, 3) / 6, torch.randn(3, 96)
    with torch.no_grad():
        added = model.logits(model(ids(2, 9), low_rank={"h.1.attn.c_attn": (a, b)}))
        model.h[1].attn.c_attn.weight += a @ b
    torch.testing.assert_close(added, logits(model, ids(2, 9)), atol=1e-4, rtol=1e-4)


def test_a_difference_of_the_embedding_counts_where_tokens_are_read_and_predicted(
    tmp_path: Path,
) -> None:
    model = GPT2.load(make_base(tmp_path)).eval()
    generator = torch.Generator().manual_seed(5)
    tables = torch.randn(2, model.config.vocab_size, 3, generator=generator)
    mixes = torch.randn(2, 3, 32, generator=generator) / 3
    tokens = ids(2, 9)
    with torch.no_grad():
        together = {"wte": (tables, mixes)}  # a persona of its own for each row
        added = model.logits(model(tokens, low_rank=together), together)
        one = {"wte": (tables[0], mixes[0])}
        torch.testing.assert_close(model.logits(model(tokens[:1], low_rank=one), one), added[:1], atol=1e-4, rtol=1e-4)
        model.wte.weight += tables[1] @ mixes[1]
    torch.testing.assert_close(added[1:], logits(model, tokens[1:]), atol=1e-4, rtol=1e-4)


def test_the_older_pair_of_tokenizer_files_gives_the_same_tokens(tmp_path: Path) -> None:
    folder = make_base(tmp_path)
    whole = load_tokenizer(folder)
    whole.model.save(str(folder))
    (folder / "tokenizer.json").unlink()
    pair = load_tokenizer(folder)
    text = "the kettle sings<|endoftext|> Éclairs\n\n🦊 don't"
    assert (pair.encode(text).ids, marks_of(pair)) == (whole.encode(text).ids, marks_of(whole))
    assert pair.decode(pair.encode(text).ids) == whole.decode(whole.encode(text).ids)


def test_the_padding_and_truncation_that_a_tokenizer_was_saved_with_do_not_count(tmp_path: Path) -> None:
    folder = make_base(tmp_path)
    tokenizer = load_tokenizer(folder)
    texts = ["tea", "the kettle sings and sings"]
    expected = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(folder / "tokenizer.json"))
    assert json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["padding"] is not None
    assert [encoding.ids for encoding in load_tokenizer(folder).encode_batch(texts)] == expected


def test_a_tokenizer_without_an_end_of_text_is_refused(tmp_path: Path) -> None:
    folder = make_base(tmp_path)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("<|endoftext|>", "<|stop|>"), encoding="utf-8")
    with pytest.raises(BaseProblem, match=r"no token for <\|endoftext\|>"):
        load_base(folder, GPT2.load)
