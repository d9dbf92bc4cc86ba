"""A GPT-2 as an ONNX graph, with matrices in 8 bits and adapters of each row's own.

What is not in ONNX itself is of ONNX Runtime's own set (`com.microsoft`): the product of whole numbers that answers in
floats, and the attention that keeps its keys and values in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from models.engine.shape import EMBEDDING, GPT2Config
from models.engine.slots import SLICE

OPSET, MICROSOFT, IR_VERSION = 20, "com.microsoft", 10
LARGEST = 127  # -128 would fit too; without it positive and negative numbers reach equally far
GELU_LEAST = -0.171  # just below the least that it yields
SMALLEST = np.float32(1e-30)  # a row whose values are all the same still has a step to divide by

Floats = NDArray[np.float32]


def rounded(weight: NDArray[Any]) -> tuple[NDArray[np.int8], Floats]:
    """A matrix (in, out) in 8 bits: whole numbers, and what one step is worth in each column, (out)."""
    weight = weight.astype(np.float32)
    step = np.maximum(np.abs(weight).max(axis=0), SMALLEST) / np.float32(LARGEST)
    return np.rint(weight / step).astype(np.int8), step


class Graph:
    """Grows node by node; every method that adds one returns the name of what it yields."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}
        self.inputs: list[ValueInfoProto] = []

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        name = f"{kind}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, domain=domain, **attributes))
        return name

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants[name] = numpy_helper.from_array(value, name)
        return name

    def number(self, name: str, value: float | np.floating[Any] | list[int], kind: Any = np.float32) -> str:
        return self.constant(name, np.array(value, kind))

    def input(self, name: str, shape: list[str | int], kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def norm(self, x: str, name: str, weights: Mapping[str, NDArray[Any]], epsilon: float) -> str:
        scale, shift = (
            self.constant(f"{name}.{part}", weights[f"{name}.{part}"].astype(np.float32)) for part in ("weight", "bias")
        )
        return self.add("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)

    def matrix(
        self, x: str, name: str, weight: NDArray[Any], bias: NDArray[Any] | None, bits: int, least: float | None = None
    ) -> str:
        """x @ weight + bias, the weight (in, out) rounded to `bits`, 8 or 32; x holds nothing below `least`.

        Of 8 bits, x is rounded as well, row by row: to steps of which 127 are its largest value, or 255 what that is
        above `least`. So no row's result depends on other rows, not by a bit: the sums are exact, and all else is done
        number by number. What leaves a GELU is nearly all on one side: steps that reach equally far up and down would
        waste half of their range there (Dettmers et al. 2022, "LLM.int8()", table 1).
        """
        if bits == 32:
            y = self.add("MatMul", x, self.constant(name, weight.astype(np.float32)))
            return y if bias is None else self.add("Add", y, self.constant(f"{name}.bias", bias.astype(np.float32)))
        numbers, step = rounded(weight)
        zero, reach = (128, 127) if least is None else (0, 255)
        if least is None:
            most = self.add("ReduceMax", self.add("Abs", x), self.number("last axis", [-1], np.int64), keepdims=1)
        else:
            x = self.add("Sub", x, self.number(f"{name}.least", least))
            most = self.add("ReduceMax", x, self.number("last axis", [-1], np.int64), keepdims=1)
            total = numbers.sum(axis=0, dtype=np.int64).astype(np.float32) * step
            bias = total * np.float32(least) + (0.0 if bias is None else bias)
        # Steps a unit; a row of zeros has some too.
        steps = self.add("Div", self.number(f"{reach}", reach), self.add("Max", most, self.number("tiny", SMALLEST)))
        # Cut off behind the point, so half a step more.
        whole = self.add("Add", self.add("Mul", x, steps), self.number(f"{zero} and a half", zero + 0.5))
        y = self.add(
            "MatMulIntegerToFloat",
            *(self.add("Cast", whole, to=TensorProto.UINT8), self.constant(name, numbers)),
            *(self.number("one", 1), self.constant(f"{name}.step", step)),
            self.number(f"zero {zero}", zero, np.uint8),
            domain=MICROSOFT,
        )
        y = self.add("Div", y, steps)
        return y if bias is None else self.add("Add", y, self.constant(f"{name}.bias", bias.astype(np.float32)))

    def adapted(self, x: str, y: str, name: str, n_in: int, n_out: int) -> str:
        """y + x @ A @ B with the inputs "<name>.A" (rows, slices, in, SLICE) and "<name>.B" (rows, slices * SLICE,
        out). A in slices, because how long sums are cut into parts depends on the width of the product.
        """
        a = self.input(f"{name}.A", ["adapters", "slices", n_in, SLICE])
        b = self.input(f"{name}.B", ["adapters", "rank", n_out])
        inner = self.add("MatMul", self.add("Unsqueeze", x, self.number("second axis", [1], np.int64)), a)
        inner = self.add("Transpose", inner, perm=[0, 2, 1, 3])
        inner = self.add("Reshape", inner, "joined")
        return self.add("Add", y, self.add("MatMul", inner, b))

    def model(self, outputs: list[ValueInfoProto]) -> ModelProto:
        graph = helper.make_graph(self.nodes, "gpt2", self.inputs, outputs, list(self.constants.values()))
        versions = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=versions, ir_version=IR_VERSION)


def gpt2(config: GPT2Config, weights: Mapping[str, NDArray[Any]], bits: int = 8) -> ModelProto:
    """The whole model, but for looking up the embeddings.

    Inputs: "x" (rows, time, width), the tokens' and positions' embeddings; "lengths" (rows), the positions of each row
    that are filled then, less one, and "longest" (1), the most of all; "keys.<layer>" and "values.<layer>" (rows,
    heads, capacity, head size); "wanted" (n), the places in time whose logits are wanted; A and B of every projection
    as `Graph.adapted` says. Of the embedding "wte.read" (rows, time, rank), what the tokens have in A, and "wte.back"
    (rows, rank, width), which is B; for the head both the other way round, "wte.A" and "wte.B". "joined" is (0, 0,
    rank). Where no row has an adapter, A and B may be zeros of one row.

    Outputs: "logits" (rows, n, vocabulary), and "keys.<layer>.out" and so on, which may be the same memory as what goes
    in.
    """
    graph, width = Graph(), config.n_embd
    x = graph.input("x", ["rows", "time", width])
    read = graph.input("wte.read", ["rows", "time", "rank"])
    x = graph.add("Add", x, graph.add("MatMul", read, graph.input("wte.back", ["adapters", "rank", width])))
    graph.input("joined", [3], TensorProto.INT64)
    graph.input("lengths", ["rows"], TensorProto.INT32)
    graph.input("longest", [1], TensorProto.INT32)
    caches = []

    def projection(x: str, name: str, least: float | None = None) -> str:
        y = graph.matrix(x, name, weights[f"{name}.weight"], weights[f"{name}.bias"], bits, least)
        return graph.adapted(x, y, name, *config.projections[name])

    for layer in range(config.n_layer):
        name = f"h.{layer}"
        h = projection(graph.norm(x, f"{name}.ln_1", weights, config.layer_norm_epsilon), f"{name}.attn.c_attn")
        shape: list[str | int] = ["rows", config.n_head, "capacity", width // config.n_head]
        held = [graph.input(f"{kind}.{layer}", shape) for kind in ("keys", "values")]
        caches += [helper.make_tensor_value_info(f"{kind}.out", TensorProto.FLOAT, shape) for kind in held]
        mixed = f"attention.{layer}"
        graph.nodes.append(
            helper.make_node(
                "GroupQueryAttention",
                [h, "", "", *held, "lengths", "longest"],
                [mixed, *(f"{kind}.out" for kind in held)],
                mixed,
                domain=MICROSOFT,
                num_heads=config.n_head,
                kv_num_heads=config.n_head,
            )
        )
        x = graph.add("Add", x, projection(mixed, f"{name}.attn.c_proj"))
        h = projection(graph.norm(x, f"{name}.ln_2", weights, config.layer_norm_epsilon), f"{name}.mlp.c_fc")
        h = graph.add("Gelu", h, approximate="tanh")
        x = graph.add("Add", x, projection(h, f"{name}.mlp.c_proj", GELU_LEAST))
    x = graph.add("Gather", x, graph.input("wanted", ["n"], TensorProto.INT64), axis=1)
    x = graph.norm(x, "ln_f", weights, config.layer_norm_epsilon)
    y = graph.matrix(x, EMBEDDING, weights["wte.weight"].T, None, bits)
    y = graph.adapted(x, y, EMBEDDING, width, config.vocab_size)
    graph.nodes.append(helper.make_node("Identity", [y], ["logits"]))
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", "n", config.vocab_size])
    return graph.model([logits, *caches])
