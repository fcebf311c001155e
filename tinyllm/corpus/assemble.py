"""The training corpus: one row a question with a target for every task, and a record of every rationale left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tinyllm.corpus.audit import find_fault
from tinyllm.params.checks import TEACHER_NAME, TEACHER_NAMES
from tinyllm.params.schema import Audit
from tinyllm.parsing import ParsedQuestion, ParsedRationale, Thinking, parse_question, parse_rationale
from tinyllm.records.questions import Question, input_text

NOT_SELECTED = "not_selected"  # the status of a rationale that passed the audit and is not learnt from
ANSWER = "answer"  # the task every row has; no teacher may bear its name

NOTHING = ParsedRationale("", (), frozenset(), None)

FindRationales = Callable[[Question], Sequence[dict]]  # a question's rows in a teacher's rationale file, by sample


@dataclass(frozen=True)
class Verdict:
    """What became of one teacher's rationale for one question; `status` is "ok" or the reason it is not used.

    Of several samples it is the first that passed, and the first of all where none did.
    """

    status: str
    raw: str | None = None
    rationale: ParsedRationale = NOTHING  # also of one that the audit refused
    sample: int | None = None  # None where the question was asked once
    alternatives: tuple[Verdict, ...] = ()  # the other samples that passed


@dataclass(frozen=True)
class AuditedQuestion:
    """A question's row of the corpus, the verdict on each teacher, and the rows of those that are left out of it."""

    question: Question
    split: str
    row: dict
    verdicts: dict[str, Verdict]
    quarantine: list[dict]
    samples: dict[str, list[int]] = field(default_factory=dict)  # by teacher, how many there are and how many passed


def assemble(
    splits: Mapping[str, Iterable[Question]],
    rationales: Mapping[str, FindRationales],
    limits: Audit,
    thinking: Thinking = "drop",
) -> Iterator[AuditedQuestion]:
    """Join questions and rationales, in the order of splits, questions and teachers; one question is held at a time.

    Args:
        splits: the questions by split, train and valid; never test, whose questions no teacher sees with gold. No id stands
            twice.
        rationales: by teacher what finds its rows of a question.

    Raises:
        ValueError: a teacher's name cannot be a task and a metrics key, or a row does not fit its question.
    """
    _check_names(rationales)
    for split, questions in splits.items():
        for question in questions:
            rows = {teacher: find(question) for teacher, find in rationales.items()}
            yield audit_question(question, split, rows, limits, thinking)


def audit_question(
    question: Question, split: str, rationales: Mapping[str, Sequence[dict]], limits: Audit, thinking: Thinking = "drop"
) -> AuditedQuestion:
    """Judge what each teacher said of one question; one without a usable rationale is absent from the row's targets.

    Option probabilities come along whatever became of the rationale, and with them the options.

    Args:
        rationales: by teacher its rows in the rationale file, one a sample; empty where it has none.
    """
    parsed = parse_question(question)
    judged = {teacher: _judge(rows, parsed, limits, thinking) for teacher, rows in rationales.items()}
    verdicts = {teacher: _chosen(samples) for teacher, samples in judged.items()}
    usable = {teacher: verdict.rationale.text for teacher, verdict in verdicts.items() if verdict.status == "ok"}
    row = {
        "id": question.id,
        "context": question.context,
        "input": input_text(question),
        "targets": {ANSWER: question.gold} | usable,
    }
    probabilities = {
        teacher: shares[0]
        for teacher, rows in rationales.items()
        if (shares := [row["option_probabilities"] for row in rows if row.get("option_probabilities") is not None])
    }
    if probabilities:
        row |= {"option_probabilities": probabilities, "choices": list(question.choices)}
    if further := {
        teacher: [sample.rationale.text for sample in verdict.alternatives]
        for teacher, verdict in verdicts.items()
        if verdict.alternatives
    }:
        row["alternatives"] = further
    quarantine = [
        refusal(question, split, teacher, sample)
        for teacher, samples in judged.items()
        for sample in samples
        if sample.status != "ok"
    ]
    counts = {
        teacher: [len(rationales[teacher]), sum(sample.status == "ok" for sample in samples)]
        for teacher, samples in judged.items()
    }
    return AuditedQuestion(question, split, row, verdicts, quarantine, counts)


def refusal(question: Question, split: str, teacher: str, verdict: Verdict) -> dict:
    """Return the row of the quarantine of a rationale that is not learnt from."""
    sample = {} if verdict.sample is None else {"sample": verdict.sample}
    named = {"id": question.id, "split": split, "teacher": teacher, **sample}
    return {**named, "status": verdict.status, "rationale": verdict.raw}


def _check_names(teachers: Iterable[str]) -> None:
    for teacher in teachers:
        if not TEACHER_NAME.fullmatch(teacher):
            raise ValueError(f"teacher {teacher!r}; {TEACHER_NAMES}")


def _judge(rows: Sequence[dict], question: ParsedQuestion, limits: Audit, thinking: Thinking) -> list[Verdict]:
    """Return the verdict on each sample; of a question without any, one that it is missing."""
    if not rows:
        return [Verdict("missing")]
    verdicts = [_verdict(row, question, limits, thinking) for row in rows]
    if len(rows) == 1:
        return verdicts
    return [replace(verdict, sample=row.get("sample")) for verdict, row in zip(verdicts, rows, strict=True)]


def _chosen(samples: Sequence[Verdict]) -> Verdict:
    """Return the verdict on the first sample that passed, with the others that did; on the first where none passed."""
    passed = [sample for sample in samples if sample.status == "ok"]
    if len(passed) < 2:
        return passed[0] if passed else samples[0]
    return replace(passed[0], alternatives=tuple(passed[1:]))


def _verdict(row: dict, question: ParsedQuestion, limits: Audit, thinking: Thinking) -> Verdict:
    if row["status"] != "ok":
        return Verdict(row["status"])
    rationale = parse_rationale(row["rationale"], question, thinking)
    return Verdict(find_fault(rationale, question, limits) or "ok", row["rationale"], rationale)
