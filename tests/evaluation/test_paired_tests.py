"""The paired statistics against numbers worked out by hand, published or scipy's, and against simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binomtest, nct
from scipy.stats import t as student

from benchmarks.comparisons import Setting, intervals, rejections
from tinyllm.evaluation.paired_tests import difference, equivalence, holm, majority_answers, mcnemar


def columns(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """One seed's answers of control and other: so many questions right in both, in one alone, in none."""
    control = [True] * (both + first) + [False] * (second + neither)
    other = [True] * both + [False] * first + [True] * second + [False] * neither
    return np.array([control]), np.array([other])


# --- the difference -------------------------------------------------------------------------------------------------


def test_the_difference_of_one_seed_is_the_one_worked_out_by_hand() -> None:
    # five questions gained, one lost, of ten: mean 0.4; squares 6 - 10 * 0.16 = 4.4, and 1 for the answer added;
    # variance 5.4 / 9 / 10 = 0.06; t(0.975, 9) = 2.262157; p of t = 0.4 / 0.244949 = 1.632993 on 9 is 0.136893
    found = difference(*columns(3, 1, 5, 1), paired=True)
    assert (found.mean, found.low, found.high) == pytest.approx((0.4, 0.4 - 0.554113, 0.4 + 0.554113), abs=2e-6)
    assert found.p == pytest.approx(2 * student.sf(1.632993, 9), abs=1e-6)


CONTROL = np.array([[1, 0, 0, 1, 0, 1], [1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1]])  # accuracies 1/2, 1/2, 1/3
OTHER = np.array([[1, 1, 1, 1, 0, 1], [1, 1, 0, 1, 0, 1], [1, 1, 1, 0, 1, 1]])  # 5/6, 2/3, 5/6


@pytest.mark.parametrize(
    ("paired", "by_seed"),
    [
        # gains 2, 1 and 3 of 6 questions: sample variance of 1/3, 1/6, 1/2 is 1/36, on 2 degrees of freedom
        (True, [(1 / 36 / 3, 2)]),
        # 3, 3, 2 and 5, 4, 5 of 6: both have the sample variance 1/108, each on 2 degrees of freedom
        (False, [(1 / 108 / 3, 2), (1 / 108 / 3, 2)]),
    ],
)
def test_the_difference_of_three_seeds_is_the_one_worked_out_by_hand(paired: bool, by_seed: list) -> None:
    # gains by question 0, 2/3, 2/3, 1/3, 1/3, 0: mean 1/3, squares 4/9; 1/3 for the answer a seed that is added
    parts = [((4 / 9 + 1 / 3) / 5 / 6, 5), *by_seed]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / known for part, known in parts)
    half = student.ppf(0.975, freedom) * math.sqrt(variance)
    found = difference(CONTROL, OTHER, paired)
    assert (found.mean, found.low, found.high) == pytest.approx((1 / 3, 1 / 3 - half, 1 / 3 + half), abs=1e-9)
    assert found.p == pytest.approx(2 * student.sf(1 / 3 / math.sqrt(variance), freedom), abs=1e-9)


def test_seeds_of_different_number_are_compared_by_question() -> None:
    found = difference(CONTROL[:2], OTHER, paired=False)
    assert found.mean == pytest.approx(7 / 9 - 1 / 2)
    alone = difference(CONTROL[:1], OTHER, paired=False)  # one seed adds nothing of its own
    parts = [(((OTHER.mean(axis=0) - CONTROL[0]).var() * 6 + 1) / 5 / 6, 5), (1 / 108 / 3, 2)]
    variance = sum(part for part, _ in parts)
    freedom = variance**2 / sum(part**2 / known for part, known in parts)
    assert alone.high - alone.mean == pytest.approx(student.ppf(0.975, freedom) * math.sqrt(variance))


@pytest.mark.parametrize("paired", [True, False])
def test_the_other_way_round_it_is_the_same_with_the_sign_turned(paired: bool) -> None:
    one, two = difference(CONTROL, OTHER, paired), difference(OTHER, CONTROL, paired)
    assert (one.mean, one.low, one.high) == pytest.approx((-two.mean, -two.high, -two.low))
    assert (one.p, one.smallest) == pytest.approx((two.p, two.smallest))


def test_the_interval_holds_nothing_exactly_where_p_is_below_five_in_a_hundred() -> None:
    rng = np.random.default_rng(5)
    told = []
    for _ in range(200):
        found = difference(rng.random((3, 80)) < 0.5, rng.random((3, 80)) < 0.65, paired=True)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
        told.append(found.p < 0.05)
    assert 20 < sum(told) < 180


