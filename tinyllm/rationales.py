"""The rationale file: what one teacher said of every question, one row a question."""

from __future__ import annotations

import re
from pathlib import Path

from tinyllm.jsonl import read_jsonl

FIELDS = ("id", "rationale", "status")
STATUS = re.compile(r"[a-z][a-z0-9_]*")  # statuses become keys in the metrics


def read_rationales(path: Path | str) -> list[dict]:
    """Return the checked rows of a rationale file, in order; further fields stay as they are.

    Raises:
        ValueError: a field is missing or of the wrong type, an id stands twice, or status and rationale contradict each
            other; the message names file and row.
    """
    return check_rationales(read_jsonl(path), str(path))


def check_rationales(rows: list[dict], source: str) -> list[dict]:
    """Return the rows as they are, if they are those of a rationale file.

    Raises:
        ValueError: as `read_rationales`.
    """
    seen: dict[str, int] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{source}:{number}"
        _check(row, where)
        if row["id"] in seen:
            raise ValueError(f"{where}: id {row['id']!r} stands in row {seen[row['id']]} too; allowed is one row an id")
        seen[row["id"]] = number
    return rows


def _check(row: dict, where: str) -> None:
    for field in FIELDS:
        if field not in row:
            raise ValueError(f"{where}: no field {field!r}; a rationale has {', '.join(FIELDS)}")
    if not isinstance(row["id"], str) or not row["id"].strip():
        raise ValueError(f"{where}: id {row['id']!r}; allowed is a text that is not empty")
    if not isinstance(row["status"], str) or not STATUS.fullmatch(row["status"]):
        raise ValueError(f"{where}: status {row['status']!r}; allowed are ok and names such as empty (a-z, 0-9, _)")
    if row["rationale"] is not None and not isinstance(row["rationale"], str):
        raise ValueError(f"{where}: rationale is {type(row['rationale']).__name__}; allowed is text or null")
    if row["status"] == "ok" and not (row["rationale"] or "").strip():
        raise ValueError(f"{where}: status ok, but the rationale is {row['rationale']!r}; with ok it must be text")
    if row["status"] != "ok" and row["rationale"] is not None:
        raise ValueError(f"{where}: status {row['status']!r}, but there is a rationale; allowed then is null")
