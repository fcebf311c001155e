"""A prediction: one row a question and seed, whether it is right, and how likely the student finds each option."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence


def is_right(row: Mapping) -> bool:
    """Tell whether a prediction is right: by its choice, of a free-text question by exact match."""
    return bool(row["matched"]) if row["choice"] is None else bool(row["choice"] == row["gold"])


def probabilities(scores: Sequence[float]) -> list[float]:
    """Return the softmax of the options' scores: what the student would bet on each, were one of them right."""
    best = max(scores)
    weights = [math.exp(score - best) for score in scores]
    return [weight / sum(weights) for weight in weights]
