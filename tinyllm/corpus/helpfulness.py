"""How much more of the gold answer a rationale tells than its question does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from tinyllm.corpus.assemble import AuditedQuestion
from tinyllm.corpus.probe import Probe, ProbeInput
from tinyllm.parsing.words import STOP_WORDS
from tinyllm.records.questions import normalise

FOLDS = 5  # a rationale is measured by probes that have not read its question
HALVES = 2  # of the questions that they have read


@dataclass(frozen=True)
class Case:
    """A question and its usable rationales, as a probe reads them."""

    question: ProbeInput
    rationales: tuple[ProbeInput | None, ...]  # by teacher
    answer: int
    train: bool
    fold: int
    half: int


def read_cases(audited: Iterable[AuditedQuestion]) -> list[Case]:
    """Return what a probe reads of each question.

    Raises:
        ValueError: the questions have no options.
    """
    return [_case(question) for question in audited]


def helpfulness(cases: Sequence[Case]) -> np.ndarray:
    """Return how helpful each usable rationale is, in nats: (rows, teachers), NaN where there is none.

    It is the log of a ratio: of the probability of the gold answer to a probe that reads the rationale, with every option's
    text taken out, and of that to the same probe when it reads the question. Probes learn from other questions of train and
    their rationales, two of them from a half each. A single rationale is measured badly and a teacher's mean well, so each
    value is drawn towards its teacher's mean, as far as the two halves disagree.

    Source: pointwise V-information (Ethayarajh et al., ICML 2022), for rationales in REV (Chen et al., ACL 2023), there by
        language models; the shrinkage is Kelley's, with the reliability by Spearman and Brown.
    """
    train = np.array([case.train for case in cases], dtype=bool)
    values = np.full((HALVES, len(cases), len(cases[0].rationales) if cases else 0), np.nan)
    for fold in range(FOLDS):
        rows = [row for row, case in enumerate(cases) if case.fold == fold]
        for half in range(HALVES):
            known = [case for case in cases if case.train and case.fold != fold and case.half == half]
            if rows and known:
                values[half, rows] = _measured([cases[row] for row in rows], _probe(known))
    return _towards_means(values, train)


def without_options(text: str, options: Iterable[str]) -> tuple[str, ...]:
    """Return the different words of a text that carry meaning, sorted, once every option's text is taken out.

    Args:
        options: normalised
    """
    bare = f" {normalise(text)} "
    for option in sorted(options, key=len, reverse=True):
        bare = bare.replace(f" {option} ", " ")
    return _words(bare)


def _case(audited: AuditedQuestion) -> Case:
    question = audited.question
    if question.free:
        raise ValueError("corpus.selection: helpful, but the questions have no options; use all or best")
    choices = [normalise(choice) for choice in question.choices]
    options = tuple(map(_words, choices))
    rationales = tuple(
        ProbeInput(without_options(verdict.rationale.text, choices), options) if verdict.status == "ok" else None
        for verdict in audited.verdicts.values()
    )
    shown = ProbeInput(_words(normalise(f"{question.context} {question.question}")), options)
    draw = Random(f"helpfulness {question.id}")  # by the question alone, so that no order matters
    fold, half = draw.randrange(FOLDS), draw.randrange(HALVES)
    train = audited.split == "train"
    return Case(shown, rationales, question.choices.index(question.gold), train, fold if train else 0, half)


def _words(normalised: str) -> tuple[str, ...]:
    return tuple(sorted(set(normalised.split()) - STOP_WORDS))


def _probe(cases: Sequence[Case]) -> Probe:
    """Return a probe that has learnt from the questions and from all of their rationales."""
    readings = [(reading, case.answer) for case in cases for reading in (case.question, *case.rationales) if reading]
    return Probe([reading for reading, _ in readings], [answer for _, answer in readings])


def _measured(cases: Sequence[Case], probe: Probe) -> np.ndarray:
    """Return by case and teacher how much more the rationale tells the probe than the question, NaN where there is none."""
    by_question = probe.log_probabilities([case.question for case in cases])
    values = np.full((len(cases), len(cases[0].rationales)), np.nan)
    places = [
        (row, column, reading)
        for row, case in enumerate(cases)
        for column, reading in enumerate(case.rationales)
        if reading
    ]
    if not places:
        return values
    by_rationale = probe.log_probabilities([reading for _, _, reading in places])
    for (row, column, _), logs in zip(places, by_rationale, strict=True):
        answer = cases[row].answer
        values[row, column] = logs[answer] - by_question[row][answer]
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
        measured = values[:, present[:, t], t].mean(axis=0)
        out[present[:, t], t] = mean + reliability * (measured - mean)
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
