"""`tinyllm sweep FILE`: which experiments of a table have a result, and with `--run` run those that have none."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from difflib import get_close_matches
from pathlib import Path

from tinyllm.cli.parsers import Commands
from tinyllm.evaluation.wording import percent
from tinyllm.experiments.dvc_experiments import Result, git
from tinyllm.experiments.grid import Cell, Table, read_table
from tinyllm.experiments.on_valid import valid_accuracy
from tinyllm.experiments.results.found import find_all, keep
from tinyllm.experiments.results.kept import folder_of
from tinyllm.experiments.running.gpus import gpu_names
from tinyllm.experiments.running.workers import Clones, Ended, Starter, log_of, run_all
from tinyllm.experiments.sweep import check_commit, default_jobs, distinct, may_use_gpu
from tinyllm.experiments.tune.leftovers import forget_training

Accuracy = Callable[[Cell, Result], float]  # what of a result is printed, a share


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "sweep",
        help="say which experiments of a table have no result yet, or run them",
        description="Say of every cell of a table whether it has a result; with --run, run those that have none. An "
        "experiment is known by its overrides: tables that share one share its result. Results are also kept in "
        "experiments/results: commit them, and another machine goes on.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.yaml", help="a table of experiments/")
    parser.add_argument(
        "--run", dest="run_now", action="store_true", help="run them now; interrupted, the next call goes on"
    )
    parser.add_argument(
        "--again",
        action="append",
        default=[],
        metavar="CELL",
        help="with --run: also run this cell, although it has a result; `ROW, COLUMN` as this command prints it",
    )
    add_workers(parser)
    parser.add_argument("--valid", action="store_true", help="print accuracy on valid; test stays unseen")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print every cell's state, and run what is missing where the command line asks for it.

    Raises:
        ValueError: the table or a result's file is faulty, the commit cannot be run from, or an experiment failed.
    """
    table = read_table(arguments.file)
    cells = distinct(table)
    again = _again(cells, arguments.again)
    if again and not arguments.run_now:
        raise ValueError(f"--again {arguments.again[0]}: runs nothing without --run; add it")
    results, notes = find_all(cells, arguments.file)
    missing = [cell for cell in cells if cell.digest not in results or cell.digest in again]
    if missing and arguments.run_now:
        check_commit(missing)
    accuracy = valid_accuracy if arguments.valid else on_test
    print_states(table, {digest: result for digest, result in results.items() if digest not in again}, accuracy)
    for note in notes.values():
        print(f"note     {note}")
    if arguments.run_now:
        keep_old(cells, {d: r for d, r in results.items() if d not in notes and d not in again}, table.path)
        run_cells(missing, arguments, accuracy, table.path, again)
        if missing:
            print(f"the results are in {folder_of(table.path)}; commit them, and another machine goes on from there")
    elif missing:
        print(
            f"{len(missing)} of {len(cells)} experiments have no result; `tinyllm sweep {arguments.file} --run` runs them"
        )


def on_test(_: Cell, result: Result) -> float:
    return result.accuracy


def _again(cells: Sequence[Cell], named: Sequence[str]) -> set[str]:
    """The digests of the cells that are named by their titles or experiments.

    Raises:
        ValueError: no cell is.
    """
    known = {name: cell.digest for cell in cells for name in (cell.name, cell.title)}
    for name in named:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ValueError(f"--again {name}: is no cell of the table; did you mean {near}?")
    return {known[name] for name in named}


def count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 up")
    return int(text)


def print_states(table: Table, results: Mapping[str, Result], accuracy: Accuracy) -> None:
    for cell in table.cells.values():
        if result := results.get(cell.digest):
            commit = "" if result.current else f", of {result.baseline[:7]} and not of HEAD"
            print(f"done     {cell.title}: {percent(accuracy(cell, result))}%, {result.name}{commit}")
        else:
            print(f"missing  {cell.title}")


def keep_old(cells: Iterable[Cell], results: Mapping[str, Result], table: Path) -> None:
    """Write the files of experiments that have none, such as those of a version before this one, or of a killed run."""
    for cell in cells:
        result = results.get(cell.digest)
        if result and result.commit and not result.kept and (fault := _keep(cell, result, table, 0.0)):
            print(f"note     {cell.title}: {fault}")


def _keep(cell: Cell, result: Result, table: Path, seconds: float) -> str:
    """Write the result's file; why that cannot be done, or "": the experiment counts all the same, on this machine.

    Args:
        seconds: that it ran; 0 is not known
    """
    try:
        keep(cell, result, table, seconds or None)
    except ValueError as error:
        return f"its result was not written: {error}"
    if cell.target == "train":
        forget_training(cell, result, time.time() - seconds)
    return ""


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add the options of `run_cells`."""
    parser.add_argument(
        "--jobs",
        type=count,
        metavar="N",
        help="so many trainings at once (default: one a GPU, or as many as the cores bear)",
    )
    parser.add_argument(
        "--gpus", metavar="LIST", help="GPUs to deal out, one an experiment, such as 0,2 (default: all)"
    )
    parser.add_argument(
        "--cluster", metavar="ADDRESS", help="run on a Ray cluster, such as auto or HOST:6379 (needs the extra cluster)"
    )


def run_cells(
    cells: Sequence[Cell],
    arguments: argparse.Namespace,
    accuracy: Accuracy,
    table: Path,
    again: Collection[str] = (),
) -> None:
    """Run the cells, a line each as it starts and ends; write the result of each.

    Args:
        arguments: what `add_workers` has read
        table: the file that they are of
        again: the digests of cells that run although they have a result

    Raises:
        ValueError: some failed.
    """
    failed = 0
    commit = git("rev-parse", "HEAD").strip()
    starter: Starter = Clones(commit)
    if arguments.cluster:
        from tinyllm.experiments.running.remote import Cluster

        threads = max((cell.params.train.threads for cell in cells), default=1)
        starter = cluster = Cluster(arguments.cluster, commit, threads, may_use_gpu(cells))
        gpus, jobs = [], arguments.jobs or cluster.jobs
    else:
        gpus = gpu_names(arguments.gpus)
        jobs = arguments.jobs or default_jobs(cells, gpus)
    with closing(run_all(cells, starter, jobs, again, gpus)) as events:
        for event in events:
            if isinstance(event, Cell):
                print(f"started  {event.title}", flush=True)
                continue
            print(_ending(event, accuracy, table), flush=True)
            failed += event.fault is not None
    if failed:
        raise ValueError(f"{failed} of {len(cells)} experiments failed; the next call runs these again")


def _ending(ended: Ended, accuracy: Accuracy, table: Path) -> str:
    """Write the result of a cell that has ended, and return the line that says how it ended."""
    cell, minutes = ended.cell, f"{int(ended.seconds // 60)}:{int(ended.seconds % 60):02}"
    if ended.fault is not None:
        return f"failed   {cell.title} after {minutes}: {ended.fault} (all of it in {log_of(cell)})"
    result = find_all([cell], table)[0][cell.digest]
    reached = percent(accuracy(cell, result))
    fault = _keep(cell, result, table, ended.seconds) if result.commit else ""  # else another run has written it
    return f"done     {cell.title}: {reached}% in {minutes}" + (f"; {fault}" if fault else "")
