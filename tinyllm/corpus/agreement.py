"""How often two teachers state the same answer, of the train questions on which both state one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from tinyllm.corpus.inputs import RationaleTable
from tinyllm.parsing import parse_question, parse_rationale
from tinyllm.records.questions import Question


@dataclass
class Agreement:
    """Of two teachers: on how many questions both state an answer, and on how many of these the same."""

    both: int = 0
    same: int = 0


def teacher_agreement(
    questions: Iterable[Question], tables: Mapping[str, RationaleTable], thinking: Literal["drop", "keep"]
) -> dict[tuple[str, str], Agreement]:
    """Return the agreement of every two teachers, each pair once, by the first rationale of each question.

    Args:
        tables: the teachers' rationale files, by name
        thinking: of `corpus.thinking`
    """
    found = {pair: Agreement() for pair in combinations(tables, 2)}
    for question in questions:
        parsed = parse_question(question)
        stated = {}
        for teacher, table in tables.items():
            rows = [row for row in table.look_up(question) if row["status"] == "ok"]
            stated[teacher] = parse_rationale(rows[0]["rationale"], parsed, thinking).stated if rows else None
        for (one, other), agreement in found.items():
            if stated[one] is not None and stated[other] is not None:
                agreement.both += 1
                agreement.same += stated[one] == stated[other]
    return found
