"""Is a run better than the control, by how much, and could this test set have told? In numbers and a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np

from tinyllm.evaluation.intervals import accuracy_interval
from tinyllm.evaluation.paired_tests import difference, equivalence, holm, majority_answers, mcnemar
from tinyllm.evaluation.wording import percent, points
from tinyllm.experiments.flips import Flip, SeedFlips, list_flips, seed_flips
from tinyllm.experiments.runs import Run
from tinyllm.records.questions import first_ids

SIGNIFICANT = 0.05


class Tested(TypedDict):
    """A test's p value, alone and corrected for the number of comparisons."""

    p: float
    p_holm: float


class Difference(Tested):
    """The paired difference of two accuracies, in shares."""

    value: float
    low: float
    high: float
    interval: str  # over what it is, in words
    smallest_shown: float  # the difference that would be shown in 80% of such comparisons


class McNemar(Tested):
    only_control: int  # questions that the control alone has right
    only_other: int


class Equivalence(Tested):
    """Two one-sided tests: whether the difference lies within so much of nothing."""

    within: float  # in points, as it was asked for
    low: float  # of the 90% interval, in shares
    high: float


class Alone(TypedDict):
    """One run by itself, in shares."""

    name: str
    seeds: list[int]
    accuracy: float
    low: float
    high: float
    seed_accuracies: list[float]
    seed_std: float | None  # None of one seed


class Pair(TypedDict):
    """A run against the control."""

    control: str
    other: str
    paired_by: list[str]
    notes: list[str]
    difference: Difference
    equivalence: NotRequired[Equivalence]  # where it was asked for
    mcnemar: McNemar
    seed_flips: SeedFlips
    flips: NotRequired[list[Flip]]  # where they were asked for
    verdict: str


class Comparison(TypedDict):
    """What `tinyllm compare --json` prints."""

    questions: int
    runs: list[Alone]
    comparisons: list[Pair]


def compare(runs: Sequence[Run], within: float | None = None, flips: bool = False) -> Comparison:
    """Return every run by itself, and every other against the first.

    Args:
        within: points; whether runs are equal within so many is tested, too
        flips: list the questions whose majority answer flipped

    Raises:
        ValueError: two runs do not have the same questions; see `check_questions`.
    """
    control, *others = runs
    for other in others:
        check_questions(control, other)
    pairs = [_pair(control, other, within) for other in others]
    equal = [pair["equivalence"] for pair in pairs if "equivalence" in pair]
    for tests in ([pair["difference"] for pair in pairs], [pair["mcnemar"] for pair in pairs], equal):
        for test, corrected in zip(tests, holm([test["p"] for test in tests]), strict=True):
            test["p_holm"] = corrected
    for pair, other in zip(pairs, others, strict=True):
        pair["verdict"] = verdict(pair, len(pairs))
        if flips:
            pair["flips"] = list_flips(control, other)
    return {"questions": len(control.questions), "runs": [_alone(run) for run in runs], "comparisons": pairs}


def check_questions(control: Run, other: Run) -> None:
    """Refuse runs whose test questions differ.

    Raises:
        ValueError: an id stands in one run only, or under one id the text, context, options or gold differ.
    """
    first, second = ({question.id: question for question in run.questions} for run in (control, other))
    remedy = "only runs on the same test questions can be compared"
    only = {run.name: sorted(a.keys() - b.keys()) for run, a, b in ((control, first, second), (other, second, first))}
    if any(only.values()):
        where = "; ".join(f"{len(ids)} only in {name} ({first_ids(ids)})" for name, ids in only.items() if ids)
        raise ValueError(f"{control.name} and {other.name} answer different questions: {where}; {remedy}")
    differing = sorted(name for name in first if first[name] != second[name])
    if differing:
        fields = ("question", "context", "choices", "answer")
        changed = [f for f in fields if any(getattr(first[i], f) != getattr(second[i], f) for i in differing)]
        raise ValueError(
            f"{control.name} and {other.name} answer different questions: {len(differing)} of {len(first)} differ in "
            f"{' and '.join(changed)} under the same id ({first_ids(differing)}); {remedy}"
        )


def _alone(run: Run) -> Alone:
    low, high = accuracy_interval(run.right)
    by_seed = run.right.mean(axis=1)
    return {
        "name": run.name,
        "seeds": list(run.seeds),
        "accuracy": float(run.right.mean()),
        "low": low,
        "high": high,
        "seed_accuracies": by_seed.tolist(),
        "seed_std": float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None,
    }


