"""Answers as JSON lines: what one cache holds, to be read into another, so that nobody asks and pays again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tinyllm.records.jsonl import atomic_write, read_jsonl
from tinyllm.teachers.cache.entry import Entry, check_entry
from tinyllm.teachers.cache.store import ResponseCache, TeacherTotals


def export_answers(cache: ResponseCache, path: Path, teacher: str | None = None) -> int:
    """Write the entries, or those of the teacher with this digest, to a file of JSON lines; return how many.

    The file is written whole or not at all, entry by entry: memory does not grow with the cache. Caches that hold the same
    give the same bytes.
    """
    count = 0
    with atomic_write(path) as file:
        for entry in cache.entries(teacher):
            file.write(json.dumps(vars(entry), ensure_ascii=False) + "\n")
            count += 1
    return count


def read_entries(path: Path) -> list[Entry]:
    """Return the checked entries of an exported file.

    Raises:
        ValueError: as `check_entry`; the message names file and line.
    """
    entries = []
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            entries.append(check_entry(row))
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
    return entries


def find_teacher(teachers: Sequence[TeacherTotals], start: str) -> str:
    """Return the digest that begins so.

    Raises:
        ValueError: none or several do.
    """
    matching = [teacher.digest for teacher in teachers if teacher.digest.startswith(start)]
    if len(matching) != 1:
        known = ", ".join(teacher.digest[:10] for teacher in teachers) or "none"
        raise ValueError(f"teacher {start!r}: {len(matching)} digests start so, allowed is 1; the cache has {known}")
    return matching[0]
