"""Where a model computes, on how many threads, and what does not fit there; torch is imported where it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tinyllm.params.schema import Runtime

T = TypeVar("T")


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
