"""Which device the engines compute on."""

from __future__ import annotations

import torch


def choose_device(wanted: str) -> str:
    """`auto` takes a CUDA device where there is one; a wanted one that is not there ends the child with a sentence."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SystemExit('no CUDA device is available: set [model] device = "cpu" or "auto" in config.toml')
    return wanted


def has_fast_bf16() -> bool:
    """Whether this processor multiplies bf16 matrices itself; without that they are slower than fp32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def has_fast_int8() -> bool:
    """Whether this processor multiplies 8-bit matrices itself, and exactly: without its instruction for that (VNNI)
    the sums of two products are cut off at 16 bits."""
    return bool(torch.cpu._is_vnni_supported())


def worker_dtype(device: str) -> torch.dtype:
    """What a worker holds its weights in; torch.int8 computes in float32 between the matrices."""
    if device != "cpu":
        return torch.bfloat16
    return torch.int8 if has_fast_int8() else torch.float32
