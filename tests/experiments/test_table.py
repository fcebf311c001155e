"""`tinyllm table`: which experiments count as a cell's result, and the numbers, against others' arithmetic."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from tests.dvc_project import Project, git, in_memory, lines, prediction_rows, question_rows
from tinyllm.cli.experiments import sweep
from tinyllm.cli.experiments.table import add_parser
from tinyllm.experiments.dvc_experiments import find_results
from tinyllm.experiments.grid import Table, read_table
from tinyllm.experiments.markdown import as_markdown
from tinyllm.experiments.runs import Run
from tinyllm.experiments.table import tabulate

ROOT = Path(__file__).resolve().parents[2]
TABLE = """\
title: A toy
overrides: {}
columns_are: fixed
columns:
  first: {data.seed: 11}
  second: {data.seed: 12}
control: plain
rows:
  plain: {corpus.teachers: []}
  loud: {loss.alpha: 3.0}
  a|b: {loss.alpha: 4.0}
paper:
  plain: {first: 41.6, second: 50.0}
  a|b: {second: 60.0}
"""
QUESTIONS = question_rows(40)
SAMPLED = TABLE.replace("fixed", "sample").replace("  second", "  third: {data.seed: 13}\n  second")


@pytest.fixture
def project(project: Project) -> Project:
    (project.folder / ".git/info/exclude").write_text("toy.yaml\n", encoding="utf-8")
    (project.folder / "params.yaml").write_text((ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    project.commit("main", lines(QUESTIONS), lines(prediction_rows(QUESTIONS, lambda seed, i: False)))
    return project


def table_of(text: str = TABLE) -> Table:
    Path("toy.yaml").write_text(text, encoding="utf-8")
    return read_table(Path("toy.yaml"))


def put_experiment(project: Project, digest: str, right: Callable[[int, int], bool], name: str = "toy") -> str:
    """Leave an experiment of HEAD as DVC does, a reference that names the commit and what it is of."""
    head = git(project.folder, "rev-parse", "HEAD")
    rows = prediction_rows(QUESTIONS, right)
    accuracy = sum(row["choice"] == row["gold"] for row in rows) / len(rows)
    (project.folder / "metrics").mkdir(exist_ok=True)
    (project.folder / "metrics/score.json").write_text(json.dumps({"accuracy": accuracy}), encoding="utf-8")
    made = project.commit("made", lines(QUESTIONS), lines(rows))
    git(project.folder, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}-{digest}", made)
    git(project.folder, "checkout", "-q", "main")
    return made


def printed(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    given = parser.parse_args(["table", "toy.yaml", *options])
    given.run(given)
    return capsys.readouterr().out


# --- which experiments count ----------------------------------------------------------------------------------------


def change(project: Project, old: str, new: str) -> None:
    path = project.folder / "params.yaml"
    text = path.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    git(project.folder, "commit", "-q", "-a", "-m", "other params")


def test_an_experiment_of_an_older_commit_counts_until_a_value_that_it_uses_changes(project: Project) -> None:
    cell = table_of().cells["", "loud", "first"]
    old = put_experiment(project, cell.digest, lambda seed, i: i < 10)
    assert find_results([cell])[cell.digest].current
    change(project, "concurrency: 64", "concurrency: 32")
    change(project, "parameters: 2.85e+9", "parameters: 2.86e+9")  # of teachers that the cell does not use
    found = find_results([table_of().cells["", "loud", "first"]])[cell.digest]
    assert (found.commit, found.current, found.accuracy) == (old, False, 0.25)
    new = put_experiment(project, cell.digest, lambda seed, i: i < 20, name="another-table")
    assert find_results([cell])[cell.digest].commit == new  # that of HEAD comes first
    change(project, "warmup: 0.1 ", "warmup: 0.2 ")
    assert find_results([table_of().cells["", "loud", "first"]]) == {}


def test_a_default_that_the_cell_overrides_may_change(project: Project) -> None:
    cell = table_of().cells["", "loud", "first"]
    put_experiment(project, cell.digest, lambda seed, i: i < 10)
    change(project, "alpha: 6.0 ", "alpha: 5.0 ")
    assert cell.digest in find_results([table_of().cells["", "loud", "first"]])
    assert find_results([table_of().cells["", "plain", "first"]]) == {}


# --- the numbers ----------------------------------------------------------------------------------------------------


def chance(rate: float, salt: int) -> Callable[[int, int], bool]:
    drawn = np.random.default_rng(salt).random((9, 200)) < rate
    return lambda seed, i: bool(drawn[seed, i])


def runs_of(table: Table) -> dict[str, Run]:
    rates = {"plain": 0.3, "loud": 0.6, "a|b": 0.35}
    found = {}
    for salt, ((_, row, column), cell) in enumerate(table.cells.items()):
        found[cell.digest] = in_memory(f"{row} {column}", question_rows(100), chance(rates[row], salt))
    return found


def slow_variance(control: np.ndarray, other: np.ndarray) -> list[tuple[float, int]]:
    """Questions' part and seeds' part, each with its degrees of freedom, summed up one by one."""
    seeds, n = control.shape
    gains = [sum(int(other[s, i]) - int(control[s, i]) for s in range(seeds)) / seeds for i in range(n)]
    mean = sum(gains) / n
    question = (sum((gain - mean) ** 2 for gain in gains) + 1 / seeds) / (n - 1) / n
    by_seed = [sum(int(other[s, i]) - int(control[s, i]) for i in range(n)) / n for s in range(seeds)]
    return [(question, n - 1), (sum((one - mean) ** 2 for one in by_seed) / (seeds - 1) / seeds, seeds - 1)]


def test_the_difference_over_fixed_columns_adds_their_variances(project: Project) -> None:
    table = table_of()
    runs = runs_of(table)
    control, other = (
        [runs[table.cells["", row, column].digest].right for column in table.columns] for row in ("plain", "loud")
    )
    parts = [(part / 4, known) for a, b in zip(control, other, strict=True) for part, known in slow_variance(a, b)]
    variance = sum(part for part, _ in parts)
    half = stats.t.ppf(0.975, variance**2 / sum(part**2 / known for part, known in parts)) * math.sqrt(variance)
    mean = sum(b.mean() - a.mean() for a, b in zip(control, other, strict=True)) / 2
    rows = {row["row"]: row for row in tabulate(table, runs, {})["parts"][0]["rows"]}
    found = rows["loud"]["difference"]
    assert [found[key] for key in ("value", "low", "high")] == pytest.approx([mean, mean - half, mean + half])
    smaller = rows["a|b"]["difference"]
    assert found["p"] < 0.025 < smaller["p"]
    assert (found["p_holm"], smaller["p_holm"]) == pytest.approx((2 * found["p"], smaller["p"]))  # of two tests
    assert rows["plain"]["difference"] is None
    assert rows["plain"]["mean"]["paper"] == 45.8 and rows["a|b"]["mean"]["paper"] is None


def test_columns_that_are_a_sample_are_judged_by_how_they_scatter(project: Project) -> None:
    table = table_of(SAMPLED)
    runs = runs_of(table)

    def accuracies(row: str) -> list[float]:
        return [float(runs[table.cells["", row, column].digest].right.mean()) for column in table.columns]

    gains = np.subtract(accuracies("loud"), accuracies("plain"))
    rows = {row["row"]: row for row in tabulate(table, runs, {})["parts"][0]["rows"]}
    expected, found = stats.ttest_1samp(gains, 0), rows["loud"]["difference"]
    interval = expected.confidence_interval(0.95)
    numbers = [found[key] for key in ("value", "low", "high", "p")]
    assert numbers == pytest.approx([gains.mean(), interval.low, interval.high, expected.pvalue])
    interval = stats.ttest_1samp(accuracies("loud"), 0).confidence_interval(0.95)
    assert [rows["loud"]["mean"][key] for key in ("low", "high")] == pytest.approx([interval.low, interval.high])


def test_the_table_is_printed_from_the_experiments_and_what_is_missing_is_empty(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    table = table_of()
    for (_, row, column), cell in table.cells.items():
        if (row, column) != ("a|b", "first"):
            count = {"plain": 10, "loud": 30, "a|b": 20}[row]
            put_experiment(project, cell.digest, lambda seed, i, count=count: i < count)
    head = git(project.folder, "rev-parse", "--short=7", "HEAD")
    told = printed(capsys).splitlines()
    assert [re.sub(r" \([^)]*\)(?! \|$)", "", line) for line in told[:7]] == [
        "**A toy**",
        "",
        "|  | mean | first | second | over plain | p (Holm) |",
        "|---|---|---|---|---|---|",
        "| plain | 25.0 [45.80] | 25.0 [41.60] | 25.0 [50.00] |  |  |",
        "| loud | 75.0 | 75.0 | 75.0 | +50.0 | < 0.0001 |",
        "| a\\|b |  |  | 50.0 [60.00] |  |  |",
    ]
    assert told[-1] == f"`tinyllm table toy.yaml`; seeds 1, 2, 3; questions 40; experiments of {head}."
    assert json.loads(printed(capsys, "--json"))["parts"][0]["rows"][1]["mean"]["value"] == 0.75


def test_a_table_without_results_says_so(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    table_of()
    told = printed(capsys)
    assert "| loud |  |  |  |  |  |\n" in told and told.endswith(
        "`tinyllm table toy.yaml`; no cell has a result yet.\n"
    )


def test_one_column_has_no_mean(project: Project) -> None:
    table = table_of(
        TABLE.replace("  second: {data.seed: 12}\n", "").replace(", second: 50.0", "").replace("second", "first")
    )
    head = as_markdown(tabulate(table, runs_of(table), {})).splitlines()[2]
    assert head == "|  | first | over plain | p (Holm) |"


def test_other_test_questions_are_refused(project: Project) -> None:
    table = table_of()
    runs = runs_of(table)
    other = in_memory("loud second", question_rows(99), chance(0.5, 1))
    with pytest.raises(ValueError, match=r"plain second and loud second answer different questions: 1 only in plain"):
        tabulate(table, runs | {table.cells["", "loud", "second"].digest: other}, {})


def test_a_result_that_the_cache_has_lost_is_told(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    cell = table_of().cells["", "loud", "first"]
    put_experiment(project, cell.digest, lambda seed, i: i < 10)
    kept = project.kept(lines(prediction_rows(QUESTIONS, lambda seed, i: i < 10)))
    os.chmod(kept, 0o644)
    kept.unlink()
    with pytest.raises(
        ValueError, match=rf"^toy-{cell.digest}: data/predictions.jsonl is not in DVC's cache; `dvc fetch"
    ):
        printed(capsys)


# --- on valid -------------------------------------------------------------------------------------------------------


def put_trained(
    project: Project,
    digest: str,
    trained: dict[int, tuple[float, int]],
    right: Callable[[int, int], bool] = lambda seed, i: i < 10,
) -> None:
    """Leave an experiment with the metrics of each seed's training: accuracy on valid and the best epoch."""
    (project.folder / "metrics/train").mkdir(parents=True, exist_ok=True)
    for seed, (accuracy, epoch) in trained.items():
        text = json.dumps({"valid_accuracy": accuracy, "best_epoch": epoch})
        (project.folder / f"metrics/train/{seed}.json").write_text(text, encoding="utf-8")
    put_experiment(project, digest, right)


