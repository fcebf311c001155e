"""What does not fit into memory, of the processor and of a GPU, and every other error."""

from __future__ import annotations

import pytest
import torch

from tinyllm.models.device import is_out_of_memory, within_memory


def too_large_for_the_cpu() -> None:
    torch.empty(2**50)


def too_large_for_the_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_what_fits_is_returned_and_what_does_not_is_none() -> None:
    assert within_memory(lambda: 3) == 3
    assert within_memory(too_large_for_the_cpu) is None and within_memory(too_large_for_the_gpu) is None


def test_another_error_is_raised_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="must match"):
        within_memory(lambda: torch.ones(2) + torch.ones(3))
    assert not is_out_of_memory(RuntimeError("the size of a must match"))
