"""`--valid` of `tinyllm table` and `sweep`: what students reach on valid, to choose settings by while test stays unseen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tinyllm.experiments.dvc_experiments import Result, read_blobs
from tinyllm.experiments.grid import Cell, Table, markdown_row


def valid_accuracies(table: Table, results: Mapping[str, Result]) -> dict[str, Any]:
    """Return each cell's mean accuracy on valid over its seeds, a share, and each seed's best epoch; a missing cell is None.

    Raises:
        ValueError: an experiment lacks the metrics of one of its seeds.
    """
    places = [place for place, cell in table.cells.items() if cell.digest in results]
    pairs = [(table.cells[place], results[table.cells[place].digest]) for place in places]
    trained = dict(zip(places, _metrics(pairs), strict=True))
    return {
        "title": table.title,
        "columns": list(table.columns),
        "parts": [
            {"part": part, "rows": [{"row": row, **_row(table, part, row, trained)} for row in table.rows]}
            for part in table.parts
        ],
    }


def valid_accuracy(cell: Cell, result: Result) -> float:
    """Return one cell's mean accuracy on valid over its seeds, a share.

    Raises:
        ValueError: the experiment lacks the metrics of one of its seeds.
    """
    return _cell(_metrics([(cell, result)])[0])["value"]


def _metrics(pairs: Sequence[tuple[Cell, Result]]) -> list[list[dict[str, Any]]]:
    """Each experiment's training metrics, of every seed."""
    wanted = [(result, seed) for cell, result in pairs for seed in cell.params.train.seeds]
    texts = read_blobs([f"{result.commit}:metrics/train/{seed}.json" for result, seed in wanted])
    for (result, seed), text in zip(wanted, texts, strict=True):
        if text is None:
            raise ValueError(f"{result.name}: no metrics/train/{seed}.json; `dvc exp remove {result.name}`, then sweep")
    found = iter(json.loads(text) for text in texts if text is not None)
    return [[next(found) for _ in cell.params.train.seeds] for cell, _ in pairs]


def _row(table: Table, part: str, row: str, trained: Mapping[tuple[str, str, str], list[dict[str, Any]]]) -> dict:
    found = {column: trained.get((part, row, column)) for column in table.columns}
    cells = {column: seeds and _cell(seeds) for column, seeds in found.items()}
    values = [cell["value"] for cell in cells.values() if cell]
    return {"mean": sum(values) / len(values) if len(values) == len(cells) else None, "cells": cells}


def _cell(seeds: list[dict[str, Any]]) -> dict[str, Any]:
    accuracies = [metrics["valid_accuracy"] for metrics in seeds]
    epochs = [metrics["best_epoch"] for metrics in seeds]
    return {"value": sum(accuracies) / len(accuracies), "best_epochs": epochs}


def valid_markdown(made: Mapping[str, Any]) -> str:
    """Return what is printed without `--json`."""
    blocks = [f"**{made['title']}: on valid**"]
    several = len(made["columns"]) > 1
    for part in made["parts"]:
        if part["part"]:
            blocks.append(f"*{part['part']}*")
        heads = ["", *(["mean"] if several else []), *made["columns"]]
        lines = [markdown_row(heads), "|---" * len(heads) + "|"]
        for row in part["rows"]:
            mean = "" if row["mean"] is None else f"{100 * row['mean']:.1f}"
            lines.append(markdown_row([row["row"], *([mean] if several else []), *map(_text, row["cells"].values())]))
        blocks.append("\n".join(lines))
    blocks.append(
        "Accuracy in percent on valid, at each student's best look, mean over seeds; in parentheses each seed's best epoch.\n"
        f"`{made['made_by']}`. Choose settings here, and look at test with those alone."
    )
    return "\n\n".join(blocks)


def _text(cell: Mapping[str, Any] | None) -> str:
    return f"{100 * cell['value']:.1f} ({', '.join(map(str, cell['best_epochs']))})" if cell else ""
