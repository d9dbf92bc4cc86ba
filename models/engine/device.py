"""Which device the engines compute on."""

from __future__ import annotations

from pathlib import Path

# The system's doors to a GPU: NVIDIA's, AMD's, and that of Windows' Linux.
GPU_DOORS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def choose_device(wanted: str) -> str:
    """`auto` takes a CUDA device where there is one; a wanted one that is not there ends the child with a sentence."""
    if wanted == "cpu" or not any(Path(door).exists() for door in GPU_DOORS):
        there = False  # without asking torch, which takes seconds to import
    else:
        import torch

        there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise SystemExit('no CUDA device is available: set [model] device = "cpu" or "auto" in config.toml')
    return "cuda" if there else "cpu"


def has_fast_bf16() -> bool:
    """Whether this processor multiplies bf16 matrices itself; without that they are slower than fp32."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def has_fast_int8() -> bool:
    """Whether this processor multiplies 8-bit matrices itself, and exactly: without its instruction for that (VNNI)
    sums of two products may be cut off at 16 bits."""
    try:
        return "_vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
