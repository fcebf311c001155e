"""A project that `tinyllm init` has made, as its users run it: the pipeline, comparisons, tables, and an upgrade."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.clones import ROOT, Clone, name, set_params, stages_run

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

SMALL = {
    "student.scratch.vocabulary": 300,
    "student.scratch.width": 16,
    "student.scratch.layers": 1,
    "student.scratch.heads": 2,
    "student.scratch.feed_forward": 32,
    "train.seeds": [1],
    "train.epochs": 1,
    "train.eval_every": 1,
    "score.texts": False,
}
TABLE = """\
title: With one teacher and with two
overrides: {runtime.device: cpu}
columns_are: fixed
columns:
  mine: {}
control: one
rows:
  one: {corpus.teachers: [concise]}
  two: {corpus.teachers: [concise, careful]}
"""
STAGES = ["download", "query@careful", "query@concise", "exam@careful", "exam@concise"]
STAGES += ["assemble", "train@1", "score", "report"]


def test_a_project_runs_compares_and_is_upgraded(tmp_path: Path) -> None:
    clone = Clone(tmp_path)
    clone.environment |= {"PYTHONPATH": str(ROOT), "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    tinyllm = (sys.executable, "-m", "tinyllm")
    clone.run(*tinyllm, "init", "task", "--questions", str(ROOT / "examples/own"))
    clone.folder = tmp_path / "task"
    name(clone)
    set_params(clone.folder, SMALL)
    (clone.folder / "experiments").mkdir()
    (clone.folder / "experiments/mine.yaml").write_text(TABLE, encoding="utf-8")
    clone.commit("Smaller, and a table")
    assert stages_run(clone.dvc("repro")) == STAGES
    assert stages_run(clone.dvc("repro")) == []
    clone.commit("Results")
    assert "accuracy" in clone.run(*tinyllm, "summary") and "train 24" in clone.run(*tinyllm, "check")
    assert '"answer"' in clone.run("bash", "-c", f"{' '.join(tinyllm)} ask < questions/test.jsonl")

    clone.run(*tinyllm, "sweep", "experiments/mine.yaml", "--run", "--jobs", "1")
    table = clone.run(*tinyllm, "table", "experiments/mine.yaml")
    assert "| one |" in table and "| two |" in table
    experiments = clone.git("for-each-ref", "--format=%(refname:lstrip=4)", "refs/exps").split()
    (one,) = (found for found in experiments if "one" in found)
    assert one in clone.run(*tinyllm, "compare", one, "workspace")

    version = clone.folder / "tinyllm.version"
    version.write_text(version.read_text("utf-8").replace("code ", "code 0"), encoding="utf-8")
    clone.commit("As if another version had made it")
    clone.run(*tinyllm, "init", "--upgrade")
    assert version.read_text("utf-8") == clone.git("show", "HEAD~1:tinyllm.version")
    version.write_text("# another version\n" + version.read_text("utf-8"), encoding="utf-8")
    assert stages_run(clone.dvc("repro", "download")) == ["download"], "another version runs the stages again"


def test_a_project_without_teachers_runs(tmp_path: Path) -> None:
    clone = Clone(tmp_path)
    clone.environment |= {"PYTHONPATH": str(ROOT), "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    rows = "".join((ROOT / f"examples/own/{split}.jsonl").read_text("utf-8") for split in ("train", "valid", "test"))
    (tmp_path / "all.jsonl").write_text(rows, encoding="utf-8")
    said = clone.run(sys.executable, "-m", "tinyllm", "init", "task", "--questions", "all.jsonl")
    assert "train 28, valid 4, test 8; one file, split with --seed 1" in said and "teachers   none" in said
    clone.folder = tmp_path / "task"
    set_params(clone.folder, SMALL)
    assert stages_run(clone.dvc("repro")) == ["download", "assemble", "train@1", "score", "report"]
