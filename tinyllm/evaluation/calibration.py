"""Whether a student is right as often as it is sure: option probabilities and the expected calibration error."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from tinyllm.records.predictions import probabilities

BINS = 10  # of equal width over probabilities from 0 to 1


class Bin(TypedDict):
    low: float  # where it begins
    count: int
    confidence: float  # mean probability of the chosen options
    accuracy: float


class Calibration(TypedDict):
    bins: list[Bin]  # those that are not empty
    error: float  # the expected calibration error


def calibrate(predictions: Iterable[dict]) -> Calibration:
    """Compare the probability of the chosen option with how often it is right.

    The expected calibration error is the mean over predictions of their bin's gap between confidence and accuracy.

    Args:
        predictions: rows with `scores`, `choice` and `gold`

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2, with 10 bins in place of their 15.
    """
    by_bin: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for row in predictions:
        sure = probabilities(row["scores"])[row["choice"]]
        by_bin[min(int(sure * BINS), BINS - 1)].append((sure, row["choice"] == row["gold"]))
    bins: list[Bin] = [
        {
            "low": number / BINS,
            "count": len(pairs),
            "confidence": round(sum(sure for sure, _ in pairs) / len(pairs), 4),
            "accuracy": round(sum(right for _, right in pairs) / len(pairs), 4),
        }
        for number, pairs in enumerate(by_bin)
        if pairs
    ]
    total = sum(map(len, by_bin))
    gaps = (abs(sum(sure - right for sure, right in pairs)) for pairs in by_bin)  # gap times count, by bin
    return {"bins": bins, "error": round(sum(gaps) / total, 4)}
