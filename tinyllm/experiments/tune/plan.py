"""A tune file's rows, their candidates, and the training that each candidate and seed is, all checked before any work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from tinyllm.experiments.dvc_experiments import Result
from tinyllm.experiments.grid import (
    WHOLE,
    Base,
    Cell,
    Level,
    Mistake,
    Overrides,
    TableFile,
    cell_of,
    read_base,
    read_file,
    resolve,
    table_of,
)
from tinyllm.experiments.tune.halving import Search, own_budget, search, seeds_needed
from tinyllm.experiments.tune.section import Candidates, Tune
from tinyllm.params.load import PATH, in_lines

TAKEN = ("data.take.train", "data.take.valid")
OF_TEACHERS = ("loss.alpha", "loss.teacher_alpha.", "loss.kd")


@dataclass(frozen=True)
class Arm:
    """A row of the table, whose settings are chosen."""

    row: str
    candidates: tuple[Overrides, ...]  # every combination, in the order of the file, the last key the fastest
    cells: Mapping[tuple[int, int], tuple[Cell, ...]]  # by candidate and seed, one for each part and column

    def state(self, budget: int, halving: int, results: Mapping[str, Result]) -> Search:
        """How far the search of its settings has come; of several columns the accuracy is the mean."""

        def accuracy(candidate: int, seed: int) -> float | None:
            found = [results.get(cell.digest) for cell in self.cells[candidate, seed]]
            known = [result.accuracy for result in found if result]
            return sum(known) / len(known) if len(known) == len(found) else None

        return search(len(self.candidates), budget, halving, accuracy)


@dataclass(frozen=True)
class Plan:
    path: Path
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    halving: int
    budget: int  # trainings of each row in each column
    columns: int  # and parts: so many trainings is one of the budget

    @property
    def cells(self) -> list[Cell]:
        """Every training that may be wanted, each once."""
        return distinct(cell for arm in self.arms for cells in arm.cells.values() for cell in cells)


def distinct(cells: Iterable[Cell]) -> list[Cell]:
    """Return the cells, of those that are one experiment the first."""
    first: dict[str, Cell] = {}
    for cell in cells:
        first.setdefault(cell.digest, cell)
    return list(first.values())


def read_plan(path: Path, budget: int | None = None, params_path: Path = PATH) -> Plan:
    """Return what a tune file asks for.

    Args:
        budget: in place of the file's

    Raises:
        ValueError: the table or its section `tune` is faulty, or the budget or the seeds do not suffice.
    """
    base, file = read_base(params_path), read_file(path)
    table = table_of(path, file, base)
    if file.tune is None:
        raise ValueError(f"{path}: has no section tune, which names the candidates; see docs/experiments.md")
    tune = file.tune
    of_rows = {row: combinations(tune.rows.get(row, tune.candidates)) for row in file.rows}
    mistakes = list(_contradictions(file, tune))
    for (_, row, _), cell in table.cells.items():
        keys = tune.rows.get(row, tune.candidates)
        if not cell.params.corpus.teachers and (idle := [key for key in keys if key.startswith(OF_TEACHERS)]):
            mistakes.append(
                (("rows", row), f"has no teachers, and {idle[0]} makes no difference; {_own(row)} without it")
            )
        if shared := sorted(set(tune.seeds) & set(cell.params.train.seeds)):
            mistakes.append(
                (
                    ("tune", "seeds"),
                    f"{shared[0]} is of the table, too; what a seed has chosen must not be judged by it",
                )
            )
    if mistakes:
        raise ValueError(in_lines(path, mistakes))
    counts = [len(candidates) for candidates in of_rows.values()]
    budget = budget or tune.budget or max(own_budget(count, tune.halving, len(tune.seeds)) for count in counts)
    _check_budget(path, of_rows, tune, budget)
    arms = []
    for row, candidates in of_rows.items():
        seeds = tune.seeds[: seeds_needed(len(candidates), budget, tune.halving)]
        made = _cells(path, file, base, row, candidates, tune.take, seeds)
        mistakes += made if isinstance(made, list) else []
        arms.append(Arm(row, tuple(candidates), {} if isinstance(made, list) else made))
    if mistakes:
        raise ValueError(in_lines(path, mistakes))
    columns = len(file.parts or [WHOLE]) * len(file.columns)
    return Plan(path, tuple(arms), tuple(tune.seeds), tune.halving, budget, columns)


def combinations(candidates: Candidates) -> list[Overrides]:
    """Return every combination of the values, the last key's the fastest; of no keys the one that changes nothing."""
    return [dict(zip(candidates, values, strict=True)) for values in product(*candidates.values())]


