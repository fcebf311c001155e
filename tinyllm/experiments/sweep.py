"""`tinyllm sweep FILE`: queue the experiments of a table that have no result yet, or with `--run` run them."""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tinyllm.experiments.dvc_experiments import DVC, Result, command, find_results, git, waiting
from tinyllm.experiments.grid import Cell, Table, read_table
from tinyllm.experiments.on_valid import valid_accuracy
from tinyllm.experiments.workers import Ended, log_of, run_all
from tinyllm.params.schema import Params

Accuracy = Callable[[Cell, Result], float]  # what of a result is printed, a share


def add_parser(commands: Any) -> None:
    """Add `sweep` to the console command's subparsers."""
    parser = commands.add_parser(
        "sweep",
        help="queue or run the experiments of a table that have no result yet",
        description="Say of every cell of a table whether it has a result, and put those that have none into DVC's queue, or "
        "run them. An experiment is known by its overrides: tables that share one share its result.",
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


def run(given: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    table = read_table(given.file)
    cells = list({cell.digest: cell for cell in [*table.cells.values()][::-1]}.values())[::-1]
    found = find_results(cells)
    missing = [cell for cell in cells if cell.digest not in found]
    if missing:
        _check_commit(missing)
    queued, active = _in_queue(missing)
    accuracy = valid_accuracy if given.valid else _on_test
    _print_states(table, found, queued, active, accuracy)
    missing = [cell for cell in missing if cell.digest not in active]
    if given.run_now:
        _take_out([queued[cell.digest] for cell in missing if cell.digest in queued])
        _run(missing, given.jobs or default_jobs(missing), accuracy)
    else:
        _queue([cell for cell in missing if cell.digest not in queued])


def default_jobs(cells: Sequence[Cell]) -> int:
    """How many experiments run at once: one where they may train on a GPU, else as many as the cores bear."""
    if not cells or (any(cell.params.runtime.device != "cpu" for cell in cells) and _has_gpu()):
        return 1
    return max(1, (os.cpu_count() or 1) // max(cell.params.train.threads for cell in cells))


def _on_test(_: Cell, result: Result) -> float:
    return result.accuracy


def _has_gpu() -> bool:
    import torch  # slow to import

    return torch.cuda.is_available()


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 up")
    return int(text)


def _check_commit(cells: Sequence[Cell]) -> None:
    """Refuse to start from anything but a commit, which is all that an experiment's folder holds.

    Raises:
        ValueError: tracked files are changed, the history is cut, or a cell needs a file that no commit has.
    """
    changed = [line[3:] for line in git("status", "--porcelain", "--untracked-files=no").splitlines()]
    if changed:
        raise ValueError(
            f"{', '.join(changed[:3])}: changed and not committed; experiments are of a commit: commit or undo it"
        )
    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        raise ValueError("a shallow clone cannot keep experiments; run `git fetch --unshallow`")
    for cell in cells:
        for key, name in _files(cell.params).items():
            if not Path(name).expanduser().is_absolute() and not git("ls-files", "--", name, f"{name}.dvc"):
                raise ValueError(
                    f"{cell.title}: {key} is {name}, which git does not track, so that an experiment's folder lacks it; "
                    "give the absolute path, or `dvc add` and commit it"
                )


def _files(params: Params) -> dict[str, str]:
    """What a run reads that is neither the project's own nor downloaded, by key of params.yaml."""
    files = {}
    if params.data.dataset == "jsonl":
        files["data.folder"] = params.data.folder
    if params.data.dataset == "hub" and Path(params.data.hub.path).is_dir():
        files["data.hub.path"] = params.data.hub.path
    if params.student.origin == "local":
        files["student.model"] = params.student.model or ""
    for name in params.corpus.teachers:
        teacher = params.teachers[name]
        if teacher.backend == "local" and Path(teacher.model).is_dir():
            files[f"teachers.{name}.model"] = teacher.model
    return files


def _in_queue(cells: Sequence[Cell]) -> tuple[dict[str, str], dict[str, str]]:
    """By digest the names under which DVC's queue has a cell, of those that wait and those that it runs."""
    if not cells or not Path(".dvc/tmp/exps/celery").is_dir():
        return {}, {}
    digests = {cell.digest for cell in cells}
    held = [{name[-8:]: name for name in names if name[-8:] in digests} for names in waiting()]
    return held[0], held[1]


def _print_states(
    table: Table, found: dict[str, Result], queued: dict[str, str], active: dict[str, str], accuracy: Accuracy
) -> None:
    for cell in table.cells.values():
        if result := found.get(cell.digest):
            commit = "" if result.current else f", of {result.baseline[:7]} and not of HEAD"
            print(f"done     {cell.title}: {100 * accuracy(cell, result):.1f}%, {result.name}{commit}")
        else:
            state = "running" if cell.digest in active else "queued" if cell.digest in queued else "missing"
            print(f"{state:8} {cell.title}")


def _take_out(names: Sequence[str]) -> None:
    """Take experiments out of DVC's queue, which would run them once more."""
    for name in names:
        subprocess.run([*DVC, "queue", "remove", name], check=True, stdout=subprocess.DEVNULL)


def _queue(cells: Sequence[Cell]) -> None:
    for cell in cells:
        # in a session of its own: DVC changes params.yaml for a moment, and Ctrl-C must not leave it so
        process = subprocess.Popen(
            command(cell, "--queue"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said = process.communicate()[0]
        finally:
            process.wait()
        if process.returncode:
            raise ValueError(f"{cell.title}: {said.strip().splitlines()[-1]}")
        print(f"queued   {cell.title}: {cell.name}", flush=True)
    if cells:
        print(f"{len(cells)} queued; `dvc queue start` runs them, or `tinyllm sweep FILE --run`")


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
    return f"done     {cell.title}: {100 * reached:.1f}% in {minutes}"
