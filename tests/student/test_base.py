"""A student that starts from a hub model: the commit is settled before the training, and kept where the student is."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants

from tests.toys import toy_causal, toy_params, toy_tokenizer
from tests.trained import set_up
from tinyllm.models.loaded import loaded_model
from tinyllm.params.schema import Params
from tinyllm.records.jsonl import read_json
from tinyllm.student.base import Base, pinned, read_base, write_base
from tinyllm.student.folder import load_student, save_student
from tinyllm.training.resume import training_key

ROOT = Path(__file__).resolve().parents[2]
COMMIT, OTHER = "0123456789abcdef0123456789abcdef01234567", "f" * 40
HUB: dict[str, Any] = {"student__origin": "hub", "student__model": "toys/llama", "student__scratch": None}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = toy_tokenizer(folder / "vocabulary")
    save_student(loaded_model(toy_causal(tokenizer), tokenizer), folder / "llama", 8)
    return folder / "llama"


@pytest.fixture
def cached(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A download cache that holds the model at one commit, its newest; there is no way out."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "cache/models--toys--llama"
    shutil.copytree(checkpoint, folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text(COMMIT)
    return folder


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_a_revision_becomes_the_commit_that_it_names(cached: Path, revision: str | None) -> None:
    params = toy_params(**HUB, student__revision=revision)
    assert pinned(params).student == params.student.model_copy(update={"revision": COMMIT})
    assert params.student.revision == revision


@pytest.mark.parametrize(
    ("changes", "told"), [({}, "toys/lost"), ({"student__revision": OTHER}, "toys/llama")], ids=["model", "commit"]
)
def test_what_neither_the_hub_nor_the_cache_has_is_one_line(cached: Path, changes: dict[str, Any], told: str) -> None:
    params = toy_params(**{**HUB, "student__model": told, **changes})
    with pytest.raises(ValueError, match=f"^student.model: cannot load {told}: ") as raised:
        pinned(params)
    assert "\n" not in str(raised.value)


def test_other_students_have_no_commit(tmp_path: Path) -> None:
    scratch = toy_params()
    assert pinned(scratch) is scratch
    assert write_base(tmp_path, scratch.student) == {}
    assert list(tmp_path.iterdir()) == [] and read_base(tmp_path) is None


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text('{"model": "toys/llama"}')
    with pytest.raises(ValueError, match=r"base.json: has no text for model and commit; delete the folder and run "):
        read_base(tmp_path)


def test_a_training_of_another_commit_is_another_training() -> None:
    keys = {training_key(toy_params(**HUB, student__revision=commit), 3, []) for commit in (COMMIT, OTHER)}
    assert len(keys) == 2


def train(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Path:
    """Run the stage in this process, and return the student's folder."""
    folder.mkdir()
    set_up(folder, 4, ("signs",), **HUB, train__epochs=1, **changes)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(sys, "argv", ["train.py", "3"])
    runpy.run_path(str(ROOT / "stages/train.py"), run_name="__main__")
    return folder / "models/student/3"


def adapter_alone(params: Params) -> dict[str, Any]:
    return {**params.student.lora.model_dump(), "saved": "adapter"}


@pytest.mark.slow
def test_a_trained_students_folder_names_the_commit(
    cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(tmp_path / "whole", monkeypatch)
    assert read_base(whole) == Base("toys/llama", COMMIT)
    assert read_json(tmp_path / "whole/metrics/train/3.json")["base_commit"] == COMMIT
    alone = train(tmp_path / "alone", monkeypatch, student__tuning="lora", student__lora=adapter_alone(toy_params()))
    assert read_base(alone) == Base("toys/llama", COMMIT)
    adapter = json.loads((alone / "adapter_config.json").read_text())
    assert (adapter["base_model_name_or_path"], adapter["revision"]) == ("toys/llama", COMMIT)
    before = load_student(alone).plain.state_dict()
    (cached / "refs/main").write_text(OTHER)  # pushed to meanwhile; the adapter belongs to what it was trained on
    assert all(torch.equal(weight, before[name]) for name, weight in load_student(alone).plain.state_dict().items())
