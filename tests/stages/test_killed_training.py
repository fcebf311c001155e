"""A training that is killed again and again goes on from its last checkpoint, and ends with the same weights bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.trained import finish, outcome, set_up, start

KILLS = 10
LONG = {"train__epochs": 30, "runtime__checkpoint_steps": 7, "train__eval_every": 1, "train__schedule": "cosine"}


def checkpoints(folder: Path) -> set[str]:
    return {path.parent.name for path in folder.glob(".cache/train/*/checkpoint-*/whole")}


def kill_after_a_checkpoint(folder: Path, process: subprocess.Popen[str], delay: float) -> bool:
    """Wait until this process has written one, and a moment; return whether it was still at work when it was killed."""
    before = checkpoints(folder)
    while not checkpoints(folder) - before and process.poll() is None:
        time.sleep(0.005)
    time.sleep(delay)
    alive = process.poll() is None
    if alive:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return alive


@pytest.mark.slow
def test_a_training_killed_ten_times_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    calm, disturbed = tmp_path / "calm", tmp_path / "disturbed"
    for folder in (calm, disturbed):
        folder.mkdir()
        set_up(folder, train__dropout=0.2, **LONG)  # dropout, so that the random numbers have to go on as well
    assert "going on" not in finish(calm)
    rng = random.Random(1)
    for _ in range(KILLS):
        assert kill_after_a_checkpoint(disturbed, start(disturbed), rng.uniform(0, 0.3)), "the training was too short"
    assert "going on after step " in finish(disturbed)
    assert outcome(disturbed) == outcome(calm)
    assert not list(disturbed.glob(".cache/train/*")), "what is finished needs no checkpoints"


@pytest.mark.slow
def test_a_changed_param_never_goes_on_from_another_training(tmp_path: Path) -> None:
    set_up(tmp_path, **LONG)
    assert kill_after_a_checkpoint(tmp_path, start(tmp_path), 0.1)
    set_up(tmp_path, **LONG | {"train__epochs": 2})
    assert "going on" not in finish(tmp_path)


@pytest.mark.slow
def test_half_a_checkpoint_is_passed_over(tmp_path: Path) -> None:
    set_up(tmp_path, **LONG)
    assert kill_after_a_checkpoint(tmp_path, start(tmp_path), 0.1)
    last = max(int(name.removeprefix("checkpoint-")) for name in checkpoints(tmp_path))
    (folder,) = tmp_path.glob(".cache/train/*")
    (folder / "checkpoint-9999").mkdir()
    (folder / "checkpoint-9999" / "trainer_state.json").write_text("{", encoding="utf-8")
    assert f"going on after step {last}," in finish(tmp_path)
