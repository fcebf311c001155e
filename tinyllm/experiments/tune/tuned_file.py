"""NAME.tuned.yaml: the table of a tune file with the settings that were chosen, ready for `tinyllm sweep`."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from tinyllm.evaluation.wording import percent
from tinyllm.experiments.grid import Overrides, read_file
from tinyllm.experiments.tune.halving import Search
from tinyllm.experiments.tune.plan import Arm, Plan, in_words
from tinyllm.params.yaml_file import read_yaml
from tinyllm.records.files import atomic_write
from tinyllm.records.reading import read_text

WIDTH = 128  # of a line, before it is broken
MISSING = object()


def tuned_path(path: Path) -> Path:
    """Return where the table with the chosen settings lies: of cpu/when.yaml in cpu/when.tuned.yaml."""
    return path.with_name(f"{path.stem}.tuned.yaml")


def how_chosen(arm: Arm, search: Search, plan: Plan) -> str:
    """Return a sentence on what was chosen for a row."""
    assert search.chosen is not None, f"{arm.row} is not chosen yet"
    if len(arm.candidates) == 1:
        return "one candidate, so nothing was chosen and nothing was trained"
    seeds = sorted(
        {plan.seeds[seed] for done in search.rounds for candidate, seed in done.trials if candidate == search.chosen}
    )
    on = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
    each = "trainings" if plan.columns == 1 else f"trainings in each of {plan.columns} columns"
    return (
        f"{percent(search.means[search.chosen])}% on valid ({on}), the best of {len(arm.candidates)} candidates by "
        f"{search.trainings} {each}"
    )


def at_an_edge(arm: Arm, chosen: int) -> str:
    """Return a clause on each chosen number that is the least or the most of three or more: a better one may lie beyond."""
    clauses = []
    for key, value in arm.candidates[chosen].items():
        tried = [candidate[key] for candidate in arm.candidates]
        numbers = all(isinstance(number, int | float) and not isinstance(number, bool) for number in tried)
        if numbers and len(set(tried)) > 2 and value in (min(tried), max(tried)):
            clauses.append(f"; {key} {value} is the {'least' if value == min(tried) else 'most'} that was tried")
    return "".join(clauses)


def write_tuned(plan: Plan, searches: Mapping[str, Search], force: bool = False) -> str:
    """Write the table with what was chosen; return what was done, in words.

    A file that has the same choice stays as it is, so that comments and other edits are kept.

    Raises:
        ValueError: a file of that name has another choice, and `force` does not say that it may go.
    """
    path = tuned_path(plan.path)
    chosen = {arm.row: arm.candidates[_chosen(searches[arm.row])] for arm in plan.arms}
    text = _text(plan, searches, chosen)
    if path.exists() and not force:
        if path.is_file() and read_text(path) == text:
            return f"{path} is as it was"
        if difference := _difference(path, chosen):
            raise ValueError(f"{path}: {difference}; --force writes it anew, else move it away")
        return f"{path} has the same choice and other text, and stays as it is; --force writes it anew"
    with atomic_write(path) as file:
        file.write(text)
    return f"{path} is written; `tinyllm sweep {path} --run` runs it"


def _chosen(search: Search) -> int:
    assert search.chosen is not None
    return search.chosen


def _difference(path: Path, chosen: Mapping[str, Overrides]) -> str:
    """How a file's choice differs, or ""."""
    there = read_file(path).rows
    for row, settings in chosen.items():
        if row not in there:
            return f"has no row {row}"
        for key, value in settings.items():
            found = there[row].get(key, MISSING)
            if found != value:
                shown = "no value" if found is MISSING else json.dumps(found)
                return f"has another choice: {row} has {shown} for {key}, and {json.dumps(value)} is chosen now"
    return ""


def _text(plan: Plan, searches: Mapping[str, Search], chosen: Mapping[str, Overrides]) -> str:
    """The file's text: the tune file's, without its section `tune`, and with the settings in its rows."""
    table = read_yaml(plan.path, "rt")
    spelled = _spellings(table["tune"])
    del table["tune"]
    for arm in plan.arms:
        row = _of_its_own(table["rows"], arm.row)
        for key, value in chosen[arm.row].items():
            same = [number for number in spelled if isinstance(value, float) and number == value]
            row[key] = same[0] if same else value
        table["rows"].yaml_set_comment_before_after_key(
            arm.row,
            before=f"{how_chosen(arm, searches[arm.row], plan)}: {in_words(chosen[arm.row])}".rstrip(": ")
            + at_an_edge(arm, _chosen(searches[arm.row])),
            indent=2,
        )
    yaml = YAML(typ="rt")
    yaml.width = WIDTH
    made = io.StringIO()
    yaml.dump(table, made)
    head = (
        f"# Written by `tinyllm tune {plan.path}`, which chose the settings of every row on valid; test was not looked at.\n"
        f"# Budget: {plan.budget} trainings of each row{' in each column' if plan.columns > 1 else ''}, by successive "
        f"halving (1 in {plan.halving}).\n"
    )
    return head + made.getvalue()


def _of_its_own(rows: CommentedMap, name: str) -> CommentedMap:
    """A row's mapping, which no other row shares by an alias, with what `<<` brings written out."""
    row = rows[name]
    shared = sum(other is row for other in rows.values()) > 1
    if not isinstance(row, CommentedMap) or shared or row.merge:
        row = CommentedMap(dict(row.items()))
        rows[name] = row
    row.yaml_set_anchor(None)
    return row


def _spellings(section: Any) -> Sequence[float]:
    """The numbers of the section as the file writes them, such as 5.0e-4."""
    values = section.values() if isinstance(section, Mapping) else section if isinstance(section, list) else []
    return [section] if isinstance(section, float) else [number for value in values for number in _spellings(value)]