def test_full_agreement_is_not_certainty_and_more_questions_bring_it_nearer() -> None:
    # the one answer added: variance 1 / 99 / 100, t(0.975, 99) = 1.984217
    few, many = (difference(*columns(n, 0, 0, 0), paired=True) for n in (100, 1000))
    assert (few.mean, few.p, few.high) == pytest.approx((0, 1, 1.984217 * math.sqrt(1 / 9900)), abs=1e-6)
    assert 0 < many.high < few.high / 5


def test_seeds_that_gain_alike_tell_more_than_seeds_that_do_not() -> None:
    base = np.zeros((3, 200))
    alike = np.array([np.arange(200) < 30] * 3)
    unlike = np.array([np.arange(200) < n for n in (0, 30, 60)])
    assert difference(base, alike, paired=True).low > 0 > difference(base, unlike, paired=True).low


# --- equality -------------------------------------------------------------------------------------------------------


def slow_tost(control: np.ndarray, other: np.ndarray, within: float) -> tuple[float, float, float]:
    """The larger p value of two one-sided tests, and the 90% interval, of paired seeds, summed up one by one."""
    seeds, n = control.shape
    gains = [[int(other[s, i]) - int(control[s, i]) for i in range(n)] for s in range(seeds)]
    by_question = [sum(gains[s][i] for s in range(seeds)) / seeds for i in range(n)]
    by_seed = [sum(row) / n for row in gains]
    mean = sum(by_seed) / seeds
    parts = [((sum((gain - mean) ** 2 for gain in by_question) + 1 / seeds) / (n - 1) / n, n - 1)]
    if seeds > 1:
        parts.append((sum((gain - mean) ** 2 for gain in by_seed) / (seeds - 1) / seeds, seeds - 1))
    variance = sum(part for part, _ in parts)
    freedom, error = variance**2 / sum(part**2 / known for part, known in parts), math.sqrt(variance)
    too_low = student.sf((mean + within) / error, freedom)  # of a true difference of -within or less
    too_high = student.cdf((mean - within) / error, freedom)  # of one of +within or more
    low, high = student.interval(0.90, freedom, loc=mean, scale=error)
    return max(too_low, too_high), low, high


def test_two_one_sided_tests_of_one_seed_are_those_worked_out_by_hand() -> None:
    # as above: mean 0.4, error 0.244949, 9 degrees of freedom; to the limit 0.9 there are 0.5, that is t 2.041241;
    # t(0.95, 9) is 1.833113, times the error 0.449019
    found = equivalence(difference(*columns(3, 1, 5, 1), paired=True), 0.9)
    assert found.p == pytest.approx(0.035810, abs=1e-6)
    assert (found.low, found.high) == pytest.approx((0.4 - 0.449019, 0.4 + 0.449019), abs=1e-6)