def test_accuracy_on_valid_is_the_mean_over_seeds_and_test_is_not_read(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = table_of().cells
    put_trained(project, cells["", "plain", "first"].digest, {1: (0.25, 2), 2: (0.5, 4), 3: (0.3, 1)})
    put_trained(project, cells["", "plain", "second"].digest, {1: (0.75, 3), 2: (0.75, 3), 3: (0.75, 3)})
    put_trained(project, cells["", "a|b", "second"].digest, {1: (0.6, 9), 2: (0.6, 8), 3: (0.6, 7)})
    for kept in (project.folder / ".dvc/cache").rglob("*"):  # test's predictions
        if kept.is_file():
            os.chmod(kept, 0o644)
            kept.unlink()
    assert printed(capsys, "--valid").splitlines()[:7] == [
        "**A toy: on valid**",
        "",
        "|  | mean | first | second |",
        "|---|---|---|---|",
        "| plain | 55.0 | 35.0 (2, 4, 1) | 75.0 (3, 3, 3) |",
        "| loud |  |  |  |",
        "| a\\|b |  |  | 60.0 (9, 8, 7) |",
    ]
    rows = json.loads(printed(capsys, "--valid", "--json"))["parts"][0]["rows"]
    assert rows[0]["cells"]["first"]["best_epochs"] == [2, 4, 1] and rows[1]["cells"]["first"] is None


def test_a_sweep_says_on_request_what_valid_says(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    table = table_of(TABLE.replace("  second: {data.seed: 12}\n", "").partition("paper:")[0])
    for alpha, cell in enumerate(table.cells.values()):
        put_trained(project, cell.digest, {1: (0.125 * alpha, 2), 2: (0.5, 4), 3: (0.25, 1)})
    parser = argparse.ArgumentParser()
    sweep.add_parser(parser.add_subparsers())
    for options, shown in (([], ["25.0%"] * 3), (["--valid"], ["25.0%", "29.2%", "33.3%"])):
        given = parser.parse_args(["sweep", "toy.yaml", *options])
        given.run(given)
        assert re.findall(r"^done     .*, first: (\S+), toy-", capsys.readouterr().out, re.MULTILINE) == shown


def test_an_experiment_without_a_seeds_training_is_told(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    put_trained(project, digest := table_of().cells["", "loud", "first"].digest, {1: (0.25, 2), 3: (0.5, 4)})
    told = f"toy-{digest}: no metrics/train/2.json; `dvc exp remove toy-{digest}`, then sweep"
    with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
        printed(capsys, "--valid")
