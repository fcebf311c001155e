"""What must not change a student: how a step is split, over how many processes, in which order, or a teacher with no weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.toys import toy_params, toy_questions, toy_rows
from tests.trained import finish, set_up
from tinyllm.training.train import Trained, train_student

TRAIN, VALID = toy_questions(48, seed=1, split="train"), toy_questions(20, seed=2, split="valid")
STEPS = {
    "train__epochs": 5,
    "train__eval_every": 5,
    "train__batch_size": 16,
    "train__dropout": 0.0,
    "student__max_target_tokens": 24,
}
TOLERANCE = {"rtol": 2e-3, "atol": 2e-4}  # 15 AdamW steps at 0.01 in float32: its square root makes much of small sums
TARGETS = ("multitask", "rationale_then_answer", "answer_then_rationale")


def train(
    folder: Path, rows: list[dict] | None = None, teachers: tuple[str, ...] = ("ann", "bob"), **changes: Any
) -> Trained:
    folder.mkdir()
    rows = toy_rows(TRAIN, "ann", "bob") if rows is None else rows
    params = toy_params(corpus__teachers=teachers, **{**STEPS, **changes})
    return train_student(params, 1, rows, VALID, folder)


def assert_alike(one: Trained, other: Trained) -> None:
    assert one.metrics["steps"] == other.metrics["steps"] == 15
    moved = 0.0
    for (name, first), second in zip(one.model.plain.named_parameters(), other.model.plain.parameters(), strict=True):
        torch.testing.assert_close(first, second, **TOLERANCE, msg=lambda m, n=name: f"{n}: {m}")
        moved = max(moved, float(first.detach().abs().max()))
    assert moved > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_sixteen_at_once_are_four_times_four(tmp_path: Path, target: str) -> None:
    whole = train(tmp_path / "whole", student__target=target, runtime__batch_tokens=10**6)
    split = train(tmp_path / "split", student__target=target, runtime__batch_tokens=500)  # into four parts and more
    assert_alike(whole, split)


@pytest.mark.nightly
@pytest.mark.parametrize("target", TARGETS)
def test_sixteen_in_one_process_are_eight_in_each_of_two(tmp_path: Path, target: str) -> None:
    weights, curves = [], []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        changes = {**STEPS, "student__target": target, "runtime__processes": processes}
        set_up(folder, train=44, **changes)  # 44: the last step of an epoch has fewer
        out = finish(folder)
        assert out.count("seed 3: ") == 1 and out.count("epoch   5") == 1, "only the first process speaks"
        weights.append(load_file(folder / "models/student/3/model.safetensors"))
        curves.append((folder / "metrics/loss/3.tsv").read_text(encoding="utf-8"))
    for name, first in weights[0].items():
        torch.testing.assert_close(first, weights[1][name], **TOLERANCE, msg=lambda m, n=name: f"{n}: {m}")
    first_step = [[line for line in curve.splitlines() if line.startswith("1\t")] for curve in curves]
    assert first_step[0] == first_step[1] and len(first_step[0]) == (2 if target == TARGETS[1] else 3)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_the_order_of_the_tasks_changes_nothing(tmp_path: Path, target: str) -> None:
    reversed_ = [{**row, "targets": dict(reversed(row["targets"].items()))} for row in toy_rows(TRAIN, "ann", "bob")]
    one = train(tmp_path / "one", student__target=target)
    assert_alike(one, train(tmp_path / "other", student__target=target, rows=reversed_))


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_a_teacher_masked_everywhere_is_one_that_is_absent(tmp_path: Path, target: str) -> None:
    masked = train(tmp_path / "masked", student__target=target, rows=toy_rows(TRAIN, "ann"))
    absent = train(tmp_path / "absent", student__target=target, rows=toy_rows(TRAIN, "ann"), teachers=("ann",))
    assert_alike(masked, absent)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_alpha_zero_is_a_teacher_that_is_absent(tmp_path: Path, target: str) -> None:
    silent = train(tmp_path / "silent", student__target=target, loss__teacher_alpha={"bob": 0.0})
    absent = train(tmp_path / "absent", student__target=target, rows=toy_rows(TRAIN, "ann"), teachers=("ann",))
    assert_alike(silent, absent)
    losses = [[row["loss"] for row in one.curve if row["task"] == "ann"] for one in (silent, absent)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3) and len(losses[0]) == 15
