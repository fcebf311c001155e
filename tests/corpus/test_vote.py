"""The vote that takes the place of gold: weights, winners and shares worked out by hand."""

from __future__ import annotations

import math

import pytest

from tinyllm.corpus.vote import UNMEASURED, count_votes, option_shares, shrunk_accuracy, vote_weight, winner


def test_the_weights_of_three_teachers_worked_out_by_hand() -> None:
    # right of stated: 7 of 8, 2 of 3, 1 of 2; shrunk: 8/10, 3/5, 2/4
    accuracies = [shrunk_accuracy(right, stated) for right, stated in ((7, 8), (2, 3), (1, 2))]
    assert accuracies == [0.8, 0.6, 0.5]
    # free text: log 4, log 1.5, log 1
    assert [round(vote_weight(p, 0), 4) for p in accuracies] == [1.3863, 0.4055, 0.0]
    # of five options: log(4 * 4), log(1.5 * 4), log(1 * 4)
    assert [round(vote_weight(p, 5), 4) for p in accuracies] == [2.7726, 1.7918, 1.3863]


@pytest.mark.parametrize(("accuracy", "options"), [(0.2, 5), (0.1, 5), (0.5, 2), (0.3, 0)])
def test_who_is_no_better_than_guessing_counts_nothing(accuracy: float, options: int) -> None:
    assert vote_weight(accuracy, options) == pytest.approx(0.0, abs=1e-12) and vote_weight(accuracy, options) >= 0


def test_who_stated_nothing_where_there_is_gold_counts_little() -> None:
    assert shrunk_accuracy(0, 0) == UNMEASURED == 0.55
    assert round(vote_weight(UNMEASURED, 0), 4) == 0.2007  # log(0.55 / 0.45)
    assert shrunk_accuracy(0, 1) == pytest.approx(1 / 3)  # one wrong answer is a measurement


def test_two_weak_voices_outvote_a_strong_one_and_samples_share_their_teachers_weight() -> None:
    weights = {"ann": 3.0, "bob": 2.0, "cy": 1.5}
    votes = count_votes({"ann": [0], "bob": [1], "cy": [1]}, weights)
    assert votes == {0: 3.0, 1: 3.5}
    assert winner(votes) == (1, 3.5 / 6.5)
    samples = count_votes({"ann": [2, 2, 0, None], "bob": [2], "cy": [None]}, weights)
    assert samples == {2: 0.75 + 0.75 + 2.0, 0: 0.75}  # each of four counts a quarter, and silence counts for nobody


def test_a_tie_and_a_silence_have_no_winner() -> None:
    assert winner({}) == (None, 0.0)
    assert winner({0: 0.1 + 0.2, 1: 0.3}) == (None, pytest.approx(0.5))  # equal but for the last bit
    assert count_votes({"ann": [0], "bob": [1]}, {"ann": 0.0, "bob": 1.0}) == {1: 1.0}
    assert count_votes({"ann": [0]}, {"ann": 0.0}) == {}


def test_the_shares_of_the_options_worked_out_by_hand() -> None:
    # the odds of weights log 16 and log 6 on one option, log 4 on another: 96 to 4 to 1 to 1
    votes = count_votes(
        {"ann": [0], "bob": [0], "cy": [2]}, {"ann": math.log(16), "bob": math.log(6), "cy": math.log(4)}
    )
    assert option_shares(votes, 4) == pytest.approx([96 / 102, 1 / 102, 4 / 102, 1 / 102])


def test_by_a_single_voice_the_share_is_its_accuracy() -> None:
    assert option_shares({3: vote_weight(0.8, 5)}, 5) == pytest.approx([0.05, 0.05, 0.05, 0.8, 0.05])
