"""`tinyllm attribute`: its arms, what it prints of those that ran, and what it refuses."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.dvc_project import Project, git, lines, prediction_rows
from tests.experiments.test_table import QUESTIONS, ROOT, put_experiment
from tinyllm.cli.experiments.attribute import add_parser
from tinyllm.experiments.attribution import arms, attribution_table, find_attribution
from tinyllm.experiments.results.kept import path_of
from tinyllm.records.jsonl import write_json

TEACHERS = ["signs", "care", "verbose"]


def put_params(folder: Path, **changes: object) -> None:
    """Leave params.yaml with three teachers; `score__voices="signs"` changes one value more."""
    values = YAML(typ="safe").load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["corpus"]["teachers"] = TEACHERS
    for key, value in changes.items():
        section, name = key.split("__")
        values[section][name] = value
    with (folder / "params.yaml").open("w", encoding="utf-8") as file:
        YAML().dump(values, file)


@pytest.fixture
def project(project: Project) -> Project:
    (project.folder / ".git/info/exclude").write_text("experiments\n", encoding="utf-8")
    put_params(project.folder)
    project.commit("main", lines(QUESTIONS), lines(prediction_rows(QUESTIONS, lambda seed, i: False)))
    return project


def printed(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    given = parser.parse_args(["attribute", *options])
    given.run(given)
    return capsys.readouterr().out


def test_the_arms_leave_each_teacher_out_and_take_each_alone() -> None:
    assert list(arms(["a", "b", "c"])) == [
        ("without a", ["b", "c"]),
        ("without b", ["a", "c"]),
        ("without c", ["a", "b"]),
        ("a alone", ["a"]),
        ("b alone", ["b"]),
        ("c alone", ["c"]),
    ]
    assert list(arms(["a", "b"])) == [("a alone", ["a"]), ("b alone", ["b"])]


def test_an_arm_is_the_run_with_other_teachers_and_nothing_else(project: Project) -> None:
    table, notes = attribution_table()
    cells = {row: dict(cell.overrides) for (_, row, _), cell in table.cells.items()}
    assert cells == {
        "all teachers": {},
        "without signs": {"corpus.teachers": ["care", "verbose"]},
        "without care": {"corpus.teachers": ["signs", "verbose"]},
        "without verbose": {"corpus.teachers": ["signs", "care"]},
        "signs alone": {"corpus.teachers": ["signs"]},
        "care alone": {"corpus.teachers": ["care"]},
        "verbose alone": {"corpus.teachers": ["verbose"]},
    }
    assert (table.control, notes) == ("all teachers", [])


def test_the_voice_of_who_is_left_out_is_not_asked(project: Project) -> None:
    put_params(project.folder, student__target="rationale_then_answer", score__voices="care")
    table, _ = attribution_table()
    asked = {row: cell.params.score.voices for (_, row, _), cell in table.cells.items()}
    assert asked == {
        **dict.fromkeys(["all teachers", "without signs", "without verbose", "care alone"], "care"),
        **dict.fromkeys(["without care", "signs alone", "verbose alone"], "auto"),
    }


def test_an_arm_that_the_params_do_not_allow_is_left_out_with_its_reason(project: Project) -> None:
    teachers = ["palm_540b", "gemini15_flash_1"]
    put_params(
        project.folder, data__dataset="csqa", data__labelled=20, corpus__answers="teachers", corpus__teachers=teachers
    )
    table, notes = attribution_table()
    assert table.rows == ("all teachers", "palm_540b alone")  # the other was shown the gold answer, and cannot vote
    assert len(notes) == 1 and notes[0].startswith("gemini15_flash_1 alone is left out: ")


def test_the_params_are_those_of_the_run_that_is_named(project: Project) -> None:
    git(project.folder, "checkout", "-q", "-b", "other")
    put_params(project.folder, corpus__teachers=["signs", "care"], loss__alpha=2.0)
    git(project.folder, "commit", "-qam", "other")
    git(project.folder, "checkout", "-q", "main")
    table, _ = attribution_table("other")
    assert dict(table.cells["", "signs alone", "test"].overrides) == {"corpus.teachers": ["signs"], "loss.alpha": 2.0}
    assert dict(table.cells["", "all teachers", "test"].overrides)["corpus.teachers"] == ["signs", "care"]
    commit, base = git(project.folder, "rev-parse", "other"), git(project.folder, "rev-parse", "main")
    git(project.folder, "update-ref", f"refs/exps/{base[:2]}/{base[2:]}/tried", commit)
    assert attribution_table("tried")[0].cells.keys() == table.cells.keys()


def test_one_teacher_is_refused(project: Project) -> None:
    put_params(project.folder, corpus__teachers=["signs"])
    with pytest.raises(ValueError) as error:
        attribution_table()
    assert str(error.value) == (
        "params.yaml: corpus.teachers has signs; to tell who helped, there have to be at least 2"
    )


def test_arms_are_told_with_intervals_and_holm_and_the_missing_ones_named(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printed(capsys).startswith("No arm has a result yet (all teachers, without signs, ")
    cells = attribution_table()[0].cells
    right = {"all teachers": 30, "without signs": 10, "without care": 29}
    for row, many in right.items():
        put_experiment(project, cells["", row, "test"].digest, lambda seed, i, n=many: i < n)  # type: ignore[misc]
    out = printed(capsys)
    lines_of = {line.split(" | ")[0].strip("| "): line for line in out.splitlines() if line.startswith("| ")}
    assert lines_of["all teachers"].startswith("| all teachers | 75.0 (")
    assert "| -50.0 (" in lines_of["without signs"] and "| -2.5 (" in lines_of["without care"]
    assert "4 arms have no result yet; `tinyllm attribute --run` runs them." in out
    found = json.loads(printed(capsys, "--json"))
    gains = {row["row"]: row["difference"] for row in found["arms"]["parts"][0]["rows"] if row["difference"]}
    assert gains["without signs"]["value"] == -0.5
    assert gains["without signs"]["p_holm"] == pytest.approx(min(1.0, 2 * gains["without signs"]["p"]))
    assert found["votes"] is None and found["agreement"] == {}


def test_how_often_teachers_agree_is_that_of_the_corpus(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = {"signs+care": {"both_state": 40, "same_answer": 0.975}, "signs+verbose": {"both_state": 0}}
    write_json("metrics/corpus.json", {"agreement": pairs})
    out = printed(capsys)
    told = "signs and care state the same answer in 97.5% of the 40 questions on which both state one"
    assert out.splitlines()[-1] == told and "verbose state" not in out
    assert "97.5%" not in printed(capsys, "main"), "the corpus here is not that of another run"


def test_the_page_finds_the_arms_that_have_run(project: Project) -> None:
    assert find_attribution() == {
        "accuracy": 0.0,
        "arms": [],
        "missing": [row for _, row, _ in attribution_table()[0].cells],
        "why": "",
    }
    cells = attribution_table()[0].cells
    for row, many in {"all teachers": 30, "without signs": 10, "without care": 29}.items():
        put_experiment(project, cells["", row, "test"].digest, lambda seed, i, n=many: i < n)  # type: ignore[misc]
    found = find_attribution()
    assert (found["accuracy"], found["why"]) == (0.75, "")
    assert [(arm["name"], arm["value"], arm["shown"]) for arm in found["arms"]] == [
        ("without signs", -0.5, True),
        ("without care", pytest.approx(-0.025), False),
    ]
    assert found["missing"] == ["without verbose", "signs alone", "care alone", "verbose alone"]


def test_the_page_finds_nothing_of_one_teacher_or_without_git_and_says_what_cannot_be_read(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = attribution_table()[0].cells
    put_experiment(project, cells["", "all teachers", "test"].digest, lambda seed, i: True)
    damaged = path_of(cells["", "signs alone", "test"], attribution_table()[0].path)
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{", encoding="utf-8")
    assert find_attribution()["why"].startswith(f"{damaged}:1: not JSON")
    nothing = {"accuracy": 0.0, "arms": [], "missing": [], "why": ""}
    put_params(project.folder, corpus__teachers=["signs"])
    assert find_attribution() == nothing
    monkeypatch.chdir(tmp_path_factory.mktemp("bare"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", "/")
    assert find_attribution() == nothing
