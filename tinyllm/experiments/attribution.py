"""Which teacher helped: a run's arms without each teacher and with each alone, as the cells of a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tinyllm.experiments.compare import SIGNIFICANT
from tinyllm.experiments.dvc_experiments import git
from tinyllm.experiments.grid import WHOLE, Base, Cell, Overrides, Table, TableFile, read_base, resolve
from tinyllm.experiments.locked import leaves
from tinyllm.experiments.results.found import find_all, scored
from tinyllm.experiments.runs import commit_of
from tinyllm.experiments.sweep import distinct
from tinyllm.experiments.table import tabulate
from tinyllm.params.load import PATH
from tinyllm.params.yaml_file import parse_yaml
from tinyllm.records.surroundings import Arm, Attribution

ALL, COLUMN = "all teachers", "test"
FILE = Path("experiments/attribute.yaml")  # there is no such file; its results lie as those of a table of that name


def attribution_table(name: str | None = None, params_path: Path = PATH) -> tuple[Table, list[str]]:
    """Return the table of a run's arms, and a line on each arm that its params do not allow.

    Args:
        name: an experiment, a branch or a commit whose params the arms have; None is params.yaml as it is here

    Raises:
        ValueError: params are faulty, or there are not two teachers to tell apart.
    """
    base = read_base(params_path)
    changed = {} if name is None else _changes(name, base)
    teachers = list(changed.get("corpus.teachers", base.checked["corpus"]["teachers"]))
    if len(teachers) < 2:
        raise ValueError(
            f"{name or params_path}: corpus.teachers has {', '.join(teachers) or 'no teacher'}; to tell who helped, there "
            "have to be at least 2"
        )
    voices = str(changed.get("score.voices", base.checked["score"]["voices"]))
    rows = {ALL: {}, **{arm: _overrides(kept, voices, teachers) for arm, kept in arms(teachers)}}
    file = TableFile(
        title=f"Who helped{f' in {name}' if name else ''}",
        overrides=changed,
        columns_are="fixed",
        columns={COLUMN: {}},
        control=ALL,
        rows=rows,
    )
    cells: dict[tuple[str, str, str], Cell] = {}
    notes = []
    for row in rows:
        made = resolve(FILE, file, base, (WHOLE, row, COLUMN))
        if isinstance(made, Cell):
            cells[WHOLE, row, COLUMN] = made
        elif row == ALL:
            raise ValueError("\n".join(f"{name}: {fault}" for _, fault in made))
        else:
            notes.append(f"{row} is left out: {made[0][1]}")
    known = tuple(row for row in rows if (WHOLE, row, COLUMN) in cells)
    return Table(FILE, file.title, (WHOLE,), known, (COLUMN,), False, ALL, cells, {}), notes


def find_attribution() -> Attribution:
    """Return what the arms of the run in this folder say, as far as they have run."""
    found: Attribution = {"accuracy": 0.0, "arms": [], "missing": [], "why": ""}
    try:
        git("rev-parse", "HEAD")
        table, _ = attribution_table()
    except (ValueError, OSError):  # no commit that an experiment could be of, or fewer than two teachers
        return found
    try:
        results, _ = find_all(distinct(table), table.path)
        rows = tabulate(table, scored(results), results)["parts"][0]["rows"]
    except (ValueError, OSError) as error:  # such as predictions that left DVC's cache
        return {**found, "why": str(error)}
    for row in rows:
        gain = row["difference"]
        if row["mean"]["value"] is None:
            found["missing"].append(row["row"])
        elif row["row"] == ALL:
            found["accuracy"] = row["mean"]["value"]
        elif gain:
            arm: Arm = {
                "name": row["row"],
                "value": gain["value"],
                "low": gain["low"],
                "high": gain["high"],
                "shown": False,
            }
            found["arms"].append({**arm, "shown": gain["p_holm"] < SIGNIFICANT})
    return found


def arms(teachers: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each arm's name and teachers: every teacher left out, then every teacher alone; of two these are the same."""
    if len(teachers) > 2:
        for teacher in teachers:
            yield f"without {teacher}", [other for other in teachers if other != teacher]
    for teacher in teachers:
        yield f"{teacher} alone", [teacher]


def _overrides(kept: list[str], voices: str, teachers: list[str]) -> Overrides:
    """The params of an arm; where the student was asked in the voice of a teacher who is left out, it is asked as it can be."""
    asked = {"score.voices": "auto"} if voices in teachers and voices not in kept else {}
    return {"corpus.teachers": kept, **asked}


def _changes(name: str, base: Base) -> dict[str, Any]:
    """Return by dotted key what a commit's params.yaml says otherwise than the one here."""
    theirs = leaves(parse_yaml(git("show", f"{commit_of(name)}:./{PATH}"), f"{name}: {PATH}"))
    ours: Mapping[str, Any] = leaves(base.values)
    return {key: value for key, value in theirs.items() if ours.get(key, KeyError) != value and value != {}}
