"""A file of experiments/: a table's rows and columns, each a name and its overrides, checked cell by cell before any work."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from tinyllm.console import printable
from tinyllm.experiments.tune.section import Tune
from tinyllm.params.load import PATH, check_values, first_causes, in_lines, read_params, sentence
from tinyllm.params.schema import Params
from tinyllm.params.value_types import Section
from tinyllm.params.yaml_file import read_yaml

Overrides = dict[str, Any]  # a dotted key of params.yaml and its value there
Named = Annotated[dict[str, Overrides], Field(min_length=1)]
Mistake = tuple[tuple, str]
Place = tuple[str, str, str]  # part, row and column
Level = tuple[tuple[str, ...], Overrides]  # where overrides stand in the file, and they
Target = Literal["score", "train"]
TARGET: Target = "score"  # the last stage of a cell; the report of each is not needed
SAMPLE = 3  # columns that tell how much such columns differ
WHOLE = ""  # the one part of a table that has no parts


@dataclass(frozen=True)
class Base:
    """params.yaml, which cells override."""

    values: dict  # as it stands there
    checked: dict  # the same with the types that it has


class TableFile(Section):
    """What stands in the file."""

    title: str
    overrides: Overrides  # of every cell
    parts: Named | None = None  # the table once for each
    columns_are: Literal["sample", "fixed"]  # others like them are meant, too | these and no others
    columns: Named
    control: str
    rows: Named
    tune: Tune | None = None  # how `tinyllm tune` chooses settings; to a sweep it is nothing
    paper: dict[str, Any] | None = None  # [part,] row, column: the paper's accuracy in percent


@dataclass(frozen=True)
class Cell:
    """One experiment of a table: params.yaml with some values changed."""

    part: str
    row: str
    column: str
    overrides: Mapping[str, Any]  # only what params.yaml says otherwise
    params: Params
    digest: str  # of the overrides: cells that have the same are one experiment
    name: str  # ends in the digest
    target: Target = TARGET  # the last stage that runs

    @property
    def slug(self) -> str:
        """What its result is called."""
        return "-".join(filter(None, map(_slug, (self.part, self.row, self.column))))[:80].rstrip("-") or "cell"

    @property
    def title(self) -> str:
        return printable(", ".join(filter(None, (self.part, self.row, self.column))))


@dataclass(frozen=True)
class Table:
    path: Path
    title: str
    parts: tuple[str, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    sampled: bool  # the columns stand for others like them
    control: str
    cells: Mapping[tuple[str, str, str], Cell]  # by part, row, column
    paper: Mapping[tuple[str, str, str], float]


def read_table(path: Path, params_path: Path = PATH) -> Table:
    """Return the table of a file, every cell of it checked as params.yaml is.

    Raises:
        ValueError: one line a mistake: file, line, key, value found, what is allowed.
    """
    base = read_base(params_path)  # checked first: a mistake there is not one of each cell
    return table_of(path, read_file(path), base)


def table_of(path: Path, file: TableFile, base: Base) -> Table:
    """Return the table of what a file holds; as `read_table`."""
    mistakes = list(_contradictions(file))
    cells = {}
    for part, row, column in product(file.parts or {WHOLE: {}}, file.rows, file.columns):
        made = resolve(path, file, base, (part, row, column))
        if isinstance(made, Cell):
            cells[part, row, column] = made
        else:
            mistakes += made
    if mistakes:
        raise ValueError(in_lines(path, mistakes))
    parts = tuple(file.parts or {WHOLE: {}})
    names = (parts, tuple(file.rows), tuple(file.columns))
    paper = {place: float(number) for _, place, number in _paper(file)}
    return Table(path, file.title, *names, file.columns_are == "sample", file.control, cells, paper)


def read_file(path: Path) -> TableFile:
    """Return what stands in a table's file, each value by itself of the right kind.

    Raises:
        ValueError: one line a mistake, as `read_table`.
    """
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: holds no table; expected {', '.join(TableFile.model_fields)}")
    try:
        return TableFile.model_validate(values)
    except ValidationError as error:
        raise ValueError(
            in_lines(path, [(e["loc"], sentence(e, TableFile)) for e in first_causes(error.errors())])
        ) from None


def read_base(params_path: Path) -> Base:
    """Return what params.yaml says, which cells override.

    Raises:
        ValueError: it is not sound.
    """
    params, values = read_params(params_path)
    return Base(values, params.model_dump(mode="json"))


def _contradictions(file: TableFile) -> Iterator[Mistake]:
    if file.control not in file.rows:
        yield ("control",), f"{file.control} is no row; the rows are {', '.join(file.rows)}"
    if file.columns_are == "sample" and len(file.columns) < SAMPLE:
        few = f"is sample, but {len(file.columns)} columns do not tell how much such columns differ"
        yield ("columns_are",), f"{few}; name at least {SAMPLE}, or say fixed"
    for keys, (part, row, column), number in _paper(file):
        for kind, name, known in (
            ("part", part, file.parts),
            ("row", row, file.rows),
            ("column", column, file.columns),
        ):
            if name not in (known or {WHOLE}):
                yield ("paper", *keys), f"{name or 'the number'} is of no {kind}; there are {', '.join(known or ())}"
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number <= 100:
            yield ("paper", *keys), f"found {number!r}; allowed is an accuracy in percent, 0 to 100"


def _paper(file: TableFile) -> Iterator[tuple[tuple[str, ...], tuple[str, str, str], Any]]:
    """Yield the place in the file, the part, row and column, and the number of the paper's results."""
    entries: list[tuple[tuple[str, ...], Any]] = [((), file.paper or {})]
    for _ in range(3 if file.parts else 2):
        entries = [
            ((*keys, str(name)), item)
            for keys, items in entries
            for name, item in (items.items() if isinstance(items, dict) else [("", items)])
        ]
    for keys, number in entries:
        part, row, column = keys if file.parts else (WHOLE, *keys)
        yield tuple(key for key in keys if key), (part, row, column), number


