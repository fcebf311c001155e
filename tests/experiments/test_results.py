"""Results that travel: what a cell's file holds, that tables print from it alone, and which files are refused."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dvc_project import Project, git, lines, prediction_rows
from tests.experiments.test_table import QUESTIONS, ROOT, change, printed, put_trained, table_of
from tinyllm.cli.experiments import sweep
from tinyllm.experiments.grid import Cell, digest_of
from tinyllm.experiments.grid import cell_of as cell_of_grid
from tinyllm.experiments.results.found import find_all, keep
from tinyllm.experiments.results.kept import digest_of as values_digest
from tinyllm.experiments.results.kept import folder_of, path_of, read_kept
from tinyllm.experiments.runs import parse_run
from tinyllm.experiments.tune.leftovers import forget_training
from tinyllm.records.questions import parse_questions

TABLE = """\
title: A toy
overrides: {}
columns_are: fixed
columns:
  world: {data.seed: 11}
control: plain
rows:
  plain: {corpus.teachers: []}
  loud: {loss.alpha: 3.0}
"""
PATH = Path("toy.yaml")
LOOKS = {1: (0.25, 2), 2: (0.5, 4), 3: (0.75, 1)}


@pytest.fixture
def project(project: Project) -> Project:
    (project.folder / ".git/info/exclude").write_text("toy.yaml\nexperiments\n", encoding="utf-8")
    (project.folder / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    project.commit("main", lines(QUESTIONS), lines(prediction_rows(QUESTIONS, lambda seed, i: False)))
    return project


def cell_of(row: str = "loud", text: str = TABLE) -> Cell:
    return table_of(text).cells["", row, "world"]


def put_kept(project: Project, row: str = "loud") -> Path:
    """Leave an experiment, ten of forty right in every seed, and the file of its result."""
    cell = cell_of(row)
    put_trained(project, cell.digest, LOOKS)
    return keep(cell, find_all([cell], PATH)[0][cell.digest], PATH, 61.26)


def leave(project: Project) -> None:
    """Take away what only this machine has: the experiments and DVC's cache."""
    for reference in git(project.folder, "for-each-ref", "--format=%(refname)", "refs/exps").splitlines():
        git(project.folder, "update-ref", "-d", reference)
    shutil.rmtree(project.folder / ".dvc/cache")


def swept(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    parser = argparse.ArgumentParser()
    sweep.add_parser(parser.add_subparsers())
    given = parser.parse_args(["sweep", "toy.yaml", *options])
    given.run(given)
    return capsys.readouterr().out.splitlines()


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_a_file_holds_settings_commit_and_which_questions_each_seed_has_right(project: Project) -> None:
    path = put_kept(project)
    assert path == Path(f"experiments/results/toy/loud-world-{cell_of().digest}.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    values = found.pop("params")
    assert values["values"] | {"loss.alpha": 3.0, "data.seed": 11, "teachers.signs.kind": "signs"} == values["values"]
    assert not [key for key in values["values"] if key.startswith(("runtime.", "teachers.endpoint."))]
    assert values["digest"] == values_digest(values["values"])
    asked = parse_run("any", parse_questions(QUESTIONS, "any"), prediction_rows(QUESTIONS, lambda seed, i: True)).asked
    right = 10 * "1" + 30 * "0"
    assert found | {"digest": ""} == {
        "experiment": f"toy-{cell_of().digest}",
        "cell": "loud, world",
        "target": "score",
        "commit": git(project.folder, "rev-parse", "main"),
        "overrides": {"data.seed": 11, "loss.alpha": 3.0},
        "metrics": {"accuracy": 0.25},
        "valid": {str(seed): {"accuracy": value, "best_epoch": epoch} for seed, (value, epoch) in LOOKS.items()},
        "test": {"questions": 40, "asked": asked, "right": {"1": right, "2": right, "3": right}},
        "seconds": 61.3,
        "digest": "",
    }
    kept = read_kept(path)
    assert kept.seeds == (1, 2, 3) and kept.right.tolist() == [[i < 10 for i in range(40)]] * 3


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        ("experiments/main.yaml", "main"),
        ("experiments/cpu/when.tuned.yaml", "cpu/when.tuned"),
        ("mine.yaml", "mine"),
        ("../else/mine.yaml", "mine"),
    ],
)
def test_the_folder_is_named_after_the_table(project: Project, table: str, folder: str) -> None:
    assert folder_of(Path(table)) == Path("experiments/results") / folder
    assert folder_of(Path(table).absolute()) == Path("experiments/results") / folder