@pytest.mark.parametrize("within", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("turned", [False, True])
def test_two_one_sided_tests_are_those_of_the_slow_formula(within: float, turned: bool) -> None:
    arms = (OTHER, CONTROL) if turned else (CONTROL, OTHER)
    found = equivalence(difference(*arms, paired=True), within)
    assert (found.p, found.low, found.high) == pytest.approx(slow_tost(*arms, within), abs=1e-12)


def test_the_interval_of_ninety_lies_within_exactly_where_both_tests_reject() -> None:
    rng = np.random.default_rng(7)
    told = []
    for _ in range(300):
        control = rng.random((3, 150)) < 0.6
        other = control ^ (rng.random((3, 150)) < 0.04)
        found = equivalence(difference(control, other, paired=True), 0.03)
        assert (found.p < 0.05) == (found.low > -0.03 and found.high < 0.03)
        told.append(found.p < 0.05)
    assert 30 < sum(told) < 270


def test_equal_answers_are_equal_within_little_and_more_questions_show_less() -> None:
    few, many = (difference(*columns(n, 0, 0, 0), paired=True) for n in (100, 1000))
    assert equivalence(few, 0.01).p == pytest.approx(student.sf(0.01 / math.sqrt(1 / 9900), 99))
    assert equivalence(few, 0.01).p > 0.05 > equivalence(many, 0.01).p


def test_one_question_is_refused() -> None:
    with pytest.raises(ValueError, match="1 question; a difference needs at least 2"):
        difference(np.array([[1]]), np.array([[0]]), paired=True)


@pytest.mark.parametrize("arms", [columns(300, 60, 75, 165), columns(3, 1, 5, 1), (CONTROL, OTHER)])
def test_the_smallest_difference_is_shown_in_four_of_five_tests(arms: tuple[np.ndarray, np.ndarray]) -> None:
    found = difference(*arms, paired=True)
    freedom, error = freedom_and_error(found.p, found.mean, found.high)
    critical = student.ppf(0.975, freedom)
    assert nct.sf(critical, freedom, found.smallest / error) == pytest.approx(0.8, abs=1e-4)


def freedom_and_error(p: float, mean: float, high: float) -> tuple[float, float]:
    """The degrees of freedom and standard error that p and the interval's upper end imply together."""

    def gap(freedom: float) -> float:
        return float(2 * student.sf(mean / ((high - mean) / student.ppf(0.975, freedom)), freedom)) - p

    freedom = float(brentq(gap, 1.0, 5000.0))
    return freedom, (high - mean) / float(student.ppf(0.975, freedom))


# --- by simulation --------------------------------------------------------------------------------------------------

HARDEST = Setting(seeds=3, questions=600, spread=3.0, shared=0.3)  # of those that benchmarks/comparisons.py requires


@pytest.mark.parametrize("setting", [HARDEST, Setting(seeds=5, questions=100, spread=0.0, shared=0.9)])
def test_equal_arms_are_seldom_called_different(setting: Setting) -> None:
    by_t, _ = rejections(setting, 2000)
    assert by_t <= 0.065


@pytest.mark.parametrize("setting", [HARDEST, Setting(seeds=5, questions=600, spread=1.0, shared=0.9)])
def test_the_interval_covers_a_true_difference_and_is_not_endless(setting: Setting) -> None:
    judged = intervals(setting, 2000)
    assert judged.covers >= 0.935
    assert 0.9 < judged.to_exact < 1.3


def test_mcnemar_holds_where_seeds_do_not_differ_and_not_where_they_do() -> None:
    _, alike = rejections(Setting(seeds=3, questions=600, spread=0.0, shared=0.3), 1000)
    _, unlike = rejections(Setting(seeds=3, questions=600, spread=5.0, shared=0.3), 1000)
    assert 0.01 < alike <= 0.065
    assert unlike > 0.15  # why the verdict is not McNemar's


# --- McNemar --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 0, 1.0),
        (0, 6, 2 / 64),
        (1, 9, 2 * (1 + 10) / 1024),
        (9, 1, 2 * (1 + 10) / 1024),
        (7, 7, 1.0),
        (5, 6, 1.0),
    ],
)
def test_mcnemars_p_is_the_one_counted_by_hand(first: int, second: int, p: float) -> None:
    found = mcnemar(*(arm[0] for arm in columns(20, first, second, 10)))
    assert (found.only_control, found.only_other) == (first, second)
    assert found.p == pytest.approx(p, rel=1e-12)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (150, 86),  # approval of the prime minister in two surveys: Agresti, Categorical Data Analysis, table 10.1
        (256, 144),  # colds of schoolchildren at 12 and at 14: Bland, An Introduction to Medical Statistics
        (3, 11),
    ],
)
def test_mcnemars_p_is_that_of_the_binomial_test(first: int, second: int) -> None:
    found = mcnemar(*(arm[0] for arm in columns(500, first, second, 300)))
    assert found.p == pytest.approx(binomtest(first, first + second).pvalue, rel=1e-9)


# --- the majority of the seeds --------------------------------------------------------------------------------------


def test_the_majority_answer_is_that_of_most_seeds_and_of_a_tie_the_likeliest() -> None:
    choices = np.array([[2, 0, 0, 1], [2, 1, 2, 0], [0, 2, 0, 1], [1, 2, 2, 0]])  # four seeds, four questions
    scores = [
        np.array([[-1.0, -9.0, -9.0]] * 4),  # two seeds for 2: whatever the scores say
        np.array([[-1.0, -2.0, -3.0]] * 4),
        np.array([[-0.1, -9.0, -4.0], [-9.0, -9.0, -1.0], [-0.2, -9.0, -3.0], [-9.0, -9.0, -1.0]]),  # -18.3 and -9
        np.array([[-1.0, -1.0]] * 4),  # a tie to the end: the first
    ]
    assert majority_answers(choices, scores).tolist() == [2, 2, 2, 0]


def test_an_option_that_no_seed_chose_is_not_elected_for_its_likelihood() -> None:
    scores = [np.array([[-3.0, -0.5, -1.0], [-1.0, -0.5, -3.0]])]
    assert majority_answers(np.array([[2], [0]]), scores).tolist() == [0]  # -4 and -4, a tie; not 1 with -1


# --- Holm -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # the textbook example: 0.04 is kept at 0.03's 0.06
        ([0.2], [0.2]),
        ([0.6, 0.5], [1.0, 1.0]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([], []),
    ],
)
def test_holms_correction_is_the_published_one(values: list[float], corrected: list[float]) -> None:
    assert holm(values) == pytest.approx(corrected)
