"""The results of a table's cells: DVC's experiments of this clone, and the files that git brought."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinyllm.evaluation.wording import percent
from tinyllm.experiments.dvc_experiments import Result, find_results, git, read_blobs
from tinyllm.experiments.grid import Cell
from tinyllm.experiments.results.kept import (
    Kept,
    files_by_digest,
    path_of,
    portable,
    read_kept,
    used_values,
    write_kept,
)
from tinyllm.experiments.results.kept import digest_of as values_digest
from tinyllm.experiments.runs import Run, Scored, read_commits
from tinyllm.records.jsonl import parse_line


def find_all(cells: Iterable[Cell], table: Path) -> tuple[dict[str, Result], dict[str, str]]:
    """Return by digest the results of the cells that have one, and a note of each that has two which differ.

    A file counts as an experiment does: as long as it was made with the values that the cell uses now. Where a cell has both
    and their metrics differ, the experiment counts, since its predictions are here; a note names both.

    Args:
        table: its file, whose own folder of results comes first

    Raises:
        ValueError: a file is damaged or was edited; one line.
    """
    wanted = {cell.digest: cell for cell in cells}
    results, notes = find_results(wanted.values()), {}
    head, files = git("rev-parse", "HEAD").strip(), files_by_digest(table)
    for digest, cell in wanted.items():
        if digest not in files or not _is_of(kept := read_kept(files[digest]), cell):
            continue
        experiment, path = results.get(digest), files[digest]
        if experiment is None:
            current = kept.commit == head
            results[digest] = Result(str(path), None, kept.commit, current, kept.accuracy, kept.metrics, kept)
        elif _agree(kept, experiment):
            results[digest] = replace(experiment, kept=kept)
        else:
            notes[digest] = (
                f"{cell.title}: {path} says {percent(kept.accuracy)}%, of {kept.commit[:7]}, and the experiment "
                f"{experiment.name} {percent(experiment.accuracy)}%, of {experiment.baseline[:7]}: the experiment counts. "
                "Delete the one that is wrong (`dvc exp remove NAME`), then sweep with --run"
            )
    return results, notes


def keep(cell: Cell, result: Result, table: Path, seconds: float | None = None) -> Path:
    """Write the file of an ended experiment, and return where.

    Args:
        seconds: that it ran, where that is known

    Raises:
        ValueError: its predictions cannot be read; see `read_commits`.
    """
    assert result.commit, f"{result.name} is no experiment"
    run = read_commits({result.name: result.commit})[result.name] if cell.target == "score" else None
    values = used_values(cell)
    path = files_by_digest(table).get(cell.digest)
    own = path_of(cell, table)
    path = path if path is not None and path.parent == own.parent else own  # a row that got another name keeps its file
    write_kept(
        path,
        {
            "experiment": result.name,
            "cell": cell.title,
            "target": cell.target,
            "commit": result.baseline,
            "overrides": portable(cell.overrides),
            "params": {"digest": values_digest(values), "values": values},
            "metrics": {} if run is None else dict(result.metrics),
            "valid": _valid(cell, result.commit),
            "test": None if run is None else _on_test(run),
            "seconds": None if seconds is None else round(seconds, 1),
        },
    )
    return path


def scored(results: Mapping[str, Result]) -> dict[str, Run | Scored]:
    """Return by digest which questions each result has right: from its file where there is one, else from DVC's cache.

    Raises:
        ValueError: an experiment without a file cannot be read.
    """
    by_name = read_commits({r.name: r.commit for r in results.values() if r.commit and not r.kept})
    return {digest: _scored(r.name, r.kept) if r.kept else by_name[r.name] for digest, r in results.items()}


def _scored(name: str, kept: Kept) -> Scored:
    assert kept.test, f"{name}: test was not looked at"
    return Scored(name, kept.seeds, kept.right, kept.test.asked)


def _is_of(kept: Kept, cell: Cell) -> bool:
    """Whether a file is of the values that the cell has now; a key that only one of both knows does not count."""
    now, then = used_values(cell), kept.params.values
    return kept.target == cell.target and all(then[key] == now[key] for key in then.keys() & now.keys())


def _agree(kept: Kept, experiment: Result) -> bool:
    if kept.target == "score":
        return kept.metrics == experiment.metrics
    return {seed: valid.model_dump() for seed, valid in kept.valid.items()} == {
        seed: _look(metrics) for seed, metrics in experiment.metrics.items()
    }


def _on_test(run: Run) -> dict[str, Any]:
    bits = ["".join("1" if right else "0" for right in row) for row in run.right]
    return {
        "questions": len(run.questions),
        "asked": run.asked,
        "right": dict(zip(map(str, run.seeds), bits, strict=True)),
    }


def _valid(cell: Cell, commit: str) -> dict[str, dict[str, Any]]:
    """Each seed's best look at valid, where the experiment has it."""
    seeds: Sequence[int] = cell.params.train.seeds
    texts = read_blobs([f"{commit}:./metrics/train/{seed}.json" for seed in seeds])
    found = zip(seeds, texts, strict=True)
    return {str(seed): _look(parse_line(text, f"metrics/train/{seed}.json")) for seed, text in found if text}


def _look(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {"accuracy": metrics["valid_accuracy"], "best_epoch": metrics["best_epoch"]}
