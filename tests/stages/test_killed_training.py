"""A training that is killed again and again goes on from its last checkpoint, and ends with the same weights bit for bit."""

from __future__ import annotations

import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from tests.trained import finish, outcome, set_up, start

LONG = {"train__epochs": 15, "runtime__checkpoint_steps": 7, "train__eval_every": 1, "train__schedule": "cosine"}


def checkpoints(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob(".cache/train/*/checkpoint-*/whole")}


def kill_after_a_checkpoint(folder: Path, process: BaseProcess, delay: float) -> bool:
    """Wait until this process has written one, and a moment; return whether it was still at work when it was killed."""
    before = checkpoints(folder)
    while not checkpoints(folder) - before and process.is_alive():
        time.sleep(0.005)
    time.sleep(delay)
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "questions", "epochs", "warm"),
    [(3, 24, 15, True), pytest.param(10, 48, 30, False, marks=pytest.mark.nightly)],
)
def test_a_training_killed_again_and_again_ends_as_an_undisturbed_one(
    tmp_path: Path, kills: int, questions: int, epochs: int, warm: bool
) -> None:
    calm, disturbed = tmp_path / "calm", tmp_path / "disturbed"
    for folder in (calm, disturbed):
        folder.mkdir()
        changes = LONG | {"train__epochs": epochs, "train__dropout": 0.2}  # so that random numbers have to go on, too
        set_up(folder, questions, **changes)
    assert "going on" not in finish(calm, warm)
    rng = random.Random(1)
    for _ in range(kills):
        process = start(disturbed, warm)
        assert kill_after_a_checkpoint(disturbed, process, rng.uniform(0, 0.3)), "the training was too short"
    assert "going on after step " in finish(disturbed, warm)
    assert outcome(disturbed) == outcome(calm)
    assert not list(disturbed.glob(".cache/train/*")), "what is finished needs no checkpoints"


@pytest.mark.slow
def test_a_changed_param_never_goes_on_from_another_training(tmp_path: Path) -> None:
    set_up(tmp_path, 24, **LONG)
    assert kill_after_a_checkpoint(tmp_path, start(tmp_path), 0.1)
    set_up(tmp_path, 24, **LONG | {"train__epochs": 2})
    assert "going on" not in finish(tmp_path)


@pytest.mark.slow
def test_half_a_checkpoint_is_passed_over(tmp_path: Path) -> None:
    set_up(tmp_path, 24, **LONG)
    assert kill_after_a_checkpoint(tmp_path, start(tmp_path), 0.1)
    last = max(int(name.removeprefix("checkpoint-")) for name in checkpoints(tmp_path))
    (folder,) = tmp_path.glob(".cache/train/*")
    (folder / "checkpoint-9999").mkdir()
    (folder / "checkpoint-9999" / "trainer_state.json").write_text("{", encoding="utf-8")
    assert f"going on after step {last}," in finish(tmp_path)
