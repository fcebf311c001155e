"""Successive halving of one row's candidates, at a fixed number of trainings.

Every candidate is trained on the first seed. The better half goes on to one seed more, and so on, until one is left. Who has
fewer candidates gets as many seeds a round as the budget allows. What is left over goes to the two best, in turn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

Trial = tuple[int, int]  # a candidate and a seed, both as places in their lists
Accuracy = Callable[[int, int], float | None]  # of a trial on valid; None where it has not been trained


@dataclass(frozen=True)
class Round:
    """One round that is over."""

    trials: tuple[Trial, ...]
    ranking: tuple[int, ...]  # its candidates, the best first


@dataclass(frozen=True)
class Search:
    """How far the search of one row has come."""

    rounds: tuple[Round, ...]
    now: tuple[Trial, ...]  # the trials of the round that is not over
    missing: tuple[Trial, ...]  # those of them that have not been trained
    chosen: int | None  # the candidate; None until the search is over
    means: dict[int, float]  # by candidate, over its seeds so far; of the one candidate that is not trained nothing

    @property
    def trainings(self) -> int:
        return sum(len(done.trials) for done in self.rounds)


def sizes(candidates: int, halving: int) -> list[int]:
    """Return how many candidates each round has, until one is left."""
    found = []
    while candidates > 1:
        found.append(candidates)
        candidates = math.ceil(candidates / halving)
    return found


def own_budget(candidates: int, halving: int, seeds: int) -> int:
    """Return the trainings of a search with a seed a round, as many rounds as there are seeds."""
    return sum(sizes(candidates, halving)[:seeds])


def seeds_needed(candidates: int, budget: int, halving: int) -> int:
    """Return how many seeds the candidate that is trained most often is trained on; it is always the same."""
    done = search(candidates, budget, halving, lambda candidate, seed: 0.0)
    return max((seed + 1 for one in done.rounds for _, seed in one.trials), default=0)


def search(candidates: int, budget: int, halving: int, accuracy: Accuracy) -> Search:
    """Return how far the search has come, from the accuracies that are known; exactly `budget` trainings end it.

    A candidate's rank is its mean accuracy on valid over its seeds; of equal ones the earlier is the better. One candidate
    is chosen without any training.

    Args:
        candidates: how many there are
        budget: no fewer than candidates
        halving: one in so many goes on, rounded up

    Source: Jamieson and Talwalkar, Non-stochastic best arm identification (2016), with seeds as what is spent.
    """
    if candidates == 1:
        return Search((), (), (), 0, {})
    seeds_a_round = max(1, budget // sum(sizes(candidates, halving)))
    known: dict[int, list[float]] = {candidate: [] for candidate in range(candidates)}
    rounds: list[Round] = []
    inside, left = list(range(candidates)), budget
    while left:
        if len(inside) > 1 and len(inside) * seeds_a_round <= left:
            dealt = inside * seeds_a_round
            kept = math.ceil(len(inside) / halving)
        else:  # the rest: to those who are in, or to the last two
            inside = inside if len(inside) > 1 else list(rounds[-1].ranking[:2])
            dealt, kept = list(islice(cycle(inside), left)), 1
        trials = _trials(dealt, known)
        missing = tuple(trial for trial in trials if accuracy(*trial) is None)
        if missing:
            return Search(tuple(rounds), trials, missing, None, _means(known))
        for candidate, seed in trials:
            known[candidate].append(_certain(accuracy(candidate, seed)))
        left -= len(trials)
        means = _means(known)
        ranking = sorted(inside, key=lambda candidate: (-means[candidate], candidate))
        rounds.append(Round(trials, tuple(ranking)))
        inside = ranking[:kept]
    return Search(tuple(rounds), (), (), rounds[-1].ranking[0], _means(known))


def _trials(dealt: Sequence[int], known: dict[int, list[float]]) -> tuple[Trial, ...]:
    """A training for each time that a candidate is dealt one, on its next seed."""
    counts = {candidate: len(accuracies) for candidate, accuracies in known.items()}
    trials = []
    for candidate in dealt:
        trials.append((candidate, counts[candidate]))
        counts[candidate] += 1
    return tuple(trials)


def _means(known: dict[int, list[float]]) -> dict[int, float]:
    """Rounded, so that equal accuracies in another order are equal."""
    return {candidate: round(math.fsum(some) / len(some), 9) for candidate, some in known.items() if some}


def _certain(value: float | None) -> float:
    assert value is not None
    return value