def _pair(control: Run, other: Run, within: float | None) -> Pair:
    """The p values are not corrected yet, and the verdict waits for that."""
    paired, several = control.seeds == other.seeds, max(len(control.seeds), len(other.seeds)) > 1
    gain = difference(control.right, other.right, paired)
    test = mcnemar(*(majority_answers(run.choices, run.scores) == control.gold for run in (control, other)))
    pair: Pair = {
        "control": control.name,
        "other": other.name,
        "paired_by": ["question", "seed"] if paired else ["question"],
        "notes": _notes(control, other),
        "difference": {
            "value": gain.mean,
            "low": gain.low,
            "high": gain.high,
            "interval": f"t interval over questions{' and seeds' if several else ''}",
            "p": gain.p,
            "smallest_shown": gain.smallest,
            "p_holm": gain.p,
        },
        "mcnemar": {"only_control": test.only_control, "only_other": test.only_other, "p": test.p, "p_holm": test.p},
        "seed_flips": seed_flips(control, other),
        "verdict": "",
    }
    if within is not None:
        equal = equivalence(gain, within / 100)
        pair["equivalence"] = {
            "within": within,
            "low": equal.low,
            "high": equal.high,
            "p": equal.p,
            "p_holm": equal.p,
        }
    return pair


def _notes(control: Run, other: Run) -> list[str]:
    """What the reader has to know of the seeds, and that both may be one and the same run."""
    notes = []
    if _same(control, other):
        notes.append(
            "the predictions are the same to the last digit: one run under two names (`dvc exp run` leaves its experiment "
            "in the workspace), or two that learnt the same (such as where no rationale was left to learn from)"
        )
    if control.seeds != other.seeds:
        seeds = " and ".join(f"{run.name} has {seeds_in_words(run.seeds)}" for run in (control, other))
        notes.append(f"{seeds}: paired by question only, on the mean over seeds")
    for run in (control, other):
        if len(run.seeds) == 1:
            notes.append(f"{run.name} has one seed: the interval says nothing of its other seeds")
    return notes


def _same(control: Run, other: Run) -> bool:
    """Whether both gave the same answers with the same scores, seed by seed; of free text the answers are all there is."""
    return (
        control.seeds == other.seeds
        and np.array_equal(control.choices, other.choices)
        and all(map(np.array_equal, control.scores, other.scores))
    )


def verdict(pair: Pair, tests: int) -> str:
    """Return one sentence that says what can be concluded; of several comparisons, after Holm's correction."""
    gain, control, other = pair["difference"], pair["control"], pair["other"]
    equal = pair.get("equivalence")
    shown_equal = equal if equal and equal["p_holm"] < SIGNIFICANT else None
    if gain["p_holm"] < SIGNIFICANT:
        better, sign = (other, 1) if gain["value"] > 0 else (control, -1)
        low, high = sorted((sign * gain["low"], sign * gain["high"]))
        than = f" than {control if better == other else other}" if tests > 1 else ""
        by = f"{better} is better{than} by {percent(sign * gain['value'])} points ({percent(low)} to {percent(high)})"
        return (
            f"{by}, and both are equal within {in_points(shown_equal)} (90% interval {_ninety(shown_equal)})."
            if shown_equal
            else f"{by}."
        )
    against = f"{other} is {points(gain['value'])} points against {control}"
    if shown_equal:
        return f"Equal within {in_points(shown_equal)}: {against} (90% interval {_ninety(shown_equal)})."
    several = f" among {tests} comparisons" if gain["p"] < SIGNIFICANT else ""
    return (
        f"No difference can be told{several}: {against} ({points(gain['low'])} to {points(gain['high'])}); "
        f"this test could have shown one of {percent(gain['smallest_shown'])}."
        + (f" Nor are they shown to be equal within {in_points(equal)}." if equal else "")
    )


def in_points(equal: Equivalence) -> str:
    """Return how much counts as equal, in words."""
    return f"{equal['within']:g} point{'' if equal['within'] == 1 else 's'}"


def _ninety(equal: Equivalence) -> str:
    return f"{points(equal['low'])} to {points(equal['high'])}"


def seeds_in_words(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
