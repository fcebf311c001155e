"""The vote that answers a question without gold: each teacher counts by how often it is right where there is gold.

Source: log odds are the weights of the likeliest answer where voters err independently and every wrong option is equally
likely (Nitzan and Paroush, 1982); the shrinkage is Laplace's, as if each had been right once more and wrong once more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

Answer = int | str  # of options the index, of free text the text as it is compared
UNMEASURED = 0.55  # the accuracy of a teacher that stated nothing where there is gold: a little better than a coin


def shrunk_accuracy(right: float, stated: float) -> float:
    """Return a teacher's accuracy, drawn towards one half; where nothing was stated, UNMEASURED.

    Args:
        right, stated: answers; of several samples of a question each is a share of one
    """
    return (right + 1) / (stated + 2) if stated else UNMEASURED


def vote_weight(accuracy: float, options: int) -> float:
    """Return what one voice counts, in nats; a teacher that is no better than guessing counts nothing.

    Args:
        accuracy: more than 0 and less than 1
        options: of the question; 0 for free text, where a wrong answer is taken as one text
    """
    return max(0.0, math.log(accuracy / (1 - accuracy) * ((options - 1) if options else 1)))


def count_votes(stated: Mapping[str, Sequence[Answer | None]], weights: Mapping[str, float]) -> dict[Answer, float]:
    """Return the weight of the votes for each answer.

    Args:
        stated: by teacher the answer of each of its samples, None where it states none; of k samples each counts 1/k
        weights: by teacher
    """
    votes: dict[Answer, float] = {}
    for teacher, answers in stated.items():
        for answer in answers:
            if answer is not None and weights[teacher]:
                votes[answer] = votes.get(answer, 0.0) + weights[teacher] / len(answers)
    return votes


def winner(votes: Mapping[Answer, float]) -> tuple[Answer | None, float]:
    """Return the answer with the most weight and its share of all; None where there is no vote, or two are first."""
    ranked = sorted(votes.items(), key=lambda vote: -vote[1])
    if not ranked:
        return None, 0.0
    answer, most = ranked[0]
    tied = len(ranked) > 1 and math.isclose(most, ranked[1][1])
    return None if tied else answer, most / sum(votes.values())


def option_shares(votes: Mapping[Answer, float], options: int) -> list[float]:
    """Return how likely each option is by the vote: its softmax. By a single voice it is that teacher's accuracy."""
    odds = [math.exp(votes.get(option, 0.0)) for option in range(options)]
    return [odd / sum(odds) for odd in odds]