def in_words(candidate: Overrides) -> str:
    """Return a candidate's settings as they are printed."""
    return ", ".join(f"{key} {value}" for key, value in candidate.items())


def _contradictions(file: TableFile, tune: Tune) -> Iterator[Mistake]:
    for place, candidates in (
        (("candidates",), tune.candidates),
        *((("rows", row), own) for row, own in tune.rows.items()),
    ):
        for key, values in candidates.items():
            for twice in [value for number, value in enumerate(values) if value in values[:number]][:1]:
                yield ("tune", *place, key), f"{twice!r} stands {values.count(twice)} times; candidates must differ"
    for row in sorted(tune.rows.keys() - file.rows.keys()):
        yield ("tune", "rows", row), f"is no row of the table; the rows are {', '.join(file.rows)}"
    for row, overrides in file.rows.items():
        for key in sorted(overrides.keys() & tune.rows.get(row, tune.candidates).keys()):
            yield ("rows", row, key), f"is set here, and tune would choose it; leave it out, or {_own(row)} without it"
    for key, count in tune.take.items():
        if key not in TAKEN or count < 1:
            yield ("tune", "take", key), f"found {count}; allowed are {' and '.join(TAKEN)}, from 1 up"
    if len(set(tune.seeds)) < len(tune.seeds):
        yield ("tune", "seeds"), "a seed stands twice; seeds must differ"


def _own(row: str) -> str:
    return f"give {row} candidates of its own under tune.rows"


def _check_budget(path: Path, of_rows: Mapping[str, list[Overrides]], tune: Tune, budget: int) -> None:
    for row, candidates in of_rows.items():
        if budget < len(candidates) > 1:
            raise ValueError(
                f"{path}: budget {budget}, but {row} has {len(candidates)} candidates, each of which is trained at least "
                f"once; allowed is from {max(map(len, of_rows.values()))} up"
            )
    needed = {row: seeds_needed(len(found), budget, tune.halving) for row, found in of_rows.items()}
    row = max(needed, key=lambda row: needed[row])
    if needed[row] > len(tune.seeds):
        raise ValueError(
            f"{path}: tune.seeds has {len(tune.seeds)}, but {row} spends its budget of {budget} trainings on "
            f"{len(of_rows[row])} candidates with {needed[row]} seeds; name as many, and write budget: {budget} there so "
            "that it stays"
        )


def _cells(
    path: Path,
    file: TableFile,
    base: Base,
    row: str,
    candidates: list[Overrides],
    take: Mapping[str, int],
    seeds: list[int],
) -> dict[tuple[int, int], tuple[Cell, ...]] | list[Mistake]:
    """The trainings of a row, or what is wrong with its candidates."""
    where = ("rows", row) if file.tune and row in file.tune.rows else ("candidates",)
    found: dict[tuple[int, int], tuple[Cell, ...]] = {}
    for (number, candidate), (place, seed) in product(enumerate(candidates), enumerate(seeds)):
        cells = []
        more: list[Level] = [(("tune", "seeds"), {"train.seeds": [seed]}), (("tune", "take"), dict(take))]
        more.append((("tune", *where), candidate))
        for part, column in product(file.parts or [WHOLE], file.columns):
            made = resolve(path, file, base, (part, row, column), more)
            if not isinstance(made, Cell):
                return made
            cells.append(_training(path, made, candidate, seed))
        found[number, place] = tuple(cells)
    return found


def _training(path: Path, cell: Cell, candidate: Overrides, seed: int) -> Cell:
    """The same cell, ending with its training, and told from the others of its row."""
    name = (cell.part, f"{cell.row}: {in_words(_short(candidate))}, seed {seed}", cell.column)
    return cell_of(path, name, dict(cell.overrides), cell.params, "train")


def _short(candidate: Mapping[str, Any]) -> Overrides:
    return {key.rpartition(".")[2]: value for key, value in candidate.items()}