def resolve(path: Path, file: TableFile, base: Base, place: Place, more: Sequence[Level] = ()) -> Cell | list[Mistake]:
    """Return a cell, or what is wrong; the row's overrides go last, after the column's.

    Args:
        more: overrides that go after the row's
    """
    part, row, column = place
    levels: list[Level] = [(("overrides",), file.overrides)]
    if file.parts:
        levels.append((("parts", part), file.parts[part]))
    levels += [(("columns", column), file.columns[column]), (("rows", row), file.rows[row]), *more]
    values, keys = copy.deepcopy(base.values), set()
    for where, overrides in levels:
        for key, value in overrides.items():
            if fault := _set(values, key, value):
                return [((*where, key), fault)]
            keys.add(key)
    params, mistakes = check_values(values)
    if params is None:
        return [_placed(levels, mistake) for mistake in mistakes]
    used = params.model_dump(mode="json")
    changed = {key: _get(used, key) for key in sorted(keys) if _get(used, key) != _get(base.checked, key)}
    return cell_of(path, place, changed, params)


def cell_of(path: Path, place: Place, overrides: Overrides, params: Params, target: Target = TARGET) -> Cell:
    """Return the cell of a table's place, named after it and after the digest of its overrides."""
    digest = digest_of(overrides, target)
    name = "-".join(filter(None, map(_slug, (path.stem, *place))))[:80].rstrip("-")
    return Cell(*place, overrides, params, digest, f"{name}-{digest}", target)


def digest_of(overrides: Mapping[str, Any], target: Target = TARGET) -> str:
    """Return what names the experiment of these overrides; `runtime` must not change a result, so it does not count."""
    counted = {key: value for key, value in overrides.items() if not key.startswith("runtime.")}
    counted |= {} if target == TARGET else {"": target}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:8]


def _set(values: dict, key: str, value: object) -> str | None:
    """Set a dotted key; what cannot hold it, in words. Keys that are unknown are told with all that is wrong later."""
    *sections, last = key.split(".")
    if isinstance(value, dict):
        return f"holds {', '.join(map(str, value)) or 'nothing'}; write each value under its own dotted key"
    place = values
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            return f"unknown key; {section} holds one value"
    if isinstance(place.get(last), dict) and value is not None:
        return f"found {value!r}; {last} holds {', '.join(place[last])}: write one of these behind it"
    place[last] = value
    return None


def _get(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def _placed(levels: list[Level], mistake: Mistake) -> Mistake:
    """Return the mistake at the override it is of, or else at the row."""
    keys, fault = mistake
    for where, overrides in reversed(levels):
        for key in overrides:
            parts = tuple(key.split("."))
            length = min(len(parts), len(keys))
            if parts[:length] == tuple(map(str, keys))[:length]:
                return (*where, key), fault
    return levels[-1][0], f"with {'.'.join(levels[-2][0])}: {'.'.join(map(str, keys))}: {fault}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:30]
