"""What does not fit into memory, of the processor and of a GPU, and every other error."""

from __future__ import annotations

import pytest
import torch

from tests.toys import toy_params
from tinyllm.models.device import choose_device, is_out_of_memory, within_memory


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


@pytest.mark.parametrize(
    ("asked", "cuda", "mps", "chosen"),
    [
        ("auto", False, False, "cpu"),
        ("auto", True, False, "cuda"),
        ("auto", False, True, "cpu"),  # nobody has tested Apple's kernels, so they are never chosen for a user
        ("cpu", True, True, "cpu"),
        ("cuda", True, True, "cuda"),
        ("mps", False, True, "mps"),
        ("cuda", False, True, "runtime.device: cuda, but torch sees no GPU; use auto or cpu"),
        ("mps", True, False, "runtime.device: mps, but torch sees no GPU of Apple's; use auto or cpu"),
    ],
)
def test_the_device_is_the_one_that_is_asked_for_or_a_refusal(
    monkeypatch: pytest.MonkeyPatch, asked: str, cuda: bool, mps: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    runtime = toy_params().runtime.model_copy(update={"device": asked})
    if chosen in ("cpu", "cuda", "mps"):
        assert choose_device(runtime) == chosen
    else:
        with pytest.raises(ValueError) as error:
            choose_device(runtime)
        assert str(error.value) == chosen
