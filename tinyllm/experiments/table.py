"""The numbers of a table of experiments on test, every one with its interval and beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from tinyllm.evaluation.intervals import accuracy_interval
from tinyllm.evaluation.paired_tests import holm, mean_difference, sampled_difference
from tinyllm.experiments.compare import check_questions
from tinyllm.experiments.dvc_experiments import Result, same_code
from tinyllm.experiments.grid import Table
from tinyllm.experiments.runs import Run, Scored

Answered = Run | Scored  # what a table needs of a run: which questions each seed has right


class Number(TypedDict):
    """An accuracy, a share, with its 95% interval; None where a run is missing."""

    value: float | None
    low: float | None
    high: float | None
    paper: float | None  # the paper's, in percent


class Gain(TypedDict):
    """A row's mean less the control's, in shares."""

    value: float
    low: float
    high: float
    p: float
    p_holm: float


class Row(TypedDict):
    row: str
    mean: Number
    cells: dict[str, Number]  # by column
    difference: Gain | None  # None of the control, and where a run is missing


class Part(TypedDict):
    part: str
    rows: list[Row]


class Source(TypedDict):
    """The commit that experiments are of, and whether it is HEAD."""

    commit: str
    head: bool


class Numbers(TypedDict):
    """What `tinyllm table --json` prints."""

    title: str
    columns: list[str]
    columns_are: str
    control: str
    parts: list[Part]
    paper: bool
    seeds: list[int]
    questions: dict[str, list[int]]  # by column, all that runs have
    made_by: str
    commits: list[Source]
    notes: list[str]


def tabulate(
    table: Table, runs: Mapping[str, Answered], results: Mapping[str, Result], notes: Sequence[str] = ()
) -> Numbers:
    """Return a table's numbers on test, from the runs and their results by the cells' digests.

    A row's mean and its difference to the control need every column. Columns that are a sample give both an interval from
    how they scatter; columns that are fixed add their own variances, of questions and seeds.

    Raises:
        ValueError: a row and the control have other test questions in one column.
    """
    placed = {place: runs[cell.digest] for place, cell in table.cells.items() if cell.digest in runs}
    return {
        "title": table.title,
        "columns": list(table.columns),
        "columns_are": "sample" if table.sampled else "fixed",
        "control": table.control,
        "parts": [{"part": part, "rows": _rows(table, part, placed)} for part in table.parts],
        "paper": bool(table.paper),
        "seeds": sorted({seed for run in placed.values() for seed in run.seeds}),
        "questions": {
            column: sorted({run.right.shape[1] for (_, _, other), run in placed.items() if other == column})
            for column in table.columns
        },
        "made_by": f"tinyllm table {table.path}",
        "commits": _sources(results),
        "notes": [*notes, *of_commits(results)],
    }


def _rows(table: Table, part: str, placed: Mapping[tuple[str, str, str], Answered]) -> list[Row]:
    control = [placed.get((part, table.control, column)) for column in table.columns]
    rows: list[Row] = []
    for row in table.rows:
        runs = [placed.get((part, row, column)) for column in table.columns]
        paper = [table.paper.get((part, row, column)) for column in table.columns]
        cells = [_cell(run, number) for run, number in zip(runs, paper, strict=True)]
        pairs = [] if row == table.control else [(a, b) for a, b in zip(control, runs, strict=True) if a and b]
        rows.append(
            {
                "row": row,
                "mean": _mean([run for run in runs if run], table, whole_mean(paper)),
                "cells": dict(zip(table.columns, cells, strict=True)),
                "difference": _gain(pairs, table),
            }
        )
    gains = [row["difference"] for row in rows if row["difference"]]
    for gain, corrected in zip(gains, holm([gain["p"] for gain in gains]), strict=True):
        gain["p_holm"] = corrected
    return rows


def whole_mean(numbers: Sequence[float | None]) -> float | None:
    """Return the mean of all, where none is missing."""
    there = [number for number in numbers if number is not None]
    return sum(there) / len(there) if len(there) == len(numbers) else None


def _cell(run: Answered | None, paper: float | None) -> Number:
    if run is None:
        return {"value": None, "low": None, "high": None, "paper": paper}
    low, high = accuracy_interval(run.right)
    return {"value": float(run.right.mean()), "low": low, "high": high, "paper": paper}


def _mean(runs: Sequence[Answered], table: Table, paper: float | None) -> Number:
    if len(runs) < len(table.columns):
        return _cell(None, paper)
    if len(runs) == 1:
        return _cell(runs[0], paper)
    if table.sampled:
        mean = sampled_difference([float(run.right.mean()) for run in runs])
    else:  # an accuracy is what a run has over one that is always wrong
        mean = mean_difference([(np.zeros_like(run.right), run.right, True) for run in runs])
    return {"value": mean.mean, "low": max(0.0, mean.low), "high": min(1.0, mean.high), "paper": paper}


def _gain(pairs: Sequence[tuple[Answered, Answered]], table: Table) -> Gain | None:
    if len(pairs) < len(table.columns):
        return None
    for control, other in pairs:
        _check_asked(control, other)
    if table.sampled:
        gain = sampled_difference([float(other.right.mean() - control.right.mean()) for control, other in pairs])
    else:
        columns = [(control.right, other.right, control.seeds == other.seeds) for control, other in pairs]
        gain = mean_difference(columns)
    return {"value": gain.mean, "low": gain.low, "high": gain.high, "p": gain.p, "p_holm": gain.p}


def _check_asked(control: Answered, other: Answered) -> None:
    """Refuse two whose test questions differ; where a file is all there is, that is all that can be said.

    Raises:
        ValueError: they do.
    """
    if isinstance(control, Run) and isinstance(other, Run):
        check_questions(control, other)
    elif control.asked != other.asked:
        counts = f"{control.right.shape[1]} and {other.right.shape[1]}, their digests {control.asked} and {other.asked}"
        raise ValueError(
            f"{control.name} and {other.name} answer different questions: {counts}; only runs on the same test questions "
            "can be compared"
        )


def of_commits(results: Mapping[str, Result]) -> list[str]:
    """Return what there is to say of results that are of several commits."""
    commits = sorted({result.baseline for result in results.values()})
    if len(commits) < 2:
        return []
    code = "their code is the same" if same_code(commits) else "their code differs, or is not known here"
    return [f"The results come from {len(commits)} commits; {code}."]


def _sources(results: Mapping[str, Result]) -> list[Source]:
    """The commits that the experiments are of, HEAD first."""
    commits = {result.baseline: result.current for result in results.values()}
    ordered = sorted(commits, key=lambda commit: (not commits[commit], commit))
    return [{"commit": commit, "head": commits[commit]} for commit in ordered]
