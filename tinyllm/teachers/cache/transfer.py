"""Answers as JSON lines: what one cache holds, to be read into another, so that nobody asks and pays again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tinyllm.console import one_line
from tinyllm.records.files import atomic_write
from tinyllm.records.jsonl import parse_lines
from tinyllm.records.reading import open_lines
from tinyllm.teachers.cache.entry import Entry, canonical_json, check_entry
from tinyllm.teachers.cache.store import ResponseCache, TeacherTotals

CHECKSUM = "sha256"  # the field of a line that holds the checksum of all its others
LONGEST_NAME = 100  # characters of a file's name that an imported answer is marked with


@dataclass(frozen=True)
class Imported:
    """What an exported file holds."""

    entries: list[Entry]
    unchecked: int  # of them without a checksum: an older version wrote the file


def export_answers(cache: ResponseCache, path: Path, teachers: Sequence[str] | None = None) -> int:
    """Write the entries, or those of the teachers with these digests, to a file of JSON lines; return how many.

    The file is its owner's alone, and written whole or not at all, entry by entry: memory does not grow with the cache.
    Caches that hold the same give the same bytes.
    """
    count = 0
    with atomic_write(path, private=True) as file:
        for entry in cache.entries(teachers):
            row = vars(entry)
            file.write(json.dumps({**row, CHECKSUM: checksum(row)}, ensure_ascii=False) + "\n")
            count += 1
    return count


def checksum(row: Mapping[str, object]) -> str:
    """Return the sha256 of all that a line holds, as the one JSON text of it; a changed answer has another."""
    return hashlib.sha256(canonical_json(row, "")).hexdigest()


def read_entries(path: Path) -> Imported:
    """Return the checked entries of an exported file. Either all lines have a checksum, or none, as older versions wrote them.

    Raises:
        ValueError: as `check_entry`, or a checksum is wrong or missing; the message names file and line.
    """
    entries = []
    checked: bool | None = None  # whether the first line has a checksum
    with open_lines(path) as lines:
        for number, row in parse_lines(lines, path):
            expected = row.pop(CHECKSUM, None)
            checked = expected is not None if checked is None else checked
            try:
                entries.append(check_entry(row))
                _check_line(row, expected, checked)
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}") from None
    return Imported(entries, 0 if checked else len(entries))


def _check_line(row: Mapping[str, object], expected: object, checked: bool) -> None:
    if checked != (expected is not None):
        other = "no" if checked else "a"
        raise ValueError(f"has {other} {CHECKSUM}, other than the first line; import the file as it was exported")
    if checked and checksum(row) != expected:
        raise ValueError(
            f"{CHECKSUM} is not that of the line, which was changed or cut; import the file as it was exported"
        )


def origin_of(path: Path) -> str:
    """Return what answers are marked with that are imported from a file now: its name and the time."""
    now = datetime.fromtimestamp(max(0.0, time.time()), UTC)
    return f"{one_line(path.name, LONGEST_NAME)} {now:%Y-%m-%dT%H:%MZ}"


def find_teachers(
    teachers: Sequence[TeacherTotals], names: Mapping[str, Sequence[str]], wanted: str
) -> tuple[str, ...]:
    """Return the digests of the teachers with a name, or the one digest that begins so.

    Args:
        names: of each digest, those that params.yaml has for it

    Raises:
        ValueError: no teacher has that name, and none or several digests begin so.
    """
    named = tuple(teacher.digest for teacher in teachers if wanted in names.get(teacher.digest, ()))
    if named:
        return named
    matching = [teacher.digest for teacher in teachers if teacher.digest.startswith(wanted)]
    if len(matching) != 1:
        known = ", ".join(teacher.digest[:10] for teacher in teachers) or "none"
        listed = sorted({name for teacher in teachers for name in names.get(teacher.digest, ())})
        also = f"; teachers of params.yaml there: {', '.join(listed)}" if listed else ""
        raise ValueError(
            f"teacher {wanted!r}: {len(matching)} digests start so, allowed is 1; the cache has {known}{also}"
        )
    return (matching[0],)
