"""Intervals against published numbers and simulation, summaries against numbers written out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t as student

from tinyllm.evaluation.intervals import accuracy_interval
from tinyllm.evaluation.metrics import chance, confusion_rows, majority, summarise_predictions
from tinyllm.records.questions import Question


def answers(right: int, n: int, seeds: int = 1) -> np.ndarray:
    """(seeds, n), every seed right on the same first questions."""
    return np.tile(np.arange(n) < right, (seeds, 1))


# --- the accuracy's interval ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "n", "low", "high", "within"),
    [
        # Wilson's, from Newcombe, Statistics in Medicine 17 (1998), table I; t in place of z makes ours a little wider.
        (81, 263, 0.2553, 0.3662, 0.002),
        (15, 148, 0.0624, 0.1605, 0.002),
        (0, 20, 0.0, 0.1611, 0.0001),
        (1, 29, 0.0061, 0.1718, 0.015),
    ],
)
def test_the_interval_of_one_seed_is_wilsons(right: int, n: int, low: float, high: float, within: float) -> None:
    found = accuracy_interval(answers(right, n))
    assert found == pytest.approx((low, high), abs=within)
    assert found[0] <= low + 1e-4 and high - 1e-4 <= found[1]


def test_the_interval_of_seven_in_ten_is_the_one_worked_out_by_hand() -> None:
    # variance of the mean 0.21 * 10/9 / 10, so nine effective questions; t(0.975, 9) = 2.262157, its square 5.117354;
    # centre (0.7 + 5.117354/18) / (1 + 5.117354/9) = 0.627502;
    # half sqrt(5.117354 * (0.21/9 + 5.117354/324)) / (1 + 5.117354/9) = 0.285268
    assert accuracy_interval(answers(7, 10)) == pytest.approx((0.342234, 0.912770), abs=2e-6)


@pytest.mark.parametrize(
    ("correct", "mean_squares", "spread", "freedom", "effective"),
    [
        (  # seeds differ by more than noise: 1.041667^2 / (0.375^2/7 + 0.791667^2/2 + 0.125^2/14) degrees of freedom
            [[1, 1, 1, 0, 1, 1, 1, 1], [1, 0, 1, 0, 1, 0, 1, 0], [1, 0, 0, 0, 0, 0, 1, 0]],
            (0.375, 0.791667, 0.125),
            0.375 + 0.791667 - 0.125,
            3.243143,
            5.72,
        ),
        (  # seeds are alike: they take nothing away, and leave no fewer degrees of freedom than their own two
            [[1, 1, 1, 0], [1, 1, 0, 1], [1, 0, 1, 1]],
            (0.083333, 0.0, 0.333333),
            0.083333,
            2.0,
            27.0,
        ),
    ],
)
def test_the_interval_of_three_seeds_is_the_one_worked_out_by_hand(
    correct: list[list[int]], mean_squares: tuple, spread: float, freedom: float, effective: float
) -> None:
    n = len(correct[0])
    mean = sum(map(sum, correct)) / (3 * n)
    by_question, by_seed = [sum(column) / 3 for column in zip(*correct, strict=True)], [sum(row) / n for row in correct]
    questions = 3 * sum((x - mean) ** 2 for x in by_question) / (n - 1)
    seeds = n * sum((x - mean) ** 2 for x in by_seed) / 2
    cells = [(s, q) for s in range(3) for q in range(n)]
    rest = sum((correct[s][q] - by_question[q] - by_seed[s] + mean) ** 2 for s, q in cells) / (2 * (n - 1))
    assert (questions, seeds, rest) == pytest.approx(mean_squares, abs=1e-6)
    assert effective == pytest.approx(mean * (1 - mean) / (spread / (3 * n)), rel=1e-4)
    t = student.ppf(0.975, freedom)
    centre = (mean + t**2 / 2 / effective) / (1 + t**2 / effective)
    half = t * math.sqrt(mean * (1 - mean) / effective + t**2 / 4 / effective**2) / (1 + t**2 / effective)
    assert accuracy_interval(np.array(correct)) == pytest.approx((centre - half, centre + half), abs=1e-5)


@pytest.mark.parametrize("seeds", [1, 3])
def test_all_right_or_all_wrong_is_not_certain(seeds: int) -> None:
    # Wilson's bound where nothing is right is z^2 / (n + z^2) = 3.8415 / 103.8415; agreeing seeds add no question
    assert accuracy_interval(answers(0, 100, seeds)) == pytest.approx((0.0, 0.036993), abs=1e-5)
    assert accuracy_interval(answers(100, 100, seeds)) == pytest.approx((1 - 0.036993, 1.0), abs=1e-5)


def test_seeds_that_answer_alike_are_worth_no_more_than_one() -> None:
    assert accuracy_interval(answers(60, 100, 5)) == pytest.approx(accuracy_interval(answers(60, 100)), abs=1e-9)


def test_seeds_of_different_accuracy_widen_the_interval() -> None:
    def width(*right: int) -> float:
        low, high = accuracy_interval(np.array([np.arange(200) < n for n in right]))
        return high - low

    assert width(120, 120, 120) < width(110, 120, 130) < width(90, 120, 150)
    assert width(90, 120, 150) > 0.25  # three accuracies of 45, 60 and 75% say little of a fourth


def test_a_higher_level_gives_a_wider_interval_around_the_mean() -> None:
    correct = np.random.default_rng(1).random((3, 50)) < 0.7
    (l80, h80), (l95, h95), (l99, h99) = (accuracy_interval(correct, level) for level in (0.8, 0.95, 0.99))
    assert 0 <= l99 < l95 < l80 < correct.mean() < h80 < h95 < h99 <= 1


def test_one_question_and_two_seeds_that_disagree_evenly_give_an_interval_without_a_division_by_zero() -> None:
    for correct in (np.array([[1]]), np.array([[1], [0]]), np.array([[1, 0], [0, 1]])):
        low, high = accuracy_interval(correct)
        assert 0 <= low < correct.mean() <= high <= 1


def coverage(spread: float, level: float, simulations: int = 400) -> float:
    """How often the interval holds the true mean: 3 seeds, 300 questions of different difficulty.

    Args:
        spread: of the seeds, on the logit scale; 0.1 is about two points of accuracy
        level: the accuracy of an average seed on an average question
    """

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    rng = np.random.default_rng(7)
    middle = math.log(level / (1 - level))
    truth = sigmoid(middle + 1.5 * rng.standard_normal(10**6) + spread * rng.standard_normal(10**6)).mean()
    hits = 0
    for _ in range(simulations):
        chances = sigmoid(middle + 1.5 * rng.standard_normal((1, 300)) + spread * rng.standard_normal((3, 1)))
        low, high = accuracy_interval(rng.random((3, 300)) < chances)
        hits += low <= truth <= high
    return hits / simulations


@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_interval_covers_the_true_accuracy_about_as_often_as_it_says(spread: float, level: float) -> None:
    assert 0.92 <= coverage(spread, level) <= 0.995


# --- what guessing scores -------------------------------------------------------------------------------------------

SHARED = [  # the same options everywhere, in another order here and there
    Question("1", "?", ("yes", "no", "maybe"), 0),
    Question("2", "?", ("no", "yes", "maybe"), 1),
    Question("3", "?", ("no", "maybe", "yes"), 0),
    Question("4", "?", ("yes", "no", "maybe"), 0),
]
OWN = [
    Question("1", "?", ("ice", "wood"), 1),
    Question("2", "?", ("sun", "moon", "star", "sky"), 1),
    Question("3", "?", ("dog", "cat", "cow", "hen"), 3),
]


def test_chance_is_the_mean_share_of_one_option() -> None:
    assert chance(SHARED) == pytest.approx(1 / 3)
    assert chance(OWN) == pytest.approx((1 / 2 + 1 / 4 + 1 / 4) / 3)


def test_the_majority_is_of_texts_where_options_are_shared_and_of_positions_where_not() -> None:
    assert majority(SHARED) == 3 / 4  # yes; by position it would be (a), with 3 of 4 as well, but of other questions
    assert majority(SHARED[:3]) == 2 / 3
    assert majority([SHARED[1], SHARED[3]]) == 1.0  # yes stands second in the one and first in the other
    assert majority(OWN) == 2 / 3  # (b)


# --- summaries ------------------------------------------------------------------------------------------------------


def rows(questions: list[Question], chosen: list[int], matched: list[int | None]) -> list[dict]:
    return [
        {"id": question.id, "gold": question.answer, "choice": choice, "text": "?", "matched": match}
        for question, choice, match in zip(questions, chosen, matched, strict=True)
    ]


FIRST = rows(SHARED, [0, 1, 2, 0], [0, None, 0, None])  # 3 right by likelihood, 2 written exactly, 2 unmatched
SECOND = rows(SHARED, [0, 0, 2, 1], [1, 1, 2, None])  # 1 right, 1 written exactly, 1 unmatched


def test_the_summary_of_two_seeds_is_the_one_written_out() -> None:
    low, high = accuracy_interval(np.array([[1, 1, 0, 1], [1, 0, 0, 0]]))
    assert summarise_predictions(SHARED, [FIRST, SECOND]) == {
        "accuracy": 0.5,
        "accuracy_low": round(low, 4),
        "accuracy_high": round(high, 4),
        "accuracy_std": 0.3536,  # of 0.75 and 0.25: 0.5 / sqrt(2)
        "exact_match": 0.375,
        "unmatched": 0.375,
        "chance": 0.3333,
        "majority": 0.75,
        "questions": 4,
        "seeds": 2,
    }


def test_one_seed_has_no_spread() -> None:
    summary = summarise_predictions(SHARED, [FIRST])
    assert (summary["accuracy"], summary["accuracy_std"], summary["seeds"]) == (0.75, 0.0, 1)


def test_without_texts_nothing_is_told_of_them() -> None:
    silent = [{**row, "text": None, "matched": None} for row in FIRST]
    told, with_texts = (summarise_predictions(SHARED, [part]) for part in (silent, FIRST))
    assert told == {name: value for name, value in with_texts.items() if name not in ("exact_match", "unmatched")}


def test_an_unmatched_text_is_not_taken_for_the_first_option() -> None:
    first_is_gold = rows(SHARED[:1], [0], [None])
    assert summarise_predictions(SHARED[:1], [first_is_gold])["exact_match"] == 0.0


def test_confusion_names_the_options_where_all_questions_share_them() -> None:
    pairs = [("yes", "yes"), ("yes", "yes"), ("no", "yes"), ("yes", "yes")]
    assert confusion_rows(SHARED, [FIRST]) == pairs
    assert confusion_rows(SHARED, [FIRST, SECOND])[4:] == [("yes", "yes"), ("yes", "no"), ("no", "yes"), ("yes", "no")]


def test_confusion_names_the_letters_where_options_differ() -> None:
    predictions = rows(OWN, [1, 0, 2], [None, None, None])
    assert confusion_rows(OWN, [predictions]) == [("(b)", "(b)"), ("(b)", "(a)"), ("(d)", "(c)")]
