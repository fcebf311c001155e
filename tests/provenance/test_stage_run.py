"""A stage fails at its end where params.yaml, or a file it depends on, is another than it began with; its work is kept."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.clones import ROOT, set_params
from tinyllm.provenance.snapshot import changed_files, take_snapshot
from tinyllm.provenance.stage_run import running
from tinyllm.records.jsonl import read_json

DVC_YAML = """\
stages:
  train:
    foreach: ${train.seeds}
    do:
      cmd: x
      deps: [code, corpus.jsonl]
      params: [loss, train.epochs]
      outs: ['made/${item}', 'metrics/used/train/${item}.json']
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/loss.py").write_text("a = 1\n")
    (tmp_path / "corpus.jsonl").write_text("{}\n")
    return tmp_path


def run(edit: Callable[[], object] = lambda: None, all_read: bool = False) -> bool:
    """Run the stage, with an edit in its middle; return whether it had to work."""
    with running("train", "1") as stage:
        if stage.restore():
            return False
        if all_read:
            stage.has_read_all()
        edit()
        out = Path("made/1")
        out.mkdir(parents=True, exist_ok=True)
        (out / "weights").write_text(f"alpha {stage.params.loss.alpha}")
    return True


def edited(**changes: Any) -> Callable[[], None]:
    return lambda: set_params(Path(), {key.replace("__", "."): value for key, value in changes.items()})


def test_a_run_writes_what_it_used() -> None:
    assert run()
    record = read_json("metrics/used/train/1.json")
    values = YAML(typ="safe").load(Path("params.yaml").read_text())
    assert record["params"] == {"loss": values["loss"], "train.epochs": 24}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (edited(loss__alpha=0.0), "loss.alpha 6.0, and params.yaml has 0.0"),
        (edited(train__epochs=1), "train.epochs 24, and params.yaml has 1"),
        (edited(loss__teacher_alpha={"signs": 1.0}), "loss.teacher_alpha.signs null, and params.yaml has 1.0"),
    ],
)
def test_params_that_change_are_told_and_the_work_is_kept(edit: Callable[[], None], said: str) -> None:
    before = Path("params.yaml").read_text()
    with pytest.raises(
        ValueError, match=f"changed while train@1 ran, which began with {re.escape(said)}; nothing is reco"
    ):
        run(edit)
    shutil.rmtree("made")  # as DVC does before it runs a stage again
    Path("params.yaml").write_text(before)
    assert not run(), "the work was not put back"
    assert Path("made/1/weights").read_text() == "alpha 6.0"
    assert run(), "what was put back once is not put back again"


def test_new_params_do_not_get_the_old_work() -> None:
    with pytest.raises(ValueError, match="changed while"):
        run(edited(loss__alpha=0.0))
    assert run()
    assert Path("made/1/weights").read_text() == "alpha 0.0"


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda: Path("params.yaml").unlink(), "params.yaml: no such file; "),
        (lambda: Path("params.yaml").write_text("loss: ["), "params.yaml:1: not YAML "),
        (lambda: Path("params.yaml").write_text(""), 'began with loss {"answer": 1.0, '),
    ],
)
def test_params_that_can_no_longer_be_read_are_told(edit: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        run(edit)


def test_other_params_and_a_file_saved_as_it_was_may_change() -> None:
    def edit() -> None:
        set_params(Path(), {"score.max_new_tokens": 1, "runtime.device": "cpu"})
        os.utime("corpus.jsonl", (1, 1))
        Path("code/__pycache__").mkdir()
        Path("code/__pycache__/loss.pyc").touch()

    assert run(edit)


EDITS: list[tuple[Callable[[], object], str]] = [
    (lambda: Path("corpus.jsonl").write_text("[]\n"), "corpus.jsonl: changed while train@1 ran"),
    (lambda: Path("corpus.jsonl").unlink(), "corpus.jsonl: changed while train@1 ran"),
    (lambda: Path("code/new.py").touch(), "code/new.py: changed while train@1 ran"),
    (lambda: Path("code/loss.py").write_text("a = 2\n"), "code/loss.py: changed while train@1 ran"),
    (lambda: (Path("code/a.py").touch(), Path("code/b.py").touch()), "code/a.py:, and 1 more files, changed while"),
]


@pytest.mark.parametrize(("edit", "said"), EDITS)
def test_a_file_that_changes_is_told_and_what_may_be_a_mixture_is_not_kept(
    edit: Callable[[], object], said: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}.*; run it again$"):
        run(edit)
    assert not Path(".cache/kept").exists()


@pytest.mark.parametrize(("edit", "said"), EDITS[3:4])
def test_a_file_that_changes_once_all_is_read_costs_no_work(edit: Callable[[], object], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}.*; set it back and run it again, which takes a moment"):
        run(edit, all_read=True)
    assert run(), "the new program is another"
    Path("code/loss.py").write_text("a = 1\n")
    assert not run()


def test_a_file_that_changes_while_it_is_read_is_told_at_once() -> None:
    with (
        pytest.raises(ValueError, match="^corpus.jsonl: changed while train@1 ran; nothing is recorded; run it again$"),
        running("train", "1") as stage,
    ):
        Path("corpus.jsonl").write_text("[]\n")
        stage.has_read_all()
        raise AssertionError("it went on")


def test_where_nothing_can_be_kept_the_fault_is_told_all_the_same() -> None:
    def edit() -> None:
        set_params(Path(), {"loss.alpha": 0.0})
        Path(".cache").touch()  # no folder can be made below a file

    with pytest.raises(ValueError, match="nothing is recorded; run it again$"):
        run(edit)


def test_a_process_that_trains_with_others_leaves_the_record_to_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    assert run(edited(loss__alpha=0.0))
    assert not Path("metrics/used").exists()


def test_a_snapshot_tells_content_and_not_time() -> None:
    before = take_snapshot(["code", "corpus.jsonl", "gone"])
    assert sorted(before) == ["code/loss.py", "corpus.jsonl"]
    os.utime("code/loss.py", (1, 1))
    assert changed_files(before, ["code", "corpus.jsonl", "gone"]) == []
    Path("gone").touch()
    Path("code/loss.py").write_text("b = 1\n")
    assert changed_files(before, ["code", "corpus.jsonl", "gone"]) == ["code/loss.py", "gone"]
