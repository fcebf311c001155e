"""A CSV file that a spreadsheet can open: what is no number is never taken for a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from tinyllm.records.exact_match import is_number
from tinyllm.records.files import atomic_write

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for the start of one


def write_csv(path: Path | str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write heads and rows, whole or not at all; before a cell that a spreadsheet would compute comes a `'`."""
    with atomic_write(path) as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(heads)
        table.writerows([as_cell(text) for text in row] for row in rows)


def as_cell(text: str) -> str:
    """Return a text as a cell that no program computes: `=1+1` has a `'` before it, and -3 is a number."""
    return f"'{text}" if text.startswith(FORMULA) and not is_number(text) else text
