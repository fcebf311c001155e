"""`tinyllm table FILE`: a table of experiments in Markdown, every number with its interval and beside the paper's."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinyllm.evaluation.intervals import accuracy_interval
from tinyllm.evaluation.paired_tests import holm, mean_difference, sampled_difference
from tinyllm.experiments.compare import check_questions
from tinyllm.experiments.dvc_experiments import Result, find_results, read_blobs
from tinyllm.experiments.grid import Table, markdown_row, read_table
from tinyllm.experiments.locked import read_locked
from tinyllm.experiments.on_valid import valid_accuracies, valid_markdown
from tinyllm.experiments.runs import Run


def add_parser(commands: Any) -> None:
    """Add `table` to the console command's subparsers."""
    parser = commands.add_parser(
        "table",
        help="print a table of experiments",
        description="Print a table in Markdown from the experiments that have a result; a cell that has none stays empty.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.yaml", help="a table of experiments/")
    parser.add_argument(
        "--valid", action="store_true", help="accuracy on valid, to choose settings by; test stays unseen"
    )
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> None:
    """Print the table that the command line asks for."""
    table = read_table(given.file)
    results = find_results(table.cells.values())
    if given.valid:
        made = valid_accuracies(table, results) | {"made_by": f"tinyllm table {given.file} --valid"}
    else:
        locks = read_blobs([f"{result.commit}:dvc.lock" for result in results.values()])
        by_name = read_locked({one.name: lock or "" for one, lock in zip(results.values(), locks, strict=True)})
        runs = {digest: by_name[result.name] for digest, result in results.items()}
        made = tabulate(table, runs) | {"made_by": f"tinyllm table {given.file}", "commits": _commits(results)}
    markdown = valid_markdown if given.valid else as_markdown
    print(json.dumps(made, ensure_ascii=False, indent=2) if given.json else markdown(made))


