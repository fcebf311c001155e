"""Where a model computes, and on how many threads; torch is imported where it is used."""

from __future__ import annotations

from tinyllm.params.schema import Runtime


def choose_device(runtime: Runtime) -> str:
    """Return `cuda` or `cpu`.

    Raises:
        ValueError: cuda is asked for and there is none.
    """
    import torch  # seconds: a stage that prepares data needs none

    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("runtime.device: cuda, but torch sees no GPU; use auto or cpu")
    return "cuda" if runtime.device != "cpu" and torch.cuda.is_available() else "cpu"


def prepare_torch(threads: int) -> None:
    """Fix the number of CPU threads, which results depend on in their last digits, and silence the library.

    Silenced are its own bars and its note on tied weights, which it tells as missing and then ties.
    """
    import torch
    from transformers.utils import logging

    torch.set_num_threads(threads)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
