"""Does `tinyllm compare` keep its word? Its test and interval on simulated comparisons whose truth is known.

    python -m benchmarks.comparisons            # 2,000 comparisons a setting; minutes
    python -m benchmarks.comparisons --comparisons 200

A simulated student has a latent score on every question, right where it is above 0: a part of the question, alike for all
seeds, partly shared by both arms; a part of the seed; the rest its own. Every comparison draws other questions and other
seeds. The columns:

    rejects    how often the t test calls two equal arms different, at 5%
    covers     how often the 95% interval holds a true difference of 5 points
    x exact    mean width, over that of the same intervals scaled so that exactly 95% hold it
    x known    mean width, over the one fixed width that would hold it in 95%: what not knowing the spread costs
    unpaired   covers and x known, were the seeds not taken as pairs
    bootstrap  covers and x known of the percentile bootstrap over questions and seeds
    McNemar    how often it rejects, of the majority answers; it holds only where seeds do not differ
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from tinyllm.evaluation.paired_tests import difference, mcnemar

ACCURACY, GAIN = 0.65, 0.05
QUESTION = 0.35  # of the variance of a student's latent scores, what all seeds share
RESAMPLES = 1000


@dataclass(frozen=True)
class Setting:
    """What is simulated."""

    seeds: int
    questions: int
    spread: float  # standard deviation of a seed's true accuracy, in points
    shared: float  # of the questions' part, what both arms share
    shared_seed: float = 0.0  # likewise of the seeds' part


def normal_quantile(share: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(share))


def comparisons(setting: Setting, count: int, gain: float, seed: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield `count` pairs of (seeds, questions), True where right; over all draws the second is right `gain` more often."""
    rng = np.random.default_rng(seed)
    s, n = setting.seeds, setting.questions
    density = math.exp(-(normal_quantile(ACCURACY) ** 2) / 2) / math.sqrt(2 * math.pi)
    by_seed = setting.spread / 100 / density  # one point of accuracy is 1 / density hundredths of the latent score

    def split(shape: tuple[int, int], shared: float) -> tuple[np.ndarray, np.ndarray]:
        common, *own = rng.standard_normal((3, *shape))
        first, second = (math.sqrt(shared) * common + math.sqrt(1 - shared) * part for part in own)
        return first, second

    for _ in range(count):
        questions, seeds = split((1, n), setting.shared), split((s, 1), setting.shared_seed)
        arms = []
        for arm, accuracy in enumerate((ACCURACY, ACCURACY + gain)):
            own = math.sqrt(1 - QUESTION) * rng.standard_normal((s, n))
            middle = normal_quantile(accuracy) * math.hypot(1, by_seed)  # so that the mean over all draws is `accuracy`
            arms.append(middle + math.sqrt(QUESTION) * questions[arm] + by_seed * seeds[arm] + own > 0)
        yield arms[0], arms[1]


def rejections(setting: Setting, count: int, seed: int = 1) -> tuple[float, float]:
    """How often equal arms are called different at 5%: by the difference's test, by McNemar's."""
    by_t = by_mcnemar = 0
    for control, other in comparisons(setting, count, 0.0, seed):
        by_t += difference(control, other, paired=True).p < 0.05
        majority = [2 * arm.sum(axis=0) > setting.seeds for arm in (control, other)]
        by_mcnemar += mcnemar(*majority).p < 0.05
    return by_t / count, by_mcnemar / count


@dataclass(frozen=True)
class Judged:
    """Intervals of a known truth."""

    covers: float
    to_exact: float
    to_known: float


def judge(low: np.ndarray, high: np.ndarray, middle: np.ndarray, truth: float) -> Judged:
    half, miss = (high - low) / 2, np.abs(middle - truth)
    scale, fixed = np.quantile(miss / half, 0.95), np.quantile(miss, 0.95)
    covers = np.mean((low <= truth) & (truth <= high))
    return Judged(float(covers), float(1 / scale), float(half.mean() / fixed))


def intervals(setting: Setting, count: int, paired: bool = True, gain: float = GAIN, seed: int = 2) -> Judged:
    """Judge the difference's intervals where the true difference is `gain`."""
    found = [difference(*pair, paired=paired) for pair in comparisons(setting, count, gain, seed)]
    low, high, middle = (np.array([getattr(one, name) for one in found]) for name in ("low", "high", "mean"))
    return judge(low, high, middle, gain)


def bootstrap_intervals(setting: Setting, count: int, gain: float = GAIN, seed: int = 2) -> Judged:
    """Judge the percentile bootstrap that draws questions and seeds anew, on the same comparisons."""
    rng = np.random.default_rng(3)
    s, n = setting.seeds, setting.questions
    questions = rng.multinomial(n, [1 / n] * n, RESAMPLES) / n  # (resamples, n)
    seeds = rng.multinomial(s, [1 / s] * s, RESAMPLES) / s
    found = []
    for control, other in comparisons(setting, count, gain, seed):
        values = other.astype(float) - control
        means = ((questions @ values.T) * seeds).sum(axis=1)
        found.append((*np.quantile(means, (0.025, 0.975)), values.mean()))
    return judge(*np.array(found).T, gain)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=2000, help="simulated for every number")
    count = parser.parse_args().comparisons
    required = [Setting(*values) for values in product((3, 5), (100, 600), (0.0, 1.0, 3.0), (0.3, 0.9))]
    beyond = [
        Setting(3, 600, 3.0, 0.3, 0.5),  # seeds alike in both arms
        Setting(3, 600, 3.0, 0.3, 0.9),
        Setting(3, 1200, 3.0, 0.3),
        Setting(3, 600, 5.0, 0.3),
        Setting(5, 600, 5.0, 0.3),
        Setting(2, 600, 3.0, 0.3),
        Setting(1, 600, 0.0, 0.3),
    ]
    print("seeds questions spread shared | rejects covers x exact x known | unpaired    | bootstrap   | McNemar")
    for setting in [*required, *beyond]:
        by_t, by_mcnemar = rejections(setting, count)
        ours, unpaired = intervals(setting, count), intervals(setting, count, paired=False)
        plain = bootstrap_intervals(setting, count)
        shared = f"{setting.shared:.1f}" + (f"/{setting.shared_seed:.1f}" if setting.shared_seed else "")
        print(
            f"{setting.seeds:5} {setting.questions:9} {setting.spread:6.1f} {shared:>7}"
            f"| {100 * by_t:6.1f}% {100 * ours.covers:5.1f}% {ours.to_exact:7.2f} {ours.to_known:7.2f} "
            f"| {100 * unpaired.covers:5.1f}% {unpaired.to_known:4.2f} "
            f"| {100 * plain.covers:5.1f}% {plain.to_known:4.2f} | {100 * by_mcnemar:5.1f}%",
            flush=True,
        )


if __name__ == "__main__":
    main()