def test_no_path_of_the_machine_is_in_a_file_and_another_path_is_another_value(project: Project) -> None:
    text = TABLE.replace("{loss.alpha: 3.0}", "{student.origin: local, student.model: /depot/my/model}")
    cell = cell_of(text=text)
    put_trained(project, cell.digest, LOOKS)
    path = keep(cell, find_all([cell], PATH)[0][cell.digest], PATH)
    assert "/depot" not in path.read_text(encoding="utf-8")
    kept = read_kept(path)
    assert kept.overrides["student.model"] == kept.params.values["student.model"]
    assert str(kept.overrides["student.model"]).startswith("path:")
    leave(project)
    assert cell.digest in find_all([cell], PATH)[0]
    other = cell_of(text=text.replace("/depot", "/srv"))
    assert other.digest != cell.digest and find_all([other], PATH) == ({}, {})


def test_a_row_that_gets_another_name_keeps_its_file(project: Project) -> None:
    path = put_kept(project)
    cell = table_of(TABLE.replace("loud:", "louder:")).cells["", "louder", "world"]
    assert keep(cell, find_all([cell], PATH)[0][cell.digest], PATH) == path != path_of(cell, PATH)


# --- read where there is no experiment ------------------------------------------------------------------------------


def test_a_table_prints_the_same_from_files_alone(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [cell_of(row) for row in ("plain", "loud")]
    for salt, cell in enumerate(cells):
        put_trained(project, cell.digest, LOOKS, lambda seed, i, salt=salt: (7 * i + seed) % 10 < 4 + 3 * salt)
    table = [printed(capsys, *options) for options in ([], ["--json"], ["--valid"])]
    assert "40.0 (" in table[0] and "70.0 (" in table[0] and "+30.0 (" in table[0]
    assert "| plain | 50.0 (2, 4, 1) |" in table[2]
    results = find_all(cells, PATH)[0]
    for cell in cells:
        keep(cell, results[cell.digest], PATH)
    assert [printed(capsys, *options) for options in ([], ["--json"], ["--valid"])] == table
    leave(project)
    assert [printed(capsys, *options) for options in ([], ["--json"], ["--valid"])] == table


def test_a_sweep_skips_what_has_a_file_and_says_what_there_is(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put_kept(project)
    leave(project)
    git(project.folder, "commit", "-q", "--allow-empty", "-m", "The next")
    of = git(project.folder, "rev-parse", "--short=7", "HEAD~1")
    assert swept(capsys) == [
        "missing  plain, world",
        f"done     loud, world: 25.0%, {path}, of {of} and not of HEAD",
        "1 of 2 experiments have no result; `tinyllm sweep toy.yaml --run` runs them",
    ]
    assert f"done     loud, world: 50.0%, {path}" in swept(capsys, "--valid")[1]
    path.unlink()
    assert swept(capsys)[1] == "missing  loud, world"


def test_another_tables_file_of_the_same_cell_counts(project: Project) -> None:
    path = put_kept(project)
    leave(project)
    other = Path("experiments/results/other") / path.name
    other.parent.mkdir()
    path.rename(other)
    assert find_all([cell_of()], PATH)[0][cell_of().digest].name == str(other)


def test_a_file_counts_until_a_value_that_the_cell_uses_changes(project: Project) -> None:
    path = put_kept(project)
    leave(project)
    for old, new in (("concurrency: 64", "concurrency: 32"), ("parameters: 2.85e+9", "parameters: 2.86e+9")):
        change(project, old, new)
    assert cell_of().digest in find_all([cell_of()], PATH)[0]
    kept = json.loads(path.read_text(encoding="utf-8"))
    del kept["params"]["values"]["train.dropout"], kept["digest"]  # as of a version that did not have the key
    path.write_text(json.dumps(kept | {"digest": values_digest(kept)}), encoding="utf-8")
    assert cell_of().digest in find_all([cell_of()], PATH)[0]
    change(project, "warmup: 0.1 ", "warmup: 0.2 ")
    assert find_all([cell_of()], PATH) == ({}, {})


def test_results_of_several_commits_are_told_with_whether_their_code_differs(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    put_kept(project)
    git(project.folder, "commit", "-q", "--allow-empty", "-m", "The same code")
    put_kept(project, "plain")
    leave(project)
    assert printed(capsys).splitlines()[-1] == "The results come from 2 commits; their code is the same."
    (project.folder / "stages").mkdir()
    (project.folder / "stages/train.py").write_text("", encoding="utf-8")
    git(project.folder, "add", "stages")
    git(project.folder, "commit", "-q", "-m", "Other code")
    shutil.rmtree("experiments/results")
    put_kept(project, "plain")
    git(project.folder, "checkout", "-q", "HEAD~1")
    put_kept(project)
    assert printed(capsys).splitlines()[-1] == (
        "The results come from 2 commits; their code differs, or is not known here."
    )


# --- both, and they differ ------------------------------------------------------------------------------------------


def test_where_a_file_and_an_experiment_differ_the_experiment_counts_with_a_note(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    path, cell = put_kept(project), cell_of()
    kept = json.loads(path.read_text(encoding="utf-8"))
    del kept["digest"]
    kept["metrics"]["accuracy"] = 0.5
    kept["test"]["right"] = dict.fromkeys("123", 20 * "1" + 20 * "0")
    text = json.dumps(kept | {"digest": values_digest(kept)})
    path.write_text(text, encoding="utf-8")
    of = git(project.folder, "rev-parse", "--short=7", "main")
    note = (
        f"loud, world: {path} says 50.0%, of {of}, and the experiment toy-{cell.digest} 25.0%, of {of}: the experiment "
        "counts. Delete the one that is wrong (`dvc exp remove NAME`), then sweep with --run"
    )
    assert swept(capsys)[1:3] == [f"done     loud, world: 25.0%, toy-{cell.digest}", f"note     {note}"]
    told = printed(capsys).splitlines()
    assert told[-1] == note and "| loud | 25.0 (" in "\n".join(told)
    assert path.read_text(encoding="utf-8") == text  # which of both is wrong is the user's to say
    leave(project)
    assert "done     loud, world: 50.0%" in swept(capsys)[1]


# --- faulty files ---------------------------------------------------------------------------------------------------


def edited(change: Callable[[dict], Any], sealed: bool = True) -> Callable[[str], str]:
    def make(text: str) -> str:
        kept = json.loads(text)
        change(kept)
        digest = kept.pop("digest")
        return json.dumps(kept | {"digest": values_digest(kept) if sealed else digest})

    return make


FAULTS: list[tuple[Callable[[str], str], str]] = [
    (edited(lambda kept: kept["metrics"].update(accuracy=0.9), sealed=False), "was edited, for its digest is not"),
    (edited(lambda kept: kept["test"]["right"].update({"1": 40 * "1"}), sealed=False), "was edited, for its"),
    (edited(lambda kept: kept.pop("commit")), "commit: is missing; the file must hold every value"),
    (edited(lambda kept: kept.update(commit="HEAD")), "commit: found 'HEAD'; allowed is hexadecimal digits"),
    (edited(lambda kept: kept.update(more=1)), "more: unknown key"),
    (
        edited(lambda kept: kept["test"]["right"].update({"1": "10"})),
        "test.right has 2, 40 answers of a seed to 40 q",
    ),
    (
        edited(lambda kept: kept["test"]["right"].update({"1": 40 * "2"})),
        "test.right.1: found '2222222222222222222",
    ),
    (
        edited(lambda kept: kept["test"].update(right={"one": 40 * "1"})),
        "test.right is of something that is no seed",
    ),
    (edited(lambda kept: kept.update(test=None)), "has no answers on test"),
    (edited(lambda kept: kept.update(metrics={})), "metrics has no accuracy"),
    (edited(lambda kept: kept.update(experiment="toy-12345678")), "holds the result of toy-12345678, another cell"),
    (lambda text: text[:-20], ""),
    (lambda text: f"<<<<<<< HEAD\n{text}", ""),
    (lambda text: "[]", ""),
    (lambda text: "\x00", ""),
]


def test_a_faulty_file_is_refused_in_one_line_that_names_it(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    path = put_kept(project)
    whole = path.read_text(encoding="utf-8")
    for make, told in FAULTS:
        path.write_text(make(whole), encoding="utf-8")
        for command in (swept, printed):
            with pytest.raises(ValueError) as caught:
                command(capsys)
            message = str(caught.value)
            assert message.startswith(f"{path}: {told}" if told else f"{path}"), message
            assert "\n" not in message
            assert not told or message.endswith("; restore it with git, or delete it, and the cell runs anew")


def test_files_of_other_questions_are_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [put_kept(project, row) for row in ("plain", "loud")]
    leave(project)
    kept = json.loads(paths[1].read_text(encoding="utf-8"))
    asked, kept["test"]["asked"] = kept["test"]["asked"], "0123456789abcdef"
    del kept["digest"]
    paths[1].write_text(json.dumps(kept | {"digest": values_digest(kept)}), encoding="utf-8")
    with pytest.raises(ValueError) as caught:
        printed(capsys)
    assert str(caught.value) == (
        f"{paths[0]} and {paths[1]} answer different questions: 40 and 40, their digests {asked} and 0123456789abcdef; "
        "only runs on the same test questions can be compared"
    )


def test_a_file_without_a_seeds_look_at_valid_is_told(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    path = put_kept(project)
    leave(project)
    kept = json.loads(path.read_text(encoding="utf-8"))
    del kept["valid"]["2"], kept["digest"]
    path.write_text(json.dumps(kept | {"digest": values_digest(kept)}), encoding="utf-8")
    with pytest.raises(ValueError, match=f"^{path}: has no accuracy on valid of seed 2; delete its file, then sweep$"):
        printed(capsys, "--valid")
    assert "| loud | 25.0 (" in printed(capsys)


def test_a_training_alone_is_never_taken_for_a_scored_cell(project: Project) -> None:
    scored = cell_of()
    cell = cell_of_grid(PATH, ("", "loud", "world"), dict(scored.overrides), scored.params, "train")
    assert cell.digest == digest_of(scored.overrides, "train") != scored.digest
    put_trained(project, cell.digest, LOOKS)  # its metrics/score.json, 25%, is of the commit before
    assert find_all([scored], PATH) == ({}, {})
    result = find_all([cell], PATH)[0][cell.digest]
    assert result.accuracy == 0.5
    path = keep(cell, result, PATH)
    kept = read_kept(path)
    assert (kept.target, kept.metrics, kept.test, kept.accuracy) == ("train", {}, None, 0.5)
    assert find_all([cell], PATH)[0][cell.digest].kept == kept
    forget_training(cell, result, 0.0)
    assert not git(project.folder, "for-each-ref", "refs/exps")
    assert find_all([cell], PATH)[0][cell.digest].name == str(path)
