"""Whether a student is shown to do better than guessing."""

from __future__ import annotations

from collections.abc import Mapping


def best_guess(score: Mapping[str, float]) -> float:
    """Return the accuracy of the better guess: at random, or always the most frequent answer.

    Args:
        score: metrics/score.json
    """
    return max(score["chance"], score["majority"])


def beats_guessing(score: Mapping[str, float]) -> bool:
    """Whether the better guess lies below the students' 95% interval."""
    return best_guess(score) < score["accuracy_low"]
