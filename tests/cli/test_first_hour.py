"""The first hour: a command that comes before its stage says which stage to run, and the page can be made by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dvc_project import git
from tests.runs import toy_results
from tinyllm.cli.main import main
from tinyllm.params.yaml_file import read_yaml
from tinyllm.provenance.records import stages_of, write_record
from tinyllm.report.contents import gather
from tinyllm.report.saved import page_is_current, save_report

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with params.yaml, in which nothing was run."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    git(tmp_path, "init", "-q")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    yield tmp_path


STUDENT = "models/student/1: holds no trained student (config.json and model.safetensors); run dvc repro train"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["estimate"], "data/questions/train.jsonl: no such file; run dvc repro download"),
        (["summary"], "metrics/score.json: no such file; run dvc repro"),
        (["page"], "report/page.json: no such file; run dvc repro report"),
        (["ask", "Why?"], STUDENT),
        (["export", "out"], STUDENT),
        (
            ["export", "corpus"],
            "metrics/used/download.json: no such file, so that it is not known what download used; run",
        ),
        (["compare", "workspace", "HEAD"], "workspace: data/questions/test.jsonl: no such file; `dvc repro` makes it"),
    ],
)
def test_a_command_before_its_stage_says_what_to_run_in_one_line(fresh: Path, command: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert str(stop.value.code).startswith(f"error: {said}") and "\n" not in str(stop.value.code)


def test_before_anything_was_asked_nothing_has_been_paid(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["cost"])
    assert capsys.readouterr().out.endswith("no calls yet\n")


def test_the_page_is_made_from_what_is_kept(fresh: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_report(fresh / "report", gather(toy_results(), "toy", {}))
    for stage in stages_of(read_yaml(Path("params.yaml"))):
        write_record(stage, {})
    assert not page_is_current(fresh / "report")
    main(["page"])
    assert capsys.readouterr().out == "report/index.html: 7 questions, without a control\n"
    assert page_is_current(fresh / "report")
    assert "no control yet: run" in (fresh / "report/index.html").read_text(encoding="utf-8")
