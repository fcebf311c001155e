"""What does not fit into memory, of the processor and of a GPU; every other error; and bf16 where it is slow."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from tests.toys import toy_params
from tinyllm.models.device import bf16_slowdown, choose_device, is_out_of_memory, note_slow_bf16, within_memory


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


def said_of_bf16(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], slowdown: float, device: str, **precisions: str
) -> str:
    monkeypatch.setattr("tinyllm.models.device.bf16_slowdown", lambda: slowdown)
    note_slow_bf16(device, {f"{section}.precision": value for section, value in precisions.items()})
    return capsys.readouterr().err


def test_bf16_is_told_of_where_it_is_asked_for_and_slow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = partial(said_of_bf16, monkeypatch, capsys)
    slow = "slow on this processor, whose products take 40 times as long as in fp32; set fp32\n"
    assert told(40.4, "cpu", runtime="bf16", score="fp32") == f"note: runtime.precision: bf16 is {slow}"
    both = "note: runtime.precision: bf16 and score.precision: bf16 are "
    assert told(40.4, "cpu", runtime="bf16", score="bf16") == both + slow
    assert told(1.9, "cpu", runtime="bf16") == ""  # as with instructions for it
    assert told(40.4, "cuda", runtime="bf16") == "" and told(40.4, "cpu", runtime="fp32") == ""


def test_how_slow_bf16_is_is_the_ratio_of_the_best_times_but_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    took = [0.5, 3.0, 2.0, 4.0, 0.25, 9.0, 8.0, 10.0]  # s, of four products in float32 and four in bf16
    clock = [moment for number, seconds in enumerate(took) for moment in (100.0 * number, 100.0 * number + seconds)]
    monkeypatch.setattr("tinyllm.models.device.time.perf_counter", partial(next, iter(clock)))
    assert bf16_slowdown.__wrapped__() == 8.0 / 2.0
