"""Confidence intervals of an accuracy, over questions and seeds."""

from __future__ import annotations

import math

import numpy as np


def accuracy_interval(correct: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the accuracy that other test questions and other seeds would give.

    The variance of the mean has two parts: questions (of their means over seeds) and seeds (of their accuracies, less what
    the questions' own noise puts there). A Wilson interval at the effective number of questions carries it, so that 0 and 1
    are not certain, with Student's t at Satterthwaite's degrees of freedom, since few seeds say little of their spread. One
    seed says nothing of it: its interval is that of this one student on other questions.

    Args:
        correct: (seeds, questions), 1 or True where right

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927); Satterthwaite, Biometrics Bulletin 2 (1946); Kish's effective sample size.
    """
    from scipy.stats import t  # slow to import, and needed at the end only

    correct = np.asarray(correct, dtype=float)
    seeds, n = correct.shape
    mean = float(correct.mean())
    question, seed, noise = _mean_squares(correct)
    spread = max(question, question + seed - noise)  # seeds cannot take variance away; below 0 is chance
    variance, freedom = spread / (seeds * n), math.inf
    if spread > 0:
        # over the mean squares as found: what is left of `seed` after the noise is known far less well than it looks
        squares = question**2 / max(n - 1, 1) + (seed**2 + noise**2 / max(n - 1, 1)) / max(seeds - 1, 1)
        freedom = max(spread**2 / squares, min(seeds, n) - 1)  # no less than the least of the mean squares has
    effective = mean * (1 - mean) / variance if variance > 0 and 0 < mean < 1 else float(n)
    z2 = float(t.ppf((1 + level) / 2, freedom)) ** 2
    centre = (mean + z2 / (2 * effective)) / (1 + z2 / effective)
    half = math.sqrt(z2 * (mean * (1 - mean) / effective + z2 / (4 * effective**2))) / (1 + z2 / effective)
    return max(0.0, centre - half), min(1.0, centre + half)


def _mean_squares(values: np.ndarray) -> tuple[float, float, float]:
    """The mean squares of questions, of seeds and of what neither explains, of (seeds, questions) values; 0 if unknown."""
    seeds, n = values.shape
    by_question, by_seed = values.mean(axis=0), values.mean(axis=1)
    question = seeds * float(by_question.var(ddof=1)) if n > 1 else 0.0
    if seeds < 2 or n < 2:
        return question, 0.0, 0.0
    residual = values - by_question[None, :] - by_seed[:, None] + values.mean()
    return question, n * float(by_seed.var(ddof=1)), float((residual**2).sum()) / ((seeds - 1) * (n - 1))
