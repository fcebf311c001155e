"""Where a page comes from: commit, day, and the values in which a run differs from its commit."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.dvc_project import git
from tinyllm.experiments.locked import leaves
from tinyllm.experiments.origin import changes, dataset_in_words, find_origin

LOCK = """\
schema: '2.0'
stages:
  download:
    cmd: x
    params:
      params.yaml:
        data:
          dataset: casebook
          seed: 1
  score:
    cmd: x
    params:
      params.yaml:
        corpus.teachers:
        - ann
        train.seeds:
        - 1
  train@1:
    cmd: x
    params:
      params.yaml:
        loss:
          alpha: 0.5
          teacher_alpha: {}
"""
PARAMS = """\
data: {dataset: casebook, seed: 2}
corpus: {teachers: [ann]}
train: {seeds: [1]}
loss: {alpha: 0.5, teacher_alpha: {}}
runtime: {device: auto}
"""
DAY = date(2026, 11, 29)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q")
    (tmp_path / "stages").mkdir()
    for path, text in {"dvc.lock": LOCK, "params.yaml": PARAMS, "stages/train.py": "x = 1\n"}.items():
        (tmp_path / path).write_text(text, encoding="utf-8")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "all")
    return tmp_path


def test_what_the_run_used_is_held_against_the_commit_and_not_against_the_folder(project: Path) -> None:
    (project / "params.yaml").write_text(PARAMS.replace("alpha: 0.5", "alpha: 9"), encoding="utf-8")  # after the run
    assert find_origin(DAY) == {
        "dataset": "casebook",
        "day": "29 November 2026",
        "commit": git(project, "rev-parse", "--short", "HEAD"),
        "edited": False,
        "changes": [{"key": "data.seed", "committed": "2", "used": "1"}],
    }


@pytest.mark.parametrize(
    ("path", "text", "edited"),
    [
        ("stages/train.py", "x = 2\n", True),
        ("stages/new.py", "", True),
        ("dvc.yaml", "stages: {}\n", True),
        ("dvc.lock", LOCK + "\n", False),
        ("README.md", "", False),
    ],
)
def test_edited_code_is_told_and_results_are_no_code(project: Path, path: str, text: str, edited: bool) -> None:
    (project / path).write_text(text, encoding="utf-8")
    assert find_origin(DAY)["edited"] is edited


@pytest.mark.parametrize("what", ["no git", "no commit", "no lock"])
def test_what_is_not_known_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.chdir(tmp_path)
    if what != "no git":
        git(tmp_path, "init", "-q")
    if what != "no lock":
        (tmp_path / "dvc.lock").write_text(LOCK, encoding="utf-8")
    found = find_origin(DAY)
    assert (found["commit"], found["edited"], found["changes"]) == (None, False, [])
    assert found["dataset"] == (None if what == "no lock" else "casebook")


@pytest.mark.parametrize(
    ("used", "committed", "found"),
    [
        ({"loss": {"alpha": 0.0}}, {"loss": {"alpha": 0.5}}, [("loss.alpha", "0.5", "0.0")]),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1]}}, [("a.b", "[1]", "[1, 2]")]),
        ({"a": {"b": None}}, {"a": {}}, [("a.b", None, "null")]),
        ({"a": {"b": "x"}}, {"a": {"b": None}}, [("a.b", "null", "x")]),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, []),  # the run has no use for it
    ],
)
def test_a_change_names_key_value_and_the_commits_value(used: dict, committed: dict, found: list) -> None:
    assert [(c["key"], c["committed"], c["used"]) for c in changes(leaves(used), leaves(committed))] == found


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"data.dataset": "obqa", "data.folder": "examples/own"}, "obqa"),
        ({"data.dataset": "jsonl", "data.folder": "mytask"}, "mytask"),
        ({"data.dataset": "jsonl", "data.folder": "/srv/secret/mytask"}, "mytask"),
        ({"data.dataset": "jsonl", "data.folder": "../mytask"}, "mytask"),
        ({"data.dataset": "hub", "data.hub.path": "allenai/openbookqa"}, "allenai/openbookqa"),
        ({}, None),
    ],
)
def test_a_set_of_ones_own_is_called_by_its_folder_and_never_by_its_place(
    data: dict[str, Any], words: str | None
) -> None:
    assert dataset_in_words(data) == words
