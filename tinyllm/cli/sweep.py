"""`tinyllm sweep FILE`: which experiments of a table have a result, and with `--run` run those that have none."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from tinyllm.cli.parsers import Commands
from tinyllm.evaluation.wording import percent
from tinyllm.experiments.dvc_experiments import Result, find_results, git
from tinyllm.experiments.grid import Cell, Table, read_table
from tinyllm.experiments.sweep import check_commit, default_jobs, distinct
from tinyllm.experiments.table import valid_accuracy
from tinyllm.experiments.workers import Ended, log_of, run_all

Accuracy = Callable[[Cell, Result], float]  # what of a result is printed, a share


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "sweep",
        help="say which experiments of a table have no result yet, or run them",
        description="Say of every cell of a table whether it has a result; with --run, run those that have none. An "
        "experiment is known by its overrides: tables that share one share its result.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.yaml", help="a table of experiments/")
    parser.add_argument(
        "--run", dest="run_now", action="store_true", help="run them now; interrupted, the next call goes on"
    )
    parser.add_argument(
        "--jobs", type=_count, metavar="N", help="so many at once (default: one a GPU, or as many as the cores bear)"
    )
    parser.add_argument("--valid", action="store_true", help="print accuracy on valid; test stays unseen")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print every cell's state, and run what is missing where the command line asks for it.

    Raises:
        ValueError: the table is faulty, the commit cannot be run from, or an experiment failed.
    """
    table = read_table(arguments.file)
    cells = distinct(table)
    results = find_results(cells)
    missing = [cell for cell in cells if cell.digest not in results]
    if missing and arguments.run_now:
        check_commit(missing)
    accuracy = valid_accuracy if arguments.valid else _on_test
    _print_states(table, results, accuracy)
    if arguments.run_now:
        _run(missing, arguments.jobs or default_jobs(missing), accuracy)
    elif missing:
        print(
            f"{len(missing)} of {len(cells)} experiments have no result; `tinyllm sweep {arguments.file} --run` runs them"
        )


def _on_test(_: Cell, result: Result) -> float:
    return result.accuracy


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 up")
    return int(text)


def _print_states(table: Table, results: dict[str, Result], accuracy: Accuracy) -> None:
    for cell in table.cells.values():
        if result := results.get(cell.digest):
            commit = "" if result.current else f", of {result.baseline[:7]} and not of HEAD"
            print(f"done     {cell.title}: {percent(accuracy(cell, result))}%, {result.name}{commit}")
        else:
            print(f"missing  {cell.title}")


def _run(cells: Sequence[Cell], jobs: int, accuracy: Accuracy) -> None:
    """Run the cells, a line each as it starts and ends.

    Raises:
        ValueError: some failed.
    """
    failed = 0
    commit = git("rev-parse", "HEAD").strip()
    with closing(run_all(cells, commit, jobs)) as events:
        for event in events:
            if isinstance(event, Cell):
                print(f"started  {event.title}", flush=True)
                continue
            print(_ending(event, accuracy), flush=True)
            failed += event.fault is not None
    if failed:
        raise ValueError(f"{failed} of {len(cells)} experiments failed; the next call runs these again")


def _ending(ended: Ended, accuracy: Accuracy) -> str:
    cell, minutes = ended.cell, f"{int(ended.seconds // 60)}:{int(ended.seconds % 60):02}"
    if ended.fault is not None:
        return f"failed   {cell.title} after {minutes}: {ended.fault} (all of it in {log_of(cell)})"
    reached = accuracy(cell, find_results([cell])[cell.digest])
    return f"done     {cell.title}: {percent(reached)}% in {minutes}"
