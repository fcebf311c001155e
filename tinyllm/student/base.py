"""The hub model that a student starts from: its commit, settled before the training and kept in the student's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinyllm.models.checkpoint import errors_start
from tinyllm.models.source import hub_commit, student_source
from tinyllm.params.schema import Params, Student
from tinyllm.records.jsonl import read_json, write_json

BASE = "base.json"  # in the student's folder


@dataclass(frozen=True)
class Base:
    """A hub model at one commit."""

    model: str
    commit: str  # 40 digits


def pinned(params: Params) -> Params:
    """Return the params with the commit of a hub student's model in place of its revision; other params as they are.

    All that a training loads, and an adapter that names its model, so is of one commit, whatever is pushed meanwhile.

    Raises:
        ValueError: neither the hub nor the download cache has the model at that revision; one line.
    """
    student = params.student
    if student.origin != "hub":
        return params
    source = student_source(student)
    with errors_start(source):
        commit = hub_commit(source)
    return params.model_copy(update={"student": student.model_copy(update={"revision": commit})})


def write_base(folder: Path, student: Student) -> dict[str, str | None]:
    """Write into a student's folder which commit of a hub model it started from; nothing for other students.

    Args:
        student: of params that are `pinned`

    Returns:
        What metrics/train/SEED.json says of it, since git has that file and not the folder; empty for other students.
    """
    if student.origin != "hub":
        return {}
    write_json(folder / BASE, {"model": student.model, "commit": student.revision})
    return {"base_commit": student.revision}


def read_base(folder: Path) -> Base | None:
    """Return the hub model that a student started from; None where it has none, or was trained before it was recorded.

    Raises:
        ValueError: the file holds something else.
    """
    path = folder / BASE
    if not path.is_file():
        return None
    row = read_json(path)
    model, commit = row.get("model"), row.get("commit")
    if not isinstance(model, str) or not isinstance(commit, str):
        raise ValueError(f"{path}: has no text for model and commit; delete the folder and run dvc repro train")
    return Base(model, commit)
