"""The file of a finished cell: its settings, its commit, and which questions each seed has right. No question is in it.

It is small, so that git can hold one of every cell, and it names no place of the machine that wrote it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, ValidationError
from pydantic_core import PydanticCustomError

from tinyllm.experiments.grid import Cell, Target
from tinyllm.experiments.locked import leaves
from tinyllm.params.load import first_causes, sentence
from tinyllm.params.value_types import Section, Share
from tinyllm.records.jsonl import read_json, write_json

FOLDER = Path("experiments/results")
TABLES = Path("experiments")
REMEDY = "restore it with git, or delete it, and the cell runs anew"


def _check_hex(text: str) -> str:
    if not re.fullmatch("[0-9a-f]+", text):
        raise PydanticCustomError("hex", "hexadecimal digits")
    return text


def _check_bits(text: str) -> str:
    if not re.fullmatch("[01]*", text):
        raise PydanticCustomError("bits", "a 1 or 0 for each question")
    return text


Hex = Annotated[str, AfterValidator(_check_hex)]
Bits = Annotated[str, AfterValidator(_check_bits)]


class OnValid(Section):
    """One student's best look at valid."""

    accuracy: Share
    best_epoch: int


class OnTest(Section):
    """Which questions each seed's student has right; they stand in the order of their ids."""

    questions: int
    asked: Hex  # the digest of these questions
    right: dict[str, Bits]  # by seed, 1 where right


class Used(Section):
    digest: Hex
    values: dict[str, Any]  # by dotted key, all that the cell used of params.yaml


class Kept(Section):
    """What stands in the file."""

    experiment: str  # its name, which ends in the digest of the overrides
    cell: str  # part, row and column, in words
    target: Target  # the last stage that ran: `train` has not looked at test
    commit: Hex  # what it is of
    overrides: dict[str, Any]
    params: Used
    metrics: dict[str, Any]  # metrics/score.json; of `train` nothing
    valid: dict[str, OnValid]  # by seed
    test: OnTest | None
    seconds: float | None  # that it ran on the machine that wrote this; null where that is not known
    digest: Hex  # of all the rest

    @property
    def accuracy(self) -> float:
        """On test, or on valid where test was not looked at."""
        if self.target == "score":
            return float(self.metrics["accuracy"])
        return sum(seed.accuracy for seed in self.valid.values()) / len(self.valid)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the students that test was asked of, ascending."""
        return tuple(sorted(map(int, self.test.right))) if self.test else ()

    @property
    def right(self) -> np.ndarray:
        """(seeds, questions), True where right."""
        assert self.test, "test was not looked at"
        return np.array([[bit == "1" for bit in self.test.right[str(seed)]] for seed in self.seeds])


def folder_of(table: Path) -> Path:
    """Return where the results of a table lie: of experiments/cpu/main.yaml in experiments/results/cpu/main."""
    path = table.absolute()
    try:
        return FOLDER / path.relative_to(TABLES.absolute()).with_suffix("")
    except ValueError:  # a table that lies elsewhere
        return FOLDER / path.stem


def files_by_digest(table: Path) -> dict[str, Path]:
    """Return the files of all results by their cells' digests; of several of one cell, the table's own."""
    own = folder_of(table)
    paths = sorted(FOLDER.rglob("*.json"), key=lambda path: (path.parent == own, path))
    return {match[1]: path for path in paths if (match := re.fullmatch(r".*-([0-9a-f]{8})", path.stem))}


def path_of(cell: Cell, table: Path) -> Path:
    """Return where a cell's result is written."""
    return folder_of(table) / f"{cell.slug}-{cell.digest}.json"


def used_values(cell: Cell) -> dict[str, Any]:
    """Return all that shapes a cell's result, by dotted key; a place of this machine is only its digest."""
    values = cell.params.model_dump(mode="json", exclude={"runtime"})
    values["teachers"] = {name: values["teachers"][name] for name in cell.params.corpus.teachers}
    return portable(leaves(values))


def portable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by key, in the place of each absolute path a digest of it."""
    return {key: _portable(value) for key, value in values.items()}


def _portable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_portable(item) for item in value]
    if isinstance(value, dict):
        return portable(value)
    if isinstance(value, str) and value.startswith(("/", "~")):
        return f"path:{hashlib.sha256(value.encode()).hexdigest()[:12]}"
    return value


def digest_of(values: Mapping[str, Any]) -> str:
    """Return the digest of what JSON can hold, the same whatever its order."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def write_kept(path: Path, values: Mapping[str, Any]) -> None:
    """Write a result, its digest added."""
    whole = json.loads(json.dumps(dict(values)))  # as it will be read
    write_json(path, {**whole, "digest": digest_of(whole)})


def read_kept(path: Path) -> Kept:
    """Return a result.

    Raises:
        ValueError: it is damaged, was edited, or is of another cell than its name says; one line that names the file.
    """
    values = read_json(path)
    try:
        kept = Kept.model_validate(values)
    except ValidationError as error:
        first = first_causes(error.errors())[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path}: {where}: {sentence(first, Kept)}; {REMEDY}") from None
    if kept.digest != digest_of({key: value for key, value in values.items() if key != "digest"}):
        raise ValueError(f"{path}: was edited, for its digest is not that of what it holds; {REMEDY}")
    if kept.experiment[-8:] != path.stem[-8:]:
        raise ValueError(f"{path}: holds the result of {kept.experiment}, another cell; {REMEDY}")
    if fault := _fault(kept):
        raise ValueError(f"{path}: {fault}; {REMEDY}")
    return kept


def _fault(kept: Kept) -> str:
    """What does not fit together in a whole file, such as one that another version wrote."""
    if kept.target == "train":
        return "" if kept.valid else "has no accuracy on valid"
    if kept.test is None or not kept.test.right:
        return "has no answers on test"
    lengths = {len(bits) for bits in kept.test.right.values()}
    if lengths != {kept.test.questions}:
        return f"test.right has {', '.join(map(str, sorted(lengths)))} answers of a seed to {kept.test.questions} questions"
    if not all(map(str.isdecimal, kept.test.right)):
        return "test.right is of something that is no seed"
    if not isinstance(kept.metrics.get("accuracy"), int | float):
        return "metrics has no accuracy"
    return ""
