"""Rows as people have them: those that are no question are kept apart, all of them, with what is wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

from tinyllm.params.checks import name_fault
from tinyllm.records.jsonl import parse_each_line
from tinyllm.records.questions import Question, other_kind, parse_question_row, repeated_question
from tinyllm.records.reading import open_lines

FIELDS = ("id", "question", "choices", "answer", "context", "rationales")  # of a row of one's own
SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\b[A-Z]\.)\s+(?=[\"'(\[]?[A-Z0-9])")  # not after an initial, as in `J. Smith`
SHOWN = 10  # bad rows that a message lists
LONGEST = 300  # characters of each
MEND = "mend them, or leave them out with data.on_bad_row: drop"


@dataclass(frozen=True)
class BadRow:
    """A row that is no question, and why."""

    file: str
    row: int
    fault: str

    def __str__(self) -> str:
        return f"{self.file}:{self.row}: {self.fault}"


Numbered = tuple[int, dict[str, Any] | BadRow]


def read_rows(path: Path | str) -> Iterator[Numbered]:
    """Yield number and object of each line of a JSON-lines file; a line that is no JSON object is bad, or has a key twice.

    Raises:
        ValueError: the file is missing.
    """
    with open_lines(path) as lines:
        for number, row in parse_each_line(lines, path):
            if isinstance(row, ValueError):
                yield number, BadRow(str(path), number, str(row).removeprefix(f"{path}:{number}: "))
            else:
                yield number, row


def sift(rows: Iterable[Numbered], source: str) -> tuple[dict[int, Question], list[BadRow]]:
    """Return the questions by row, and the rows that are none: by themselves, or by an id or kind that does not fit the others.

    The kind of a set, options or free text, is that of most of its rows.

    Raises:
        ValueError: there is no row at all.
    """
    parsed: dict[int, Question] = {}
    bad: list[BadRow] = []
    number = 0
    for number, row in rows:
        if isinstance(row, BadRow):
            bad.append(row)
            continue
        where = f"{source}:{number}"
        try:
            parsed[number] = parse_question_row(row, where)
        except ValueError as error:
            bad.append(BadRow(source, number, str(error).removeprefix(f"{where}: ")))
    if not number:
        raise ValueError(f"{source}: no questions; at least 1 is needed")
    questions, unfit = _fitting(parsed, source)
    return questions, sorted([*bad, *unfit], key=lambda row: row.row)


def _fitting(parsed: dict[int, Question], source: str) -> tuple[dict[int, Question], list[BadRow]]:
    """Return the questions of the most frequent kind with ids of their own, and the rows of the others."""
    kinds = Counter(question.free for question in parsed.values())
    first = {question.free: number for number, question in reversed(parsed.items())}  # row of each kind
    free = max(kinds, key=lambda kind: (kinds[kind], -first[kind]), default=False)
    questions: dict[int, Question] = {}
    bad: list[BadRow] = []
    ids: dict[str, int] = {}
    for number, question in parsed.items():
        where = f"{source}:{number}"
        error = other_kind(question, where, first[free]) if question.free != free else None
        if error is None and ids.setdefault(question.id, number) != number:
            error = repeated_question(question.id, where, f"row {ids[question.id]}")
        if error is None:
            questions[number] = question
        else:
            bad.append(BadRow(source, number, str(error).removeprefix(f"{where}: ")))
    return questions, bad


def unknown_field(row: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a row whose field is nearly that of a question.

    Other fields are the owner's affair. So is one that begins as a field that the row has, such as `answer_idx`.
    """
    for field in row:
        close = None if field in FIELDS else _near_field(field)
        if close and (close not in row or not field.startswith(close)):
            return f"unknown field {field!r}; did you mean {close}? A question has {', '.join(FIELDS)}"
    return None


@lru_cache(1000)  # rows have the same few fields, and to compare two takes longer than to read a row
def _near_field(name: str) -> str | None:
    return next(iter(get_close_matches(name.strip().lower(), FIELDS, n=1, cutoff=0.75)), None)


