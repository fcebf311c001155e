"""The numbers of a table of experiments on valid, to choose settings by while test stays unseen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TypedDict

from tinyllm.experiments.dvc_experiments import Result, read_blobs
from tinyllm.experiments.grid import Cell, Table
from tinyllm.experiments.results.kept import Kept
from tinyllm.experiments.table import of_commits, whole_mean


class ValidNumber(TypedDict):
    value: float  # mean over seeds, a share
    best_epochs: list[int]  # of each seed


class ValidRow(TypedDict):
    row: str
    mean: float | None  # None where a cell is missing
    cells: dict[str, ValidNumber | None]  # by column


class ValidPart(TypedDict):
    part: str
    rows: list[ValidRow]


class ValidNumbers(TypedDict):
    """What `tinyllm table --valid --json` prints."""

    title: str
    columns: list[str]
    parts: list[ValidPart]
    made_by: str
    notes: list[str]


def tabulate_valid(table: Table, results: Mapping[str, Result], notes: Sequence[str] = ()) -> ValidNumbers:
    """Return a table's numbers on valid, from its experiments by the cells' digests.

    Raises:
        ValueError: an experiment lacks the metrics of one of its seeds.
    """
    places = [place for place, cell in table.cells.items() if cell.digest in results]
    pairs = [(table.cells[place], results[table.cells[place].digest]) for place in places]
    placed = dict(zip(places, _on_valid(pairs), strict=True))
    return {
        "title": table.title,
        "columns": list(table.columns),
        "parts": [
            {"part": part, "rows": [_valid_row(table, part, row, placed) for row in table.rows]} for part in table.parts
        ],
        "made_by": f"tinyllm table {table.path} --valid",
        "notes": [*notes, *of_commits(results)],
    }


def valid_accuracy(cell: Cell, result: Result) -> float:
    """Return one cell's mean accuracy on valid over its seeds, a share.

    Raises:
        ValueError: the experiment lacks the metrics of one of its seeds.
    """
    return _on_valid([(cell, result)])[0]["value"]


def _on_valid(pairs: Sequence[tuple[Cell, Result]]) -> list[ValidNumber]:
    """Each experiment's accuracy at its students' best looks, from the metrics of their training."""
    wanted = [(result, seed) for cell, result in pairs if not result.kept for seed in cell.params.train.seeds]
    texts = read_blobs([f"{result.commit}:./metrics/train/{seed}.json" for result, seed in wanted])
    for (result, seed), text in zip(wanted, texts, strict=True):
        if text is None:
            raise ValueError(f"{result.name}: no metrics/train/{seed}.json; `dvc exp remove {result.name}`, then sweep")
    trained = iter(json.loads(text) for text in texts if text is not None)
    numbers: list[ValidNumber] = []
    for cell, result in pairs:
        if result.kept:
            accuracies, epochs = _kept_valid(cell, result.name, result.kept)
        else:
            seeds = [next(trained) for _ in cell.params.train.seeds]
            accuracies, epochs = ([metrics[key] for metrics in seeds] for key in ("valid_accuracy", "best_epoch"))
        numbers.append({"value": sum(accuracies) / len(accuracies), "best_epochs": epochs})
    return numbers


def _kept_valid(cell: Cell, name: str, kept: Kept) -> tuple[list[float], list[int]]:
    """Each seed's accuracy and best epoch, from the file of a result."""
    missing = [seed for seed in cell.params.train.seeds if str(seed) not in kept.valid]
    if missing:
        raise ValueError(f"{name}: has no accuracy on valid of seed {missing[0]}; delete its file, then sweep")
    looks = [kept.valid[str(seed)] for seed in cell.params.train.seeds]
    return [look.accuracy for look in looks], [look.best_epoch for look in looks]


def _valid_row(table: Table, part: str, row: str, placed: Mapping[tuple[str, str, str], ValidNumber]) -> ValidRow:
    cells = {column: placed.get((part, row, column)) for column in table.columns}
    mean = whole_mean([cell["value"] if cell else None for cell in cells.values()])
    return {"row": row, "mean": mean, "cells": cells}
