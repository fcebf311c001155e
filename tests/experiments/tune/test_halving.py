"""Successive halving, written out by hand, and that every search spends its budget to the last training."""

from __future__ import annotations

import random

import pytest

from tinyllm.experiments.tune.halving import Round, own_budget, search, seeds_needed, sizes

EIGHT = {  # by candidate, its accuracy on the first, second and third seed; what nobody should ask for is not here
    0: [0.50],
    1: [0.60, 0.64, 0.71],
    2: [0.55],
    3: [0.70, 0.50],
    4: [0.65, 0.69, 0.58],
    5: [0.40],
    6: [0.62, 0.62],
    7: [0.58],
}


def test_the_rounds_of_eight_candidates_are_those_written_out_by_hand() -> None:
    done = search(8, 14, 2, lambda candidate, seed: EIGHT[candidate][seed])
    assert done.rounds == (
        Round(tuple((candidate, 0) for candidate in range(8)), (3, 4, 6, 1, 7, 2, 0, 5)),
        # means 0.60, 0.67, 0.62, 0.62: of two equal ones the earlier is the better
        Round(((3, 1), (4, 1), (6, 1), (1, 1)), (4, 1, 6, 3)),
        Round(((4, 2), (1, 2)), (1, 4)),  # means 0.64 and 0.65
    )
    assert (done.chosen, done.trainings, done.missing, done.now) == (1, 14, (), ())
    assert done.means[1] == pytest.approx(0.65) and done.means[4] == pytest.approx(0.64)


def test_a_search_asks_for_its_round_and_knows_no_other() -> None:
    known = {(candidate, 0): EIGHT[candidate][0] for candidate in (0, 1, 2, 3, 4, 6)}
    begun = search(8, 14, 2, lambda candidate, seed: known.get((candidate, seed)))
    assert (begun.rounds, begun.missing, begun.chosen) == ((), ((5, 0), (7, 0)), None)
    known |= {(5, 0): 0.40, (7, 0): 0.58}
    second = search(8, 14, 2, lambda candidate, seed: known.get((candidate, seed)))
    assert len(second.rounds) == 1 and second.missing == second.now == ((3, 1), (4, 1), (6, 1), (1, 1))


def test_who_has_fewer_candidates_gets_more_seeds_by_the_same_budget() -> None:
    first = {0: 0.3, 1: 0.5, 2: 0.4, 3: 0.2}  # the same on every seed
    done = search(4, 14, 2, lambda candidate, seed: first[candidate])
    assert [done.trials for done in done.rounds] == [
        ((0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (1, 1), (2, 1), (3, 1)),  # 4 + 2 trainings go twice into 14
        ((1, 2), (2, 2), (1, 3), (2, 3)),
        ((1, 4), (2, 4)),  # what is left
    ]
    assert (done.chosen, done.trainings, seeds_needed(4, 14, 2)) == (1, 14, 5)


def test_a_short_budget_stops_between_rounds_and_gives_the_rest_to_the_best() -> None:
    done = search(8, 10, 2, lambda candidate, seed: EIGHT[candidate][seed])
    assert done.rounds[1] == Round(((3, 1), (4, 1)), (4, 6, 1, 3))  # 0.67, 0.62 and 0.60 of one seed, 0.60
    assert (done.chosen, done.trainings) == (4, 10)
    assert search(8, 8, 2, lambda candidate, seed: EIGHT[candidate][seed]).chosen == 3


def test_one_candidate_is_chosen_without_any_training() -> None:
    assert search(1, 14, 2, lambda candidate, seed: None).chosen == 0


@pytest.mark.parametrize(("candidates", "halving", "expected"), [(8, 2, [8, 4, 2]), (9, 3, [9, 3]), (5, 2, [5, 3, 2])])
def test_the_sizes_of_rounds(candidates: int, halving: int, expected: list[int]) -> None:
    assert sizes(candidates, halving) == expected
    assert own_budget(candidates, halving, 2) == sum(expected[:2])


def test_every_search_spends_its_whole_budget_and_no_training_twice() -> None:
    rng = random.Random(3)
    for candidates in range(2, 13):
        for budget in range(candidates, 3 * candidates + 5):
            halving = rng.choice([2, 3, 4])
            quality = [[rng.random() for _ in range(60)] for _ in range(candidates)]
            known: dict[tuple[int, int], float] = {}
            while (now := search(candidates, budget, halving, lambda *trial, known=known: known.get(trial))).missing:
                assert not set(now.missing) & known.keys()
                trial = now.missing[0]  # one at a time, as a search that is killed again and again
                known[trial] = quality[trial[0]][trial[1]]
            assert now.trainings == len(known) == budget
            assert max(seed for _, seed in known) + 1 == seeds_needed(candidates, budget, halving)
            for candidate in range(candidates):  # no seed is left out
                seeds = sorted(seed for other, seed in known if other == candidate)
                assert seeds == list(range(len(seeds))) and seeds
            last = now.rounds[-1].ranking
            means = {c: sum(quality[c][s] for o, s in known if o == c) / sum(o == c for o, _ in known) for c in last}
            assert means[now.chosen] == max(means.values())
