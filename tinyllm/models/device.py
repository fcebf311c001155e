"""Where a model computes, on how many threads, and what does not fit there; torch is imported where it is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import TypeVar

from tinyllm.console import note
from tinyllm.params.schema import Runtime

T = TypeVar("T")
SLOWER = 2.0  # times: from there on a person hears of it
SIZES = (256, 512, 512)  # of the matrices whose product is timed


def choose_device(runtime: Runtime) -> str:
    """Return `cuda`, `mps` or `cpu`; `auto` never means mps, whose kernels no run here was tested on.

    Raises:
        ValueError: cuda or mps is asked for and there is none.
    """
    import torch  # seconds: a stage that prepares data needs none

    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("runtime.device: cuda, but torch sees no GPU; use auto or cpu")
    if runtime.device == "mps":
        if not torch.backends.mps.is_available():
            raise ValueError("runtime.device: mps, but torch sees no GPU of Apple's; use auto or cpu")
        return "mps"
    return "cuda" if runtime.device != "cpu" and torch.cuda.is_available() else "cpu"


def prepare_torch(threads: int) -> None:
    """Fix the number of CPU threads, which results depend on in their last digits, and silence the library."""
    import torch

    torch.set_num_threads(threads)
    silence_library()


def note_slow_bf16(device: str, precisions: Mapping[str, str]) -> None:
    """Say once where bf16 is asked for and costs time: a processor without instructions for it computes it piecemeal.

    Args:
        precisions: by params' key what it says
    """
    keys = [key for key, precision in precisions.items() if precision == "bf16"]
    if device != "cpu" or not keys or (times := bf16_slowdown()) < SLOWER:
        return
    asked = " and ".join(f"{key}: bf16" for key in keys)
    verb = "are" if len(keys) > 1 else "is"
    note(
        f"note: {asked} {verb} slow on this processor, whose products take {times:.0f} times as long as in fp32; set fp32"
    )


@cache
def bf16_slowdown() -> float:
    """Return how many times as long as in float32 a product takes in bf16, by the best of three each."""
    import torch

    rows, inner, columns = SIZES
    left, right = torch.ones(rows, inner), torch.ones(inner, columns)
    took = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = left.to(dtype), right.to(dtype)
        times = []
        for _ in range(4):
            began = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - began)
        took[dtype] = min(times[1:])  # the first one sets up what the others use
    return took[torch.bfloat16] / took[torch.float32]


def silence_library() -> None:
    """Keep quiet the library's own bars, and its note on tied weights: it calls them missing and then ties them."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def within_memory(run: Callable[[], T]) -> T | None:
    """Return what `run` does, or None where that does not fit into memory."""
    import torch

    try:
        return run()
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    torch.cuda.empty_cache()  # not in the handler: until it is left, the traceback holds the tensors
    return None


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a tensor did not fit into the memory of the GPU or of the processor."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