def rationales_of(value: object) -> dict[str, list[str | None]]:
    """Return by teacher the rationales that a row holds: `{TEACHER: text}`, null for none, or a list of texts.

    Raises:
        ValueError: it is nothing of this form.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"rationales is {type(value).__name__}; allowed is {{teacher: text}}")
    rationales: dict[str, list[str | None]] = {}
    for teacher, texts in value.items():
        listed = texts if isinstance(texts, list) else [texts]
        if fault := name_fault(teacher):
            raise ValueError(f"rationales has teacher {teacher!r:.80}; {fault.removeprefix('is no name; ')}")
        if not all(isinstance(text, (str, type(None))) for text in listed):
            raise ValueError(f"rationales of {teacher} is {texts!r:.60}; allowed is a text, null or a list of texts")
        rationales[teacher] = listed
    return rationales


def add_recorded(
    recorded: dict[str, list[dict]],
    questions: Mapping[int, Question],
    rationales: Mapping[int, Mapping[str, Sequence[str | None]]],
) -> None:
    """Add to each recorded teacher's rows what the questions' rows hold of it; several texts are numbered as samples."""
    for number, question in questions.items():
        for teacher, texts in rationales.get(number, {}).items():
            for sample, text in enumerate(texts):
                said = (text or "").strip()
                row = {"id": question.id, "rationale": said or None, "status": "ok" if said else "missing"}
                recorded.setdefault(teacher, []).append(row | ({"sample": sample} if len(texts) > 1 else {}))


def with_context(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row whose question's head is its context, if it has none: all but its last line, or its last sentence."""
    if row.get("context") or not isinstance(row.get("question"), str):
        return row
    context, question = split_context(row["question"])
    return row | {"context": context, "question": question}


def split_context(text: str) -> tuple[str, str]:
    """Split a string into context and question. The question is its last line, or of a single line the last sentence.

    No word is dropped: a sentence end that is missed or imagined only moves words from one part to the other.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) > 1:
        return "\n".join(lines[:-1]), lines[-1]
    sentences = SENTENCE_END.split(text.strip())
    return " ".join(sentences[:-1]), sentences[-1]


def refuse_bad(
    splits: Mapping[str, Sequence[Question]], bad: Sequence[BadRow], stop: bool, listed: Path | None = None
) -> None:
    """Refuse a set with bad rows, all of which are told, or with a split that they leave without a question.

    Args:
        stop: whether bad rows are refused where every split has questions
        listed: the file that has all of them

    Raises:
        ValueError: it is such a set; a line each for the first few rows.
    """
    empty = [split for split, questions in splits.items() if not questions]
    if not empty and not (bad and stop):
        return
    lines = [shorten(str(row), LONGEST) for row in bad[:SHOWN]]
    if len(bad) == 1 and not empty:
        lines[0] += " (data.on_bad_row: drop leaves such rows out)"
    if len(bad) > 1:
        advice = f"they leave no question of {' and '.join(empty)}; mend them" if empty else MEND
        lines.append(f"{len(bad)} bad rows{f'; all are in {listed}' if listed else ''}; {advice}")
    raise ValueError("\n".join(lines))


def count_faults(bad: Iterable[BadRow]) -> dict[str, int]:
    """Return how many rows have each kind of fault, the most frequent first."""
    return dict(Counter(_kind(row.fault) for row in bad).most_common())


def _kind(fault: str) -> str:
    """Return a short name of a fault, for counts: a key of the metrics."""
    return next(name for start, name in _KINDS.items() if re.match(start, fault, re.DOTALL))


_KINDS = {  # by how its sentence begins; what was found in the row stands behind that, or in quotes
    "not JSON": "not_json",
    "not UTF-8": "not_utf8",
    "found ": "not_json",
    "nested too deep|.{7}is half a character": "unreadable",
    "the key ": "key_twice",
    "unknown field ": "unknown_field",
    "no field ": "field_missing",
    "id .* ids must differ": "id_repeated",
    "id ": "id",
    "is a free-text|has options": "other_kind",
    "the question|question ": "question",
    "context ": "context",
    "rationales ": "rationales",
    "the answer .* more than once$": "answer_twice",
    "answer .* is none of the choices |the answer's label|answer .* must hold one of": "answer_unknown",
    "answer ": "answer",
    r"\d+ choices|choices? ": "choices",
    "labels ": "labels",
    "": "other",
}


def shorten(text: str, longest: int) -> str:
    """Return a text of at most so many characters."""
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."
