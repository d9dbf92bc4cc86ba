"""The peers that the engine is measured against: what people use otherwise, each as its own documentation shows it.

Each is made in a process of its own (apart.py) and imports its library there; one that is not installed raises Missing.
All draw with top-p 0.95, no top-k and temperature 1, and make exactly as many tokens as are wanted; `texts` returns how
many it made. Loading and converting are not counted.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.apart import Missing
from models.prompt import END_OF_TEXT

TOP_P = 0.95


def library(name: str) -> Any:
    """Imports a peer's library; raises Missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Missing(f"{name} cannot be imported: {error}") from error


def quiet_transformers(threads: int) -> Any:
    """transformers without its progress bars and hints, on so many threads."""
    transformers = library("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    library("torch").set_num_threads(threads)
    return transformers


def drawn(tokens: int, end: int) -> dict[str, Any]:
    """How transformers is asked for exactly so many tokens."""
    return {
        **{"do_sample": True, "top_p": TOP_P, "top_k": 0, "temperature": 1.0},
        **{"max_new_tokens": tokens, "min_new_tokens": tokens, "pad_token_id": end},
    }


class Transformers:
    """A model of its own behind transformers' pipeline, as the model cards of huggingtweets show it: in fp32, on a GPU
    in bf16 as we are there."""

    def __init__(self, folder: Path, device: str, threads: int) -> None:
        transformers = quiet_transformers(threads)
        self.torch = library("torch")
        dtype = self.torch.float32 if device == "cpu" else self.torch.bfloat16
        self.pipe = transformers.pipeline("text-generation", model=str(folder), dtype=dtype, device=device)
        self.tokenizer, self.model = self.pipe.tokenizer, self.pipe.model
        # A folder of a model in 16 bits says so, and that must not decide.
        if self.model.dtype != dtype:
            raise Missing(f"transformers loaded {self.model.dtype}, not {dtype}")

    def texts(self, prompt: str, count: int, tokens: int) -> int:
        """So many texts by the pipeline."""
        start = END_OF_TEXT + prompt
        chosen = drawn(tokens, self.tokenizer.eos_token_id)
        made = self.pipe(start, num_return_sequences=count, return_tensors=True, **chosen)
        self.tokenizer.batch_decode([found["generated_token_ids"] for found in made])
        read = len(self.tokenizer(start)["input_ids"])
        return sum(len(found["generated_token_ids"]) - read for found in made)

    def generated(self, prompt: str, count: int, tokens: int) -> int:
        """The same by `generate` itself."""
        read = self.tokenizer(END_OF_TEXT + prompt, return_tensors="pt").to(self.model.device)
        with self.torch.inference_mode():
            made = self.model.generate(**read, num_return_sequences=count, **drawn(tokens, self.tokenizer.eos_token_id))
        self.tokenizer.batch_decode(made)
        return int(made.shape[0] * (made.shape[1] - read["input_ids"].shape[1]))


class CTranslate2:
    """A model of its own, converted to int8."""

    def __init__(self, folder: Path, work: Path, device: str, threads: int) -> None:
        ctranslate2 = library("ctranslate2")
        self.tokenizer = quiet_transformers(threads).AutoTokenizer.from_pretrained(str(folder))
        converter = library("ctranslate2.converters").TransformersConverter(str(folder))
        converter.convert(str(work), quantization="int8", force=True)
        self.generator = ctranslate2.Generator(
            str(work), device=device, compute_type="int8", inter_threads=1, intra_threads=threads
        )

    def texts(self, prompt: str, count: int, tokens: int) -> int:
        start = self.tokenizer.convert_ids_to_tokens(self.tokenizer(END_OF_TEXT + prompt)["input_ids"])
        made = self.generator.generate_batch(
            [start] * count,
            min_length=tokens,
            max_length=tokens,
            sampling_topk=0,
            sampling_topp=TOP_P,
            sampling_temperature=1.0,
            include_prompt_in_result=False,
        )
        self.tokenizer.batch_decode([found.sequences_ids[0] for found in made])
        return sum(len(found.sequences_ids[0]) for found in made)


class Peft:
    """A base with adapters of many personas, mixed in one batch by peft. It leaves out what they add to the embedding:
    peft's mixed batches have nothing for a head that is the embedding."""

    def __init__(
        self, base: Path, adapters: Sequence[Path], rank: int, alpha: float, device: str, threads: int
    ) -> None:
        peft, transformers = library("peft"), quiet_transformers(threads)
        self.torch = library("torch")
        load_file = library("safetensors.torch").load_file
        dtype = self.torch.float32 if device == "cpu" else self.torch.bfloat16
        model = transformers.AutoModelForCausalLM.from_pretrained(str(base), dtype=dtype).to(device)
        config = peft.LoraConfig(
            r=rank, lora_alpha=alpha, target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True, lora_dropout=0.0
        )
        self.names = [f"persona{number}" for number in range(len(adapters))]
        self.model = peft.get_peft_model(model, config, adapter_name=self.names[0])
        for name in self.names[1:]:
            self.model.add_adapter(name, config)
        modules = dict(self.model.base_model.model.transformer.named_modules())
        with self.torch.no_grad():
            for name, folder in zip(self.names, adapters, strict=True):
                for key, tensor in load_file(folder / "adapter.safetensors").items():
                    weight, _, side = key.rpartition(".")
                    if weight != "wte":
                        getattr(modules[weight], side)[name].weight.copy_(tensor.T)
        self.model.eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(str(base))

    def texts(self, prompt: str, tokens: int) -> int:
        """A text of every persona."""
        start = self.tokenizer([END_OF_TEXT + prompt] * len(self.names), return_tensors="pt").to(self.model.device)
        chosen = drawn(tokens, self.tokenizer.eos_token_id)
        with self.torch.inference_mode():
            made = self.model.generate(**start, adapter_names=self.names, **chosen)
        self.tokenizer.batch_decode(made)
        return int(made.shape[0] * (made.shape[1] - start["input_ids"].shape[1]))


class Trainer:
    """The recipe of huggingtweets under transformers' Trainer: all weights in fp32, blocks of 1,024 tokens one by one,
    AdamW without decay at 1.372e-4 falling along a cosine."""

    def __init__(self, base: Path, work: Path, device: str, threads: int) -> None:
        library("accelerate")
        self.transformers, self.torch = quiet_transformers(threads), library("torch")
        self.transformers.set_seed(0)
        self.tokenizer = self.transformers.AutoTokenizer.from_pretrained(str(base))
        self.model = self.transformers.AutoModelForCausalLM.from_pretrained(str(base), dtype=self.torch.float32)
        self.work, self.device = work, device
        self.block = min(1024, self.model.config.n_positions)

    def train(self, texts: Sequence[str], steps: int, seconds: float) -> dict[str, Any]:
        """Trains four epochs, or so many steps if that is not 0, but ends with the first step after `seconds`.
        Returns the seconds of all and of each step but the first, which warms up, and the tokens of a step."""
        joined = END_OF_TEXT + END_OF_TEXT.join(texts) + END_OF_TEXT
        ids = self.tokenizer(joined, return_tensors="pt")["input_ids"][0]
        blocks = ids[: len(ids) // self.block * self.block].view(-1, self.block)
        times: list[float] = []

        class Clock(self.transformers.TrainerCallback):  # type: ignore[misc, name-defined]
            def on_step_end(self, args: Any, state: Any, control: Any, **rest: Any) -> None:
                times.append(time.monotonic())
                if len(times) > 1 and times[-1] - times[0] > seconds:
                    control.should_training_stop = True

        chosen = self.transformers.TrainingArguments(
            output_dir=str(self.work),
            per_device_train_batch_size=1,
            num_train_epochs=4.0,
            max_steps=steps or -1,
            learning_rate=1.372e-4,
            lr_scheduler_type="cosine",
            use_cpu=self.device == "cpu",
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            seed=0,
        )
        rows = [{"input_ids": row, "labels": row} for row in blocks]
        trainer = self.transformers.Trainer(model=self.model, args=chosen, train_dataset=rows, callbacks=[Clock()])
        trainer.remove_callback(self.transformers.PrinterCallback)
        began = time.monotonic()
        trainer.train()
        return {
            "seconds": time.monotonic() - began,
            "steps": [after - before for before, after in pairwise(times)],
            "block": self.block,
        }

    def loss(self, texts: Sequence[str]) -> float:
        """The mean nats of the tokens of held-out texts."""
        return loss_of(self.model, self.tokenizer, texts)


def loss_of(model: Any, tokenizer: Any, texts: Sequence[str]) -> float:
    """The mean nats of a token, each text read alone and its end included: as our trainer scores."""
    nats, tokens = 0.0, 0
    model.eval()
    with library("torch").inference_mode():
        for text in texts:
            ids = tokenizer(END_OF_TEXT + text + END_OF_TEXT, return_tensors="pt")["input_ids"].to(model.device)
            predicted = ids.shape[1] - 1
            nats += float(model(ids, labels=ids).loss) * predicted
            tokens += predicted
    return nats / tokens
