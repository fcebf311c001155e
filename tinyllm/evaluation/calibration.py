"""Whether a student is right as often as it is sure: option probabilities and the expected calibration error."""

from __future__ import annotations

from collections.abc import Iterable

from tinyllm.records.predictions import probabilities

BINS = 10  # of equal width over probabilities from 0 to 1


def calibrate(predictions: Iterable[dict]) -> dict:
    """Compare the probability of the chosen option with how often it is right.

    Returns `bins`, the occupied ones, each with its `low` end, `count`, mean `confidence` and `accuracy`; and `error`, the
    expected calibration error: the mean over predictions of their bin's gap between confidence and accuracy.

    Args:
        predictions: rows with `scores`, `choice` and `gold`

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 2, with 10 bins in place of their 15.
    """
    by_bin: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for row in predictions:
        sure = probabilities(row["scores"])[row["choice"]]
        by_bin[min(int(sure * BINS), BINS - 1)].append((sure, row["choice"] == row["gold"]))
    bins = [
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
