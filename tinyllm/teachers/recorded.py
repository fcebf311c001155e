"""A teacher that was asked earlier, by someone else: its rationales are read from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tinyllm.records.questions import Question
from tinyllm.records.rationales import TeacherOutput, read_rationales, sample_of


class Recorded:
    """Returns the rationale that was recorded with a question, or status `missing`."""

    def __init__(self, path: Path, source: str) -> None:
        """
        Args:
            source: what an error calls the place that the rationales came from

        Raises:
            ValueError: there is no such file, or a row of it is faulty.
        """
        if not path.is_file():
            names = ", ".join(sorted(other.stem for other in path.parent.glob("*.jsonl"))) or "none"
            raise ValueError(f"{source}: no rationales of teacher {path.stem}; recorded with these questions: {names}")
        self.rows: dict[str, list[dict]] = {}  # by id, in the order of their samples
        for row in sorted(read_rationales(path), key=sample_of):
            self.rows.setdefault(row["id"], []).append(row)

    def complete(self, questions: Sequence[Question]) -> list[TeacherOutput]:
        return [self._completion(question) for question in questions]

    def examine(self, questions: Sequence[Question]) -> list[TeacherOutput]:
        """
        Raises:
            ValueError: always; it was not recorded what the teacher answers by itself.
        """
        raise ValueError("a recorded teacher cannot answer test questions: it was asked for rationales only")

    def option_probabilities(self, questions: Sequence[Question]) -> list[list[float] | None]:
        """
        Raises:
            ValueError: always; as for `examine`.
        """
        raise ValueError(
            "a recorded teacher cannot tell how likely it finds an option: it was asked for rationales only; "
            "set corpus.option_probabilities to false"
        )

    def _completion(self, question: Question) -> TeacherOutput:
        rows = self.rows.get(question.id, [{"rationale": None, "status": "missing"}])
        first, *further = (TeacherOutput(row["rationale"], row["status"]) for row in rows)
        return replace(first, further=tuple(further))
