"""The training corpus: one row a question with a target for every task, and a record of every rationale left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tinyllm.corpus.audit import find_fault
from tinyllm.params.checks import TEACHER_NAME, TEACHER_NAMES
from tinyllm.params.schema import Audit
from tinyllm.parsing import ParsedQuestion, ParsedRationale, Thinking, parse_question, parse_rationale
from tinyllm.records.questions import Question, input_text

NOT_SELECTED = "not_selected"  # the status of a rationale that passed the audit and is not learnt from
ANSWER = "answer"  # the task every row has; no teacher may bear its name

NOTHING = ParsedRationale("", (), frozenset(), None)

FindRationale = Callable[[Question], dict | None]  # the row of a question in a teacher's rationale file


@dataclass(frozen=True)
class Verdict:
    """What became of one teacher's rationale for one question; `status` is "ok" or the reason it is not used."""

    status: str
    raw: str | None = None
    rationale: ParsedRationale = NOTHING  # also of one that the audit refused


@dataclass(frozen=True)
class AuditedQuestion:
    """A question's row of the corpus, the verdict on each teacher, and the rows of those that are left out of it."""

    question: Question
    split: str
    row: dict
    verdicts: dict[str, Verdict]
    quarantine: list[dict]


def assemble(
    splits: Mapping[str, Iterable[Question]],
    rationales: Mapping[str, FindRationale],
    limits: Audit,
    thinking: Thinking = "drop",
) -> Iterator[AuditedQuestion]:
    """Join questions and rationales, in the order of splits, questions and teachers; one question is held at a time.

    Args:
        splits: the questions by split, train and valid; never test, whose questions no teacher sees with gold. No id stands
            twice.
        rationales: by teacher what finds its row of a question.

    Raises:
        ValueError: a teacher's name cannot be a task and a metrics key, or a row does not fit its question.
    """
    _check_names(rationales)
    for split, questions in splits.items():
        for question in questions:
            rows = {teacher: find(question) for teacher, find in rationales.items()}
            yield audit_question(question, split, rows, limits, thinking)


def audit_question(
    question: Question, split: str, rationales: Mapping[str, dict | None], limits: Audit, thinking: Thinking = "drop"
) -> AuditedQuestion:
    """Judge what each teacher said of one question; one without a usable rationale is absent from the row's targets.

    Option probabilities come along whatever became of the rationale, and with them the options.

    Args:
        rationales: by teacher its row in the rationale file, None where it has none.
    """
    parsed = parse_question(question)
    verdicts = {teacher: _verdict(row, parsed, limits, thinking) for teacher, row in rationales.items()}
    usable = {teacher: verdict.rationale.text for teacher, verdict in verdicts.items() if verdict.status == "ok"}
    row = {
        "id": question.id,
        "context": question.context,
        "input": input_text(question),
        "targets": {ANSWER: question.gold} | usable,
    }
    probabilities = {
        teacher: rationale["option_probabilities"]
        for teacher, rationale in rationales.items()
        if rationale and rationale.get("option_probabilities") is not None
    }
    if probabilities:
        row |= {"option_probabilities": probabilities, "choices": list(question.choices)}
    quarantine = [
        refusal(question, split, teacher, verdict) for teacher, verdict in verdicts.items() if verdict.status != "ok"
    ]
    return AuditedQuestion(question, split, row, verdicts, quarantine)


def refusal(question: Question, split: str, teacher: str, verdict: Verdict) -> dict:
    """Return the row of the quarantine of a rationale that is not learnt from."""
    return {"id": question.id, "split": split, "teacher": teacher, "status": verdict.status, "rationale": verdict.raw}


def _check_names(teachers: Iterable[str]) -> None:
    for teacher in teachers:
        if not TEACHER_NAME.fullmatch(teacher):
            raise ValueError(f"teacher {teacher!r}; {TEACHER_NAMES}")


def _verdict(row: dict | None, question: ParsedQuestion, limits: Audit, thinking: Thinking) -> Verdict:
    if row is None or row["status"] != "ok":
        return Verdict(row["status"] if row else "missing")
    rationale = parse_rationale(row["rationale"], question, thinking)
    return Verdict(find_fault(rationale, question, limits) or "ok", row["rationale"], rationale)
