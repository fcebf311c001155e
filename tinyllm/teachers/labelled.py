"""Which questions of train keep their gold answer: no teacher is shown that of another one, nor an example with it."""

from __future__ import annotations

from collections.abc import Sequence

from tinyllm.params.schema import Params
from tinyllm.records.questions import Question


def unlabelled_ids(train: Sequence[Question], labelled: int | None) -> frozenset[str]:
    """Return the ids of the questions behind the first `labelled`; of None there are none."""
    return frozenset() if labelled is None else frozenset(question.id for question in train[labelled:])


def gold_shown(
    name: str, params: Params, train: Sequence[Question], questions: Sequence[Question]
) -> list[bool | None] | None:
    """Return of each question whether the teacher was shown its gold answer, None where that is unknown.

    None in place of the list means that nobody asks, since every question of train keeps its gold.
    """
    if params.data.labelled is None:
        return None
    teacher, unlabelled = params.teachers[name], unlabelled_ids(train, params.data.labelled)
    if teacher.backend == "recorded":
        return [teacher.forced for _ in questions]
    return [params.prompt.teacher_forcing and question.id not in unlabelled for question in questions]
