"""Choose which rationales to learn from, of those that the audit let pass, and how much each counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tinyllm.corpus.assemble import NOT_SELECTED, AuditedQuestion, refusal
from tinyllm.corpus.audited import AuditedTable
from tinyllm.corpus.helpfulness import helpfulness, read_cases

MARGIN = 0.01  # nats by which a rationale has to raise the gold answer's log-probability
Weights = np.ndarray  # (rows, teachers), 0 where a rationale is not to be learnt from


def keep_selected(kind: str, audited: Iterable[AuditedQuestion]) -> Iterator[AuditedQuestion]:
    """Yield the questions with those of their rationales that the selection `kind` keeps; `all` keeps what passed the audit.

    So does `learnable`: the student says what it finds likely, and it is not here (tinyllm/training/samples/learnable.py).

    Raises:
        ValueError: `helpful` is asked of questions without options.
    """
    if kind in ("all", "learnable"):
        yield from audited
    else:
        table = AuditedTable(audited)  # each rationale is measured by all of them
        yield from map(select, table, rationale_weights(kind, table))


def rationale_weights(kind: str, audited: Sequence[AuditedQuestion]) -> Weights:
    """Return the weight of every teacher's rationale, row by row, as the selection `kind` has it.

    Raises:
        ValueError: `helpful` is asked of questions without options.
    """
    return {"best": select_most_similar, "helpful": select_helpful}[kind](audited)


def select(audited: AuditedQuestion, weights: Sequence[float]) -> AuditedQuestion:
    """Return the question's row without the rationales of weight 0 and their alternatives.

    Those go to the quarantine as not_selected.

    Args:
        weights: by teacher, in the order of its verdicts
    """
    dropped = {
        teacher
        for (teacher, verdict), weight in zip(audited.verdicts.items(), weights, strict=True)
        if verdict.status == "ok" and not weight
    }
    verdicts = {
        teacher: replace(verdict, status=NOT_SELECTED) if teacher in dropped else verdict
        for teacher, verdict in audited.verdicts.items()
    }
    targets = {task: text for task, text in audited.row["targets"].items() if task not in dropped}
    unequal = {
        teacher: round(float(weight), 4)
        for teacher, weight in zip(audited.verdicts, weights, strict=True)
        if teacher in targets and weight != 1
    }
    row = {**audited.row, "targets": targets} | ({"weights": unequal} if unequal else {})
    if "alternatives" in row:
        kept = {teacher: texts for teacher, texts in row.pop("alternatives").items() if teacher not in dropped}
        row |= {"alternatives": kept} if kept else {}
    refusals = [
        refusal(audited.question, audited.split, teacher, replace(sample, status=NOT_SELECTED))
        for teacher in verdicts
        if teacher in dropped
        for sample in (verdicts[teacher], *verdicts[teacher].alternatives)
    ]
    return replace(audited, row=row, verdicts=verdicts, quarantine=[*audited.quarantine, *refusals])


@dataclass
class _Usable:
    """One teacher's usable rationales."""

    rows: list[int] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    state_gold: list[bool] = field(default_factory=list)


def select_most_similar(audited: Sequence[AuditedQuestion]) -> Weights:
    """Choose one rationale a question: of those that state the gold answer, else of all, the most alike to it.

    Alike is the cosine of the TF-IDF vectors of the rationale and of the question with its gold answer; of equals the first.

    Source: arXiv 2602.01064 chooses by similarity, too; there it is that of a sentence encoder.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # slow to import

    questions, usable = _read_texts(audited)
    vectorizer = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True)
    question_vectors = vectorizer.fit_transform(questions)
    scores = np.full((len(questions), len(usable)), -1.0)
    for column, rationales in enumerate(usable):
        if not rationales.rows:
            continue
        vectors = vectorizer.transform(rationales.texts)
        alike = np.asarray(vectors.multiply(question_vectors[rationales.rows]).sum(axis=1)).ravel()
        scores[rationales.rows, column] = np.add(alike, np.multiply(2.0, rationales.state_gold))
    weights = np.zeros_like(scores)
    for row, row_scores in enumerate(scores):
        if row_scores.max(initial=-1.0) >= 0:
            weights[row, int(row_scores.argmax())] = 1.0
    return weights


def _read_texts(audited: Sequence[AuditedQuestion]) -> tuple[list[str], list[_Usable]]:
    """Return each question with its gold answer, and by teacher the usable rationales."""
    questions = []
    usable = [_Usable() for _ in audited[0].verdicts] if audited else []
    for row, audited_question in enumerate(audited):
        question = audited_question.question
        questions.append(f"{question.context} {question.question} {question.gold}")
        for rationales, verdict in zip(usable, audited_question.verdicts.values(), strict=True):
            if verdict.status == "ok":
                rationales.rows.append(row)
                rationales.texts.append(verdict.rationale.text)
                rationales.state_gold.append(verdict.rationale.stated == question.answer)
    return questions, usable


def select_helpful(audited: Sequence[AuditedQuestion]) -> Weights:
    """Choose the rationales that tell more of the gold answer than the question does, without naming an option.

    Of those in the same words only the first is kept, so that a teacher gains nothing from a copy. A teacher of whom less of
    train is kept than of another counts as much less.

    Raises:
        ValueError: the questions have no options.
    """
    cases = read_cases(audited)
    kept = helpfulness(cases) > MARGIN  # not so where it is NaN
    for row, case in enumerate(cases):
        seen: set[tuple[str, ...]] = set()
        for column, rationale in enumerate(case.rationales):
            if rationale and kept[row, column]:
                kept[row, column] = rationale.words not in seen
                seen.add(rationale.words)
    counts = kept[[case.train for case in cases]].sum(axis=0)
    return kept * (counts / max(1, counts.max(initial=0)))
