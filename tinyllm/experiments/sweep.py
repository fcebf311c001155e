"""What a sweep settles before it runs anything: the experiments, whether they can start here, and how many at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tinyllm.experiments.dvc_experiments import git
from tinyllm.experiments.grid import Cell, Table
from tinyllm.experiments.results.kept import FOLDER
from tinyllm.params.schema import Params
from tinyllm.project import home_path


def distinct(table: Table) -> list[Cell]:
    """Return the table's experiments in its order, each once; of cells that are one experiment, the first."""
    first: dict[str, Cell] = {}
    for cell in table.cells.values():
        first.setdefault(cell.digest, cell)
    return list(first.values())


def default_jobs(cells: Sequence[Cell], gpus: Sequence[str]) -> int:
    """How many experiments run at once: one a GPU where they may train on one, else as many as the cores bear."""
    if gpus and may_use_gpu(cells):
        return len(gpus)
    return max(1, (os.cpu_count() or 1) // max((cell.params.train.threads for cell in cells), default=1))


def may_use_gpu(cells: Sequence[Cell]) -> bool:
    """Whether one of the cells trains on a GPU where there is one."""
    return any(cell.params.runtime.device in ("auto", "cuda") for cell in cells)


def check_commit(cells: Sequence[Cell]) -> None:
    """Refuse to start from anything but a commit, which is all that an experiment's folder holds.

    Raises:
        ValueError: tracked files are changed, the history is cut, or a cell needs a file that no commit has.
    """
    status = git("status", "--porcelain", "--untracked-files=no", "--", ":(top)", f":(exclude){FOLDER}")
    changed = [line[3:] for line in status.splitlines()]
    if changed:
        raise ValueError(
            f"{', '.join(changed[:3])}: changed and not committed; experiments are of a commit: commit or undo it"
        )
    if git("rev-parse", "--is-shallow-repository").strip() == "true":
        raise ValueError("a shallow clone cannot keep experiments; run `git fetch --unshallow`")
    for cell in cells:
        for key, name in _files(cell.params).items():
            if not home_path(name, key).is_absolute() and not git("ls-files", "--", name, f"{name}.dvc"):
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
