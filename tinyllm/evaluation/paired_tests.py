"""What can be said of two runs on the same questions: their difference over questions and seeds, equality, McNemar, Holm."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Difference:
    """A difference of two accuracies, as shares and not in points."""

    mean: float
    low: float
    high: float
    p: float  # two-sided, of no difference
    smallest: float  # the true difference that is told from nothing in 80% of such tests
    error: float  # of the mean: its standard error
    freedom: float  # the degrees of freedom with which that is known


@dataclass(frozen=True)
class Equivalence:
    """Whether a difference lies within so much of nothing, in either direction."""

    p: float  # of a true difference of that much or more: the larger of the two one-sided tests' p values
    low: float  # of the 90% interval, which lies within exactly where p is below 5%
    high: float


@dataclass(frozen=True)
class McNemar:
    """The questions that only one of two is right on, and how likely so uneven a split is by chance."""

    only_control: int
    only_other: int
    p: float


def difference(control: np.ndarray, other: np.ndarray, paired: bool) -> Difference:
    """Return how much more often `other` is right, with the interval that further questions and further seeds would give.

    The variance has two parts: questions (of their differences, averaged over seeds) and seeds (of the accuracies'
    differences, or of either run's accuracies where seeds are no pairs). The noise of single answers stands in both, on
    purpose: without it three seeds cover too little, and with it too much where seeds do not differ. Student's t at the
    Welch-Satterthwaite degrees of freedom. A run of one seed adds nothing to the second part: the interval is then that of
    this one student. benchmarks/comparisons.py shows what holds: where three seeds differ by far more than the questions
    explain (5 points on 600, 3 on 1,200), 92 to 94% are covered; the percentile bootstrap covers 87 to 89% there.

    Args:
        control: (seeds, questions), 1 or True where right
        other: likewise, the same questions in the same order
        paired: whether row i of both is the same seed; the seeds are then as many

    Source: Satterthwaite, Biometrics Bulletin 2 (1946). One answer a seed is added that differs, half in either direction,
        so that full agreement is not certainty: after Agresti and Min, Statistics in Medicine 24 (2005).
    """
    return mean_difference([(control, other, paired)])


def mean_difference(columns: Sequence[tuple[np.ndarray, np.ndarray, bool]]) -> Difference:
    """Return the mean of the differences on several test sets, these and no others: each counts the same, its variance, too.

    Args:
        columns: what `difference` takes, a test set each; trained and asked apart, they tell nothing of each other
    """
    means, parts = [], []
    for control, other, paired in columns:
        control, other = np.asarray(control, dtype=float), np.asarray(other, dtype=float)
        if control.shape[1] < 2:
            raise ValueError(f"{control.shape[1]} question; a difference needs at least 2")
        variance, freedom = _variance(control, other, paired)
        means.append(float(other.mean() - control.mean()))
        parts.append((variance / len(columns) ** 2, freedom))
    return _difference(float(np.mean(means)), *_sum(parts))


def sampled_difference(values: Sequence[float]) -> Difference:
    """Return the mean of the differences on test sets that stand for others like them, from how they scatter; at least 2."""
    return _difference(float(np.mean(values)), float(np.var(values, ddof=1)) / len(values), len(values) - 1)


def _difference(mean: float, variance: float, freedom: float) -> Difference:
    from scipy.special import nctdtrinc, stdtr, stdtrit  # a third of the time that scipy.stats takes to import

    error, quantile = math.sqrt(variance), float(stdtrit(freedom, 0.975))
    return Difference(
        mean,
        mean - quantile * error,
        mean + quantile * error,
        2 * float(stdtr(freedom, -abs(mean) / error)) if error > 0 else float(mean == 0),
        error * float(nctdtrinc(freedom, 0.2, quantile)),
        error,
        freedom,
    )


def equivalence(found: Difference, within: float) -> Equivalence:
    """Return the two one-sided tests (TOST) of a difference: could it truly be `within` or more, in either direction?

    Args:
        within: a share above 0, as the difference is one and not in points

    Source: Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987).
    """
    from scipy.special import stdtr, stdtrit

    half = float(stdtrit(found.freedom, 0.95)) * found.error
    room = within - abs(found.mean)  # to the nearer limit, which has the larger p value
    p = float(stdtr(found.freedom, -room / found.error)) if found.error > 0 else float(room <= 0)
    return Equivalence(p, found.mean - half, found.mean + half)


def _variance(control: np.ndarray, other: np.ndarray, paired: bool) -> tuple[float, float]:
    """The variance of the mean difference, and the degrees of freedom with which it is known."""
    by_question = other.mean(axis=0) - control.mean(axis=0)  # (questions,)
    n = len(by_question)
    squares = float(((by_question - by_question.mean()) ** 2).sum()) + 1 / min(len(control), len(other))
    parts = [(squares / (n - 1) / n, n - 1.0)]  # (part of the variance, its degrees of freedom)
    for layer in [other - control] if paired else [control, other]:
        seeds = len(layer)
        if seeds > 1:
            parts.append((float(layer.mean(axis=1).var(ddof=1)) / seeds, seeds - 1.0))
    return _sum(parts)


def _sum(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The sum of variances and the degrees of freedom with which it is known, by Satterthwaite."""
    variance = sum(part for part, _ in parts)
    return variance, variance**2 / sum(part**2 / known for part, known in parts)


def majority_answers(choices: np.ndarray, scores: Sequence[np.ndarray]) -> np.ndarray:
    """Return the option that most seeds choose, for every question.

    Of options with equally many seeds, the one whose scores sum to most over all seeds; if these are equal too, the first.

    Args:
        choices: (seeds, questions)
        scores: one array (seeds, options) a question
    """
    return np.array([_elected(chosen, score.sum(axis=0)) for chosen, score in zip(choices.T, scores, strict=True)])


def _elected(chosen: np.ndarray, sums: np.ndarray) -> int:
    votes = Counter(chosen.tolist())
    return max(sorted(votes), key=lambda option: (votes[option], sums[option]))


def mcnemar(control: np.ndarray, other: np.ndarray) -> McNemar:
    """Return McNemar's exact test: are the questions that only one is right on split as a fair coin would?

    It takes the two columns as they are: it says nothing of other seeds.

    Args:
        control: (questions,), True where right
        other: likewise, the same questions

    Source: McNemar, Psychometrika 12 (1947), with the binomial distribution itself.
    """
    from scipy.special import bdtr

    control, other = np.asarray(control, dtype=bool), np.asarray(other, dtype=bool)
    first, second = int((control & ~other).sum()), int((other & ~control).sum())
    return McNemar(first, second, min(1.0, 2 * float(bdtr(min(first, second), first + second, 0.5))))


def holm(values: Sequence[float]) -> list[float]:
    """Return the p values, in their order, corrected for there being several.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    corrected, floor = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        floor = max(floor, (len(values) - rank) * values[index])  # never below one that was smaller before
        corrected[index] = min(1.0, floor)
    return corrected