def tabulate(table: Table, runs: Mapping[str, Run]) -> dict[str, Any]:
    """Return what `--json` prints, in shares and not in percent, from the runs by their cells' digests.

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
        "seeds": sorted({seed for one in placed.values() for seed in one.seeds}),
        "questions": {
            column: sorted({len(one.questions) for (_, _, c), one in placed.items() if c == column})
            for column in table.columns
        },
    }


def _rows(table: Table, part: str, placed: Mapping[tuple[str, str, str], Run]) -> list[dict[str, Any]]:
    control = [placed.get((part, table.control, column)) for column in table.columns]
    rows: list[dict[str, Any]] = []
    for row in table.rows:
        found = [placed.get((part, row, column)) for column in table.columns]
        paper = [table.paper.get((part, row, column)) for column in table.columns]
        cells = [_cell(one, number) for one, number in zip(found, paper, strict=True)]
        pairs = [] if row == table.control else [(a, b) for a, b in zip(control, found, strict=True) if a and b]
        rows.append(
            {
                "row": row,
                "mean": _mean([one for one in found if one], table) | {"paper": _whole_mean(paper)},
                "cells": dict(zip(table.columns, cells, strict=True)),
                "difference": _difference(pairs, table),
            }
        )
    compared = [row["difference"] for row in rows if row["difference"]]
    for told, corrected in zip(compared, holm([told["p"] for told in compared]), strict=True):
        told["p_holm"] = corrected
    return rows


def _whole_mean(numbers: Sequence[float | None]) -> float | None:
    """The mean of all, where none is missing."""
    there = [number for number in numbers if number is not None]
    return sum(there) / len(there) if len(there) == len(numbers) else None


def _cell(found: Run | None, paper: float | None) -> dict[str, Any]:
    if found is None:
        return {"value": None, "low": None, "high": None, "paper": paper}
    low, high = accuracy_interval(found.right)
    return {"value": float(found.right.mean()), "low": low, "high": high, "paper": paper}


def _mean(found: Sequence[Run], table: Table) -> dict[str, Any]:
    if len(found) < len(table.columns):
        return {"value": None, "low": None, "high": None}
    if len(found) == 1:
        return {key: value for key, value in _cell(found[0], None).items() if key != "paper"}
    if table.sampled:
        mean = sampled_difference([float(one.right.mean()) for one in found])
    else:  # an accuracy is what a run has over one that is always wrong
        mean = mean_difference([(np.zeros_like(one.right), one.right, True) for one in found])
    return {"value": mean.mean, "low": max(0.0, mean.low), "high": min(1.0, mean.high)}


def _difference(pairs: Sequence[tuple[Run, Run]], table: Table) -> dict[str, Any] | None:
    if len(pairs) < len(table.columns):
        return None
    for control, other in pairs:
        check_questions(control, other)
    if table.sampled:
        found = sampled_difference([float(other.right.mean() - control.right.mean()) for control, other in pairs])
    else:
        columns = [(control.right, other.right, control.seeds == other.seeds) for control, other in pairs]
        found = mean_difference(columns)
    return {"value": found.mean, "low": found.low, "high": found.high, "p": found.p}


def _commits(results: Mapping[str, Result]) -> list[dict[str, Any]]:
    """The commits that the experiments are of, HEAD first."""
    commits = {result.baseline: result.current for result in results.values()}
    return [
        {"commit": commit, "head": commits[commit]} for commit in sorted(commits, key=lambda c: (not commits[c], c))
    ]


def as_markdown(made: Mapping[str, Any]) -> str:
    """Return what is printed without `--json`."""
    blocks = [f"**{made['title']}**"]
    for part in made["parts"]:
        if part["part"]:
            blocks.append(f"*{part['part']}*")
        blocks.append("\n".join(_part(part["rows"], made)))
    return "\n\n".join([*blocks, _legend(made)])


def _part(rows: Sequence[Mapping[str, Any]], made: Mapping[str, Any]) -> Iterable[str]:
    several = len(made["columns"]) > 1
    heads = ["", *(["mean"] if several else []), *made["columns"], f"over {made['control']}", "p (Holm)"]
    yield markdown_row(heads)
    yield "|---" * len(heads) + "|"
    for row in rows:
        found = row["difference"]
        numbers = [*([row["mean"]] if several else []), *row["cells"].values()]
        gain = _interval(found, "+") if found else ""
        yield markdown_row([row["row"], *map(_number, numbers), gain, _p(found["p_holm"]) if found else ""])


def _number(cell: Mapping[str, Any]) -> str:
    ours = "" if cell["value"] is None else _interval(cell, "")
    paper = "" if cell["paper"] is None else f"[{cell['paper']:.2f}]"
    return " ".join(filter(None, (ours, paper)))


def _interval(found: Mapping[str, Any], sign: str) -> str:
    value, low, high = (f"{100 * found[key]:{sign}.1f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def _p(p: float) -> str:
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def _legend(made: Mapping[str, Any]) -> str:
    over = (
        "over columns like these" if made["columns_are"] == "sample" else "on these columns, over questions and seeds"
    )
    counts = {column: "/".join(map(str, numbers)) for column, numbers in made["questions"].items() if numbers}
    same = len(set(counts.values())) == 1
    asked = next(iter(counts.values())) if same else ", ".join(f"{column} {count}" for column, count in counts.items())
    commits = ", ".join(one["commit"][:7] + ("" if one["head"] else " (not HEAD)") for one in made["commits"])
    lines = [
        "Accuracy in percent on test with its 95% interval over questions and seeds; means and differences: "
        + f"{over}{'; in brackets the paper' if made['paper'] else ''}.",
        f"`{made['made_by']}`; seeds {', '.join(map(str, made['seeds']))}; questions {asked}; experiments of {commits}."
        if commits
        else f"`{made['made_by']}`; no cell has a result yet.",
    ]
    return "\n".join(lines)
