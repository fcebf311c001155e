"""A student whose weights are dealt out over two processes: it learns what it learns in one, and goes on in any number."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tests.processes import ROOT
from tests.toys import SIZES, toy_params, toy_questions, toy_rows
from tests.trained import finish, outcome, set_up
from tinyllm.student.folder import load_student
from tinyllm.training.train import train_student

STEPS = {
    "train__epochs": 5,
    "train__eval_every": 5,
    "train__batch_size": 16,
    "train__dropout": 0.0,
    "student__max_target_tokens": 24,
}
TOLERANCE = {"rtol": 2e-3, "atol": 2e-4}  # many AdamW steps in float32
ONE_STEP = 0.01  # the learning rate: how far AdamW moves a weight in a step, however small its gradient
KINDS = ("seq2seq", "causal")


def deep(kind: str) -> dict[str, Any]:
    return {"student__scratch": SIZES.model_dump() | {"architecture": kind, "layers": 3}}


def student_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "models/student/3/model.safetensors")


def assert_close(one: Path, other: Path) -> None:
    """The same weights but for rounding, which AdamW makes a part of a step where a gradient is almost 0."""
    first, second = student_of(one), student_of(other)
    assert first.keys() == second.keys()
    whole, again = (torch.cat([weights[name].flatten() for name in first]) for weights in (first, second))
    torch.testing.assert_close(whole, again, rtol=0, atol=ONE_STEP)
    apart = (~torch.isclose(whole, again, **TOLERANCE)).sum().item()
    assert apart <= len(whole) / 1000, f"{apart} of {len(whole)} weights differ by more than rounding"


def kill_after_a_checkpoint(folder: Path, process: psutil.Popen) -> None:
    """Kill a training with all processes that it has started; torchrun's live on by themselves."""
    while not list(folder.glob(".cache/train/*/checkpoint-*/whole")) and process.poll() is None:
        time.sleep(0.002)
    for one in [process, *process.children(recursive=True)]:
        one.kill()
    assert process.wait() == -signal.SIGKILL, "the training was too short"


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_with_half_of_each_weight_learn_what_one_learns(tmp_path: Path, kind: str) -> None:
    losses = []
    for name, changes in {"one": {}, "two": {"runtime__processes": 2, "runtime__shard": True}}.items():
        folder = tmp_path / name
        folder.mkdir()
        set_up(folder, train=44, **STEPS | deep(kind) | changes)
        printed = finish(folder)
        assert printed.count("seed 3: ") == 1 and "Warning" not in printed, printed
        losses.append((folder / "metrics/loss/3.tsv").read_text(encoding="utf-8").splitlines())
    assert_close(tmp_path / "one", tmp_path / "two")
    assert [line for line in losses[0] if line.startswith("1\t")] == [
        line for line in losses[1] if line.startswith("1\t")
    ]
    assert load_student(tmp_path / "two/models/student/3").causal is (kind == "causal")


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_a_training_of_two_processes_that_was_killed_goes_on_in_one(tmp_path: Path, kind: str) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    changes = STEPS | deep(kind) | {"train__epochs": 12, "runtime__checkpoint_steps": 7, "runtime__shard": True}
    for folder in (calm, killed):
        folder.mkdir()
    set_up(calm, train=44, **changes)
    finish(calm)
    set_up(killed, train=44, **changes, runtime__processes=2)
    environment = {**os.environ, "DVC_ROOT": str(killed), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.train", "3"]
    process = psutil.Popen(command, cwd=killed, env=environment)
    kill_after_a_checkpoint(killed, process)
    set_up(killed, train=44, **changes)
    assert "going on after step " in finish(killed)
    assert_close(calm, killed)


def check_same_weights(folder: Path, kind: str, switch: str, dropout: float, **tolerance: float) -> None:
    """Train a student with and without what a key of params.yaml switches on; their weights have to agree."""
    rows, valid = toy_rows(toy_questions(20, 1), "ann", "bob"), toy_questions(8, 2)
    students = []
    for on in (False, True):
        work = folder / str(on)
        work.mkdir()
        params = toy_params(**{switch: on}, train__dropout=dropout, **deep(kind))
        students.append(train_student(params, 1, rows, valid, work))
    for first, second in zip(*(one.model.plain.parameters() for one in students), strict=True):
        torch.testing.assert_close(first, second, **tolerance)


@pytest.mark.slow
def test_one_process_with_all_shares_is_one_without(tmp_path: Path) -> None:
    check_same_weights(tmp_path, "causal", "runtime__shard", dropout=0.0, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_layers_that_are_computed_again_give_the_same_gradients(tmp_path: Path, kind: str) -> None:
    check_same_weights(tmp_path, kind, "runtime__recompute", dropout=0.1, rtol=1e-4, atol=1e-5)


@pytest.mark.nightly
def test_a_training_in_shares_goes_on_from_its_checkpoint_bit_for_bit(tmp_path: Path) -> None:
    calm, cut = tmp_path / "calm", tmp_path / "cut"
    changes = STEPS | {"runtime__checkpoint_steps": 7, "runtime__shard": True, "train__dropout": 0.2}
    for folder in (calm, cut):
        folder.mkdir()
        set_up(folder, train=44, **changes)
    finish(calm)
    environment = {**os.environ, "DVC_ROOT": str(cut), "PYTHONPATH": str(ROOT)}
    process = psutil.Popen([sys.executable, "-m", "stages.train", "3"], cwd=cut, env=environment)
    kill_after_a_checkpoint(cut, process)
    assert "going on after step " in finish(cut)
    assert outcome(cut) == outcome(calm)
