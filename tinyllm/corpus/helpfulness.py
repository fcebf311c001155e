"""How much more of the gold answer a rationale tells than its question does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from tinyllm.corpus.assemble import AuditedQuestion
from tinyllm.corpus.audit import STOP_WORDS
from tinyllm.corpus.probe import Probe, ProbeInput
from tinyllm.records.questions import Question, normalise

FOLDS = 5  # a rationale is measured by probes that have not read its question
HALVES = 2  # of the questions that they have read


@dataclass(frozen=True)
class _Case:
    """A question and its usable rationales, as a probe reads them."""

    asked: ProbeInput
    said: tuple[ProbeInput | None, ...]  # by teacher
    answer: int
    train: bool
    fold: int
    half: int


def helpfulness(judged: Sequence[AuditedQuestion]) -> np.ndarray:
    """Return how helpful each usable rationale is, in nats: (rows, teachers), NaN where there is none.

    It is the log of a ratio: of the probability of the gold answer to a probe that reads the rationale, with every option's
    text taken out, and of that to the same probe when it reads the question. Probes learn from other questions of train and
    their rationales, two of them from a half each. A single rationale is measured badly and a teacher's mean well, so each
    value is drawn towards its teacher's mean, as far as the two halves disagree.

    Raises:
        ValueError: the questions have no options.

    Source: pointwise V-information (Ethayarajh et al., ICML 2022), for rationales in REV (Chen et al., ACL 2023), there by
        language models; the shrinkage is Kelley's, with the reliability by Spearman and Brown.
    """
    if any(one.question.free for one in judged):
        raise ValueError("corpus.selection: helpful, but the questions have no options; use all or best")
    cases = [_case(one) for one in judged]
    train = np.array([case.train for case in cases], dtype=bool)
    values = np.full((HALVES, len(cases), len(cases[0].said) if cases else 0), np.nan)
    for fold in range(FOLDS):
        rows = [row for row, case in enumerate(cases) if case.fold == fold]
        for half in range(HALVES):
            known = [case for case in cases if case.train and case.fold != fold and case.half == half]
            if rows and known:
                values[half, rows] = _measured([cases[row] for row in rows], _probe(known))
    return _towards_means(values, train)


def without_options(text: str, question: Question) -> tuple[str, ...]:
    """Return the different words of a text that carry meaning, sorted, once every option's text is taken out."""
    bare = f" {normalise(text)} "
    for choice in sorted(map(normalise, question.choices), key=len, reverse=True):
        bare = bare.replace(f" {choice} ", " ")
    return _words(bare)


def _case(one: AuditedQuestion) -> _Case:
    question = one.question
    options = tuple(_words(normalise(choice)) for choice in question.choices)
    said = tuple(
        ProbeInput(without_options(verdict.cleaned or "", question), options) if verdict.status == "ok" else None
        for verdict in one.verdicts.values()
    )
    asked = ProbeInput(_words(normalise(f"{question.context} {question.question}")), options)
    draw = Random(f"helpfulness {question.id}")  # by the question alone, so that no order matters
    fold, half = draw.randrange(FOLDS), draw.randrange(HALVES)
    train = one.split == "train"
    return _Case(asked, said, question.choices.index(question.gold), train, fold if train else 0, half)


def _words(normalised: str) -> tuple[str, ...]:
    return tuple(sorted(set(normalised.split()) - STOP_WORDS))


def _probe(cases: Sequence[_Case]) -> Probe:
    """Return a probe that has learnt from the questions and from all that was said of them."""
    readings = [(reading, case.answer) for case in cases for reading in (case.asked, *case.said) if reading]
    return Probe([reading for reading, _ in readings], [answer for _, answer in readings])


def _measured(cases: Sequence[_Case], probe: Probe) -> np.ndarray:
    """Return by case and teacher how much more the rationale tells the probe than the question, NaN where there is none."""
    alone = probe.log_probabilities([case.asked for case in cases])
    values = np.full((len(cases), len(cases[0].said)), np.nan)
    places = [(row, column) for row, case in enumerate(cases) for column, said in enumerate(case.said) if said]
    if not places:
        return values
    found = probe.log_probabilities([reading for case in cases for reading in case.said if reading])
    for (row, column), logs in zip(places, found, strict=True):
        answer = cases[row].answer
        values[row, column] = logs[answer] - alone[row][answer]
    return values


def _towards_means(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the means over halves (rows, teachers), each drawn towards its teacher's mean over train.

    Args:
        values: (halves, rows, teachers)
        train: (rows,), True in train
    """
    present = ~np.isnan(values).any(axis=0)  # (rows, teachers)
    out = np.full(present.shape, np.nan)
    counted = present & train[:, None]
    middle = {t: values[:, counted[:, t], t].mean() for t in range(present.shape[1]) if counted[:, t].any()}
    apart = [values[:, counted[:, t], t] - values[:, counted[:, t], t].mean(axis=1, keepdims=True) for t in middle]
    reliability = _reliability(np.concatenate(apart, axis=1)) if apart else 0.0
    for t, mean in middle.items():
        own = values[:, present[:, t], t].mean(axis=0)
        out[present[:, t], t] = mean + reliability * (own - mean)
    return out


def _reliability(apart: np.ndarray) -> float:
    """Return the share of the variance of two halves' mean that is no noise, by their correlation; 0 to 1.

    Args:
        apart: (2, values), each half's less its mean
    """
    first, second = apart
    size = float(np.sqrt((first @ first) * (second @ second)))
    correlation = max(0.0, float(first @ second) / size) if size else 0.0
    return 2 * correlation / (1 + correlation)
