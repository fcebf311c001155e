"""A linear probe: how likely each option is to whoever has read only the words of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

PENALTY = 1.0  # of the squared weights
STEPS = 200  # most steps of the optimiser


@dataclass(frozen=True)
class ProbeInput:
    """A text and the options that it is to tell apart, as different words in a fixed order."""

    words: tuple[str, ...]
    options: tuple[tuple[str, ...], ...]


class Probe:
    """A conditional logit model over pairs of a word of the text and a word of the option.

    One weight more is that of the share of an option's words that the text has. Options of any number and text will do:
    where all questions have the same ones it is a multinomial logistic regression on words.

    Args:
        readings: at least one
        answers: by reading, the index of the gold option

    Source: McFadden, Conditional logit analysis of qualitative choice behavior (1974); weights are found by L-BFGS.
    """

    def __init__(self, readings: Sequence[ProbeInput], answers: Sequence[int]) -> None:
        from scipy.optimize import minimize  # slow to import

        ids, values, ends, starts = _features(readings)
        self._known = np.unique(ids)  # what was never seen has no weight
        table = self._table(ids, values, ends)
        chosen = starts[:-1] + np.asarray(answers)

        def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
            logs = _log_softmax(table @ weights, starts)
            residual = np.exp(logs)
            residual[chosen] -= 1
            return float(PENALTY * weights @ weights / 2 - logs[chosen].sum()), PENALTY * weights + table.T @ residual

        optimum = minimize(loss, np.zeros(len(self._known)), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
        self._weights = optimum.x

    def log_probabilities(self, readings: Sequence[ProbeInput]) -> list[np.ndarray]:
        """Return by reading the log-probability of each option, in nats."""
        ids, values, ends, starts = _features(readings)
        logs = _log_softmax(self._table(ids, values, ends) @ self._weights, starts)
        return np.split(logs, starts[1:-1])

    def _table(self, ids: np.ndarray, values: np.ndarray, ends: np.ndarray) -> csr_matrix:
        """Return (options, known features); a feature that is not known counts 0."""
        from scipy.sparse import csr_matrix

        places = np.searchsorted(self._known, ids).clip(max=len(self._known) - 1)
        values = np.where(self._known[places] == ids, values, 0.0)
        return csr_matrix((values, places, ends), shape=(len(ends) - 1, len(self._known)))


def _features(readings: Sequence[ProbeInput]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ids and values of all options' features, where each option's end and at which option each reading begins."""
    ids: list[int] = []
    values: list[float] = []
    ends, starts = [0], [0]
    for reading in readings:
        words = set(reading.words)
        for option in reading.options:
            pairs = [crc32(f"{word} {part}".encode()) for part in option for word in reading.words]
            ids += [0, *pairs]
            values += [sum(part in words for part in option) / max(1, len(option)), *[1.0] * len(pairs)]
            ends.append(len(ids))
        starts.append(len(ends) - 1)
    return np.array(ids, dtype=np.int64), np.array(values), np.array(ends), np.array(starts)


def _log_softmax(scores: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the log-softmax within each reading's stretch of the scores."""
    sizes = np.diff(starts)
    shifted = scores - np.repeat(np.maximum.reduceat(scores, starts[:-1]), sizes)
    return shifted - np.repeat(np.log(np.add.reduceat(np.exp(shifted), starts[:-1])), sizes)
