"""What the corpus is made of: questions and rationale files of any size, read and checked once, rows found by id."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from tinyllm.corpus.arrow import ArrowRows, IdIndex
from tinyllm.records.questions import Question, iter_questions, repeated_question
from tinyllm.records.rationales import check_fits, iter_rationales, repeated_rationale, sample_of


class QuestionTable:
    """The questions of several splits.

    Args:
        paths: by split its file

    Raises:
        ValueError: a file is missing or faulty, or an id stands twice; the message names file and line.
    """

    def __init__(self, paths: Mapping[str, Path | str]) -> None:
        import pyarrow as pa  # slow to import

        columns = {
            "id": pa.string(),
            "question": pa.string(),
            "choices": pa.list_(pa.string()),
            "answer": pa.string(),  # of options the index
            "context": pa.string(),
            "split": pa.string(),
            "line": pa.int64(),
        }
        self._rows = ArrowRows(columns, _question_rows(paths))
        if repeat := IdIndex(self._rows).first_repeat():
            row, first = repeat
            path, first_path = paths[row["split"]], paths[first["split"]]
            place = f"row {first['line']}" if path == first_path else f"{first_path}:{first['line']}"
            raise repeated_question(row["id"], f"{path}:{row['line']}", place)

    def of(self, split: str) -> Iterator[Question]:
        """Yield the questions of a split, in order."""
        for row in self._rows:
            if row["split"] == split:
                yield _question(row)


class RationaleTable:
    """What one teacher said of the questions.

    Raises:
        ValueError: the file is missing or faulty, or an id has a sample twice; the message names file and line.
    """

    def __init__(self, path: Path | str) -> None:
        import pyarrow as pa  # slow to import

        columns = {
            "id": pa.string(),
            "sample": pa.int64(),
            "rationale": pa.string(),
            "status": pa.string(),
            "option_probabilities": pa.string(),  # as JSON, in which 1 is not 1.0
            "forced": pa.bool_(),  # whether the teacher was shown the gold answer
            "line": pa.int64(),
        }
        self._path = path
        self._rows = ArrowRows(columns, _rationale_rows(path))
        self._index = IdIndex(self._rows)
        self._found = 0
        if repeat := self._index.first_repeat(lambda row: (row["id"], sample_of(row))):
            row, first = repeat
            raise repeated_rationale(row, f"{path}:{row['line']}", first["line"])

    def find(self, question: Question) -> list[dict]:
        """Return the rows of a question in the order of their samples; a question is looked up once.

        Raises:
            ValueError: it has probabilities of other options than the question; the message names file and line.
        """
        rows = self.look_up(question)
        self._found += len(rows)
        return rows

    def look_up(self, question: Question) -> list[dict]:
        """Return what `find` does, of a question that may be looked up again.

        Raises:
            ValueError: as `find`.
        """
        rows = [
            row | {"option_probabilities": json.loads(row["option_probabilities"] or "null")}
            for row in self._index.find(question.id)
        ]
        for row in rows:
            check_fits(row, question, f"{self._path}:{row['line']}")
        return sorted(rows, key=sample_of)

    def unknown(self) -> int:
        """Return how many rows are of no question that was looked up so far."""
        return len(self._rows) - self._found


def _question_rows(paths: Mapping[str, Path | str]) -> Iterator[dict]:
    for split, path in paths.items():
        for line, question in iter_questions(path):
            yield vars(question) | {"answer": str(question.answer), "split": split, "line": line}


def _question(row: dict) -> Question:
    answer = int(row["answer"]) if row["choices"] else row["answer"]
    return Question(row["id"], row["question"], tuple(row["choices"]), answer, row["context"])


def _rationale_rows(path: Path | str) -> Iterator[dict]:
    for line, row in iter_rationales(path):
        probabilities = row.get("option_probabilities")
        yield {
            "id": row["id"],
            "sample": row.get("sample"),
            "rationale": row["rationale"],
            "status": row["status"],
            "option_probabilities": None if probabilities is None else json.dumps(probabilities),
            "forced": forced if isinstance(forced := row.get("forced"), bool) else None,
            "line": line,
        }
