"""The rationale file: what one teacher said of every question, one row a question or one a sample of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.records.jsonl import parse_lines
from tinyllm.records.questions import Question
from tinyllm.records.reading import open_lines

FIELDS = ("id", "rationale", "status")
STATUS = re.compile(r"[a-z][a-z0-9_]*")  # statuses become keys in the metrics
LAST_SAMPLE = 999_999
SLACK = 1e-3  # by which option probabilities, rounded as they may be, miss a sum of 1


def read_rationales(path: Path | str) -> list[dict]:
    """Return the checked rows of a rationale file, in order; further fields stay as they are.

    Where an id has several rows, they are samples: each is numbered in the field `sample` by its place, unless it has one.

    Raises:
        ValueError: a field is missing or of the wrong type, an id has a sample twice, or status and rationale contradict
            each other; the message names file and row.
    """
    return _numbered_samples(iter_rationales(path), str(path))


def iter_rationales(path: Path | str) -> Iterator[tuple[int, dict]]:
    """Yield line number and row of each row of a rationale file; it is checked, but its id is not compared.

    Raises:
        ValueError: as `read_rationales`.
    """
    with open_lines(path) as lines:
        yield from _check_each(parse_lines(lines, path), str(path))


def check_rationales(rows: list[dict], source: str) -> list[dict]:
    """Return the rows, if they are those of a rationale file, as `read_rationales` does.

    Raises:
        ValueError: as `read_rationales`.
    """
    return _numbered_samples(_check_each(enumerate(rows, start=1), source), source)


def _check_rationale(row: dict, where: str) -> None:
    """Refuse what is no row of a rationale file.

    `option_probabilities`, where it is given, has what the teacher thinks of each option, in the question's order.

    Raises:
        ValueError: as `read_rationales`, but for ids, which are not compared; the message starts with `where`.
    """
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
    sample = row.get("sample")
    if sample is not None and (
        isinstance(sample, bool) or not isinstance(sample, int) or not 0 <= sample <= LAST_SAMPLE
    ):
        raise ValueError(
            f"{where}: sample {sample!r:.50}; allowed is a whole number from 0 to {LAST_SAMPLE}, or no such field"
        )
    if row.get("option_probabilities") is not None:
        _check_probabilities(row["option_probabilities"], where)


def check_fits(row: dict, question: Question, where: str) -> None:
    """Refuse a row with probabilities of other options than its question has.

    Raises:
        ValueError: there are not as many; the message starts with `where`.
    """
    probabilities = row.get("option_probabilities")
    if probabilities is not None and len(probabilities) != len(question.choices):
        raise ValueError(
            f"{where}: {len(probabilities)} option_probabilities, but question {question.id!r} has {len(question.choices)}"
            " choices; allowed is one for each, or null"
        )


def sample_of(row: Mapping[str, Any]) -> int:
    """Return which of its question's rationales a row is."""
    return row.get("sample") or 0


def repeated_rationale(row: Mapping[str, Any], where: str, first: int) -> ValueError:
    """The error of a row whose id and sample stand in row `first` too."""
    if row.get("sample") is None:
        return ValueError(f"{where}: id {row['id']!r} stands in row {first} too; allowed is one row an id")
    return ValueError(
        f"{where}: id {row['id']!r} with sample {row['sample']} stands in row {first} too; "
        "allowed is one row an id and sample"
    )


def _numbered_samples(numbered: Iterable[tuple[int, dict]], source: str) -> list[dict]:
    lines: dict[str, dict[int, int]] = {}  # by id and sample
    rows = []
    for number, row in numbered:
        known = lines.setdefault(row["id"], {})
        sampled = row if row.get("sample") is not None else {**row, "sample": len(known)}
        first = known.setdefault(sampled["sample"], number)
        if first != number:
            raise repeated_rationale(sampled, f"{source}:{number}", first)
        rows.append((row, sampled))
    return [sampled if len(lines[row["id"]]) > 1 else row for row, sampled in rows]


def _check_each(rows: Iterable[tuple[int, dict]], source: str) -> Iterator[tuple[int, dict]]:
    for number, row in rows:
        _check_rationale(row, f"{source}:{number}")
        yield number, row


def _check_probabilities(probabilities: object, where: str) -> None:
    if not isinstance(probabilities, list):
        raise ValueError(f"{where}: option_probabilities is {type(probabilities).__name__}; allowed is a list or null")
    for value in probabilities:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ValueError(f"{where}: option_probabilities has {value!r}; allowed are numbers from 0 to 1")
    if abs(sum(probabilities) - 1) > SLACK:
        raise ValueError(
            f"{where}: option_probabilities sum to {sum(probabilities):.6g}; allowed is 1, give or take {SLACK:g}"
        )


@dataclass(frozen=True)
class TeacherOutput:
    """What a teacher gave for one question: its text, or None and a status that says why not."""

    text: str | None
    status: str = "ok"
    extra: Mapping[str, Any] | None = None  # further fields of its row in the rationale file
    further: tuple[TeacherOutput, ...] = ()  # the other samples, where the question was asked several times

    @property
    def samples(self) -> tuple[TeacherOutput, ...]:
        return (self, *self.further)
