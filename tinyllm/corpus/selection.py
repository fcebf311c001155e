"""Choose which rationales to learn from, of those that the audit let pass, and how much each counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from tinyllm.corpus.assemble import NOT_SELECTED, AuditedQuestion, refusal
from tinyllm.corpus.helpfulness import helpfulness, without_options

MARGIN = 0.01  # nats by which a rationale has to raise the gold answer's log-probability
Weights = np.ndarray  # (rows, teachers), 0 where a rationale is not to be learnt from


def keep_selected(kind: str, audited: Iterable[AuditedQuestion]) -> Iterator[AuditedQuestion]:
    """Yield the questions with those of their rationales that the selection `kind` keeps; `all` keeps what passed the audit.

    Raises:
        ValueError: `helpful` is asked of questions without options.
    """
    if kind == "all":
        yield from audited
    else:
        everything = list(audited)  # one rationale is measured by others
        yield from map(select, everything, rationale_weights(kind, everything))


def rationale_weights(kind: str, judged: Sequence[AuditedQuestion]) -> Weights:
    """Return the weight of every teacher's rationale, row by row, as the selection `kind` has it.

    Raises:
        ValueError: `helpful` is asked of questions without options.
    """
    return {"best": select_most_similar, "helpful": select_helpful}[kind](judged)


def select(judged: AuditedQuestion, weights: Sequence[float]) -> AuditedQuestion:
    """Return the question's row without the rationales of weight 0; those go to the quarantine as not_selected.

    Args:
        weights: by teacher, in the order of its verdicts
    """
    out = {
        teacher
        for (teacher, verdict), weight in zip(judged.verdicts.items(), weights, strict=True)
        if verdict.status == "ok" and not weight
    }
    verdicts = {
        teacher: replace(verdict, status=NOT_SELECTED) if teacher in out else verdict
        for teacher, verdict in judged.verdicts.items()
    }
    targets = {task: text for task, text in judged.row["targets"].items() if task not in out}
    own = {
        teacher: round(float(weight), 4)
        for teacher, weight in zip(judged.verdicts, weights, strict=True)
        if teacher in targets and weight != 1
    }
    row = {**judged.row, "targets": targets} | ({"weights": own} if own else {})
    left = [
        refusal(judged.question, judged.split, teacher, verdict)
        for teacher, verdict in verdicts.items()
        if teacher in out
    ]
    return replace(judged, row=row, verdicts=verdicts, quarantine=[*judged.quarantine, *left])


def select_most_similar(judged: Sequence[AuditedQuestion]) -> Weights:
    """Choose one rationale a question: of those that state the gold answer, else of all, the most alike to it.

    Alike is the cosine of the TF-IDF vectors of the rationale and of the question with its gold answer; of equals the first.

    Source: arXiv 2602.01064 chooses by similarity, too; there it is that of a sentence encoder.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer  # slow to import

    texts = [f"{one.question.context} {one.question.question} {one.question.gold}" for one in judged]
    vectorizer = TfidfVectorizer(token_pattern=r"\w+", sublinear_tf=True)
    asked = vectorizer.fit_transform(texts)
    teachers = list(judged[0].verdicts) if judged else []
    scores = np.full((len(judged), len(teachers)), -1.0)
    for column, teacher in enumerate(teachers):
        usable = [row for row, one in enumerate(judged) if one.verdicts[teacher].status == "ok"]
        if not usable:
            continue
        said = vectorizer.transform([judged[row].verdicts[teacher].cleaned or "" for row in usable])
        alike = np.asarray(said.multiply(asked[usable]).sum(axis=1)).ravel()
        states = [judged[row].verdicts[teacher].stated == judged[row].question.answer for row in usable]
        scores[usable, column] = np.add(alike, np.multiply(2.0, states))
    weights = np.zeros_like(scores)
    for row, found in enumerate(scores):
        if found.max(initial=-1.0) >= 0:
            weights[row, int(found.argmax())] = 1.0
    return weights


def select_helpful(judged: Sequence[AuditedQuestion]) -> Weights:
    """Choose the rationales that tell more of the gold answer than the question does, without naming an option.

    Of those in the same words only the first is kept, so that a teacher gains nothing from a copy. A teacher of whom less of
    train is kept than of another counts as much less.

    Raises:
        ValueError: the questions have no options.
    """
    kept = helpfulness(judged) > MARGIN  # not so where it is NaN
    for row, one in enumerate(judged):
        seen: set[tuple[str, ...]] = set()
        for column, verdict in enumerate(one.verdicts.values()):
            if kept[row, column]:
                words = without_options(verdict.cleaned or "", one.question)
                kept[row, column] = words not in seen
                seen.add(words)
    counts = kept[[one.split == "train" for one in judged]].sum(axis=0)
    return kept * (counts / max(1, counts.max(initial=0)))
