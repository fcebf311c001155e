"""Casebook's teachers: rules, not language models. Each reads one kind of clue well and the other kind badly.

They stand in for large models where there is no network and no GPU. They are free, instant and the same every time. They look
the clues up in the table that the report was written from, and they err at rates that we set. So they say nothing of real
models.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random

from tinyllm.casebook.world import CLUES, KINDS, Clue, read_clues, read_words
from tinyllm.records.questions import Question
from tinyllm.records.rationales import TeacherOutput


class Expert:
    """A teacher that reads clues of one kind. Of the other kind it only rationalises the answer that it is shown.

    It cites the clues of the report; where it errs, it cites an irrelevant word. Either way it says that they point to the
    gold answer, as a language model does that is shown the answer and asked to explain it. A teacher that is not forced
    explains the answer that it finds by itself.

    Args:
        kind: the kind of clue it reads well, `signs` or `care`.
        error_rate: how often it errs on a case that turns on this kind, 0 to 1.
        decline_rate: how often it declines to explain a case that turns on the other kind, 0 to 1.
        blind_error_rate: how often it errs where it explains such a case, 0 to 1.
        seed: another seed errs on other cases.
        misleading_rate: how often it cites instead a clue to another cause, which is not in the report, 0 to 1.
        padding: how many irrelevant words it cites as well; a verbose teacher cites all notes of a report.
        forced: whether it is shown the gold answer when it is asked for a rationale.
        unlabelled: ids of questions whose gold answer it is not shown all the same.

    Raises:
        ValueError: no such kind, or a rate outside 0 to 1.
    """

    def __init__(
        self,
        kind: str,
        error_rate: float,
        decline_rate: float,
        blind_error_rate: float,
        seed: int,
        misleading_rate: float = 0.0,
        padding: int = 0,
        forced: bool = True,
        unlabelled: Collection[str] = frozenset(),
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"expert: kind {kind!r}; allowed is {' or '.join(KINDS)}")
        rates = {
            "error_rate": error_rate,
            "decline_rate": decline_rate,
            "blind_error_rate": blind_error_rate,
            "misleading_rate": misleading_rate,
        }
        for name, rate in rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"expert: {name} is {rate}; allowed is 0 to 1")
        self.kind = kind
        self.error_rate = error_rate
        self.decline_rate = decline_rate
        self.blind_error_rate = blind_error_rate
        self.seed = seed
        self.misleading_rate = misleading_rate
        self.padding = padding
        self.forced = forced
        self.unlabelled = unlabelled

    def complete(self, questions: Sequence[Question]) -> list[TeacherOutput]:
        """Return a rationale or status `declined` for each question.

        A rationale names the gold answer, so never ask about a test question. A teacher that is not forced says what
        `examine` says. What it says of a question depends on that question alone, not on the others or their order.

        Raises:
            ValueError: a report without a clue, hence none of casebook's.
        """
        shown = [self.forced and question.id not in self.unlabelled for question in questions]
        return [self._explain(q) if gold else self._answer(q) for q, gold in zip(questions, shown, strict=True)]

    def examine(self, questions: Sequence[Question]) -> list[TeacherOutput]:
        """Return what it would answer by itself: the clues of its kind and where they point, or status `declined`.

        Where it errs, it takes an irrelevant word for a clue, and so names a cause at random.

        Raises:
            ValueError: as `complete`.
        """
        return [self._answer(question) for question in questions]

    def option_probabilities(self, questions: Sequence[Question]) -> list[list[float] | None]:
        """Return 1 - `error_rate` for the cause that it would answer, and for the others equal shares of the rest.

        Where it cannot read the clues, all are equally likely.

        Raises:
            ValueError: as `complete`.
        """
        return [self._probabilities(question) for question in questions]

    def _probabilities(self, question: Question) -> list[float] | None:
        options = len(question.choices)
        reading = self._read(question)
        if reading is None:
            return [1 / options] * options
        _, cause = reading
        others = self.error_rate / (options - 1)
        return [1 - self.error_rate if choice == cause else others for choice in question.choices]

    def _answer(self, question: Question) -> TeacherOutput:
        reading = self._read(question)
        return TeacherOutput(None, "declined") if reading is None else TeacherOutput(_point(*reading))

    def _read(self, question: Question) -> tuple[list[str], str] | None:
        """Return the words that it takes for clues, and the cause that it takes them to point to; None where it cannot read."""
        clues = _clues(question)
        if clues[0].kind != self.kind:
            return None
        cited = [clue.word for clue in clues]
        rng = Random(f"expert {self.seed} {self.kind} {question.id} {question.context} answer")
        if rng.random() < self.error_rate:
            wrong = rng.choice([word for word in read_words(question.context) if word not in cited])
            return [wrong], rng.choice(question.choices)
        return cited, clues[0].cause

    def _explain(self, question: Question) -> TeacherOutput:
        clues = _clues(question)
        rng = Random(f"expert {self.seed} {self.kind} {question.id} {question.context}")  # by SHA-512, never hash()
        can_read = clues[0].kind == self.kind
        cited = [clue.word for clue in clues]
        if rng.random() < (self.error_rate if can_read else self.blind_error_rate):
            cited = [rng.choice([word for word in read_words(question.context) if word not in cited])]
        if not can_read and rng.random() < self.decline_rate:
            return TeacherOutput(None, "declined")
        if self.misleading_rate and rng.random() < self.misleading_rate:
            cause = rng.choice([choice for choice in question.choices if choice != question.gold])
            cited = [rng.choice(CLUES[self.kind][cause])]
        return TeacherOutput(_point(self._padded(cited, question, rng), question.gold))

    def _padded(self, cited: list[str], question: Question, rng: Random) -> list[str]:
        """Return the words in the report's order, together with as many others as `padding` says."""
        if not self.padding:
            return cited
        words = read_words(question.context)
        others = [word for word in words if word not in cited]
        said = {*cited, *rng.sample(others, min(self.padding, len(others)))}
        return [word for word in dict.fromkeys([*words, *cited]) if word in said]


def _clues(question: Question) -> list[Clue]:
    clues = read_clues(question.context)
    if not clues:
        raise ValueError(f"{question.id}: no clue of casebook in its context; expert teachers read only casebook")
    return clues


def _point(cited: Sequence[str], cause: str) -> str:
    notes = f"note {cited[0]} points" if len(cited) == 1 else f"notes {', '.join(cited)} point"
    return f"The {notes} to {cause}."
