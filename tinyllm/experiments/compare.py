"""`tinyllm compare`: is a run better than the control, by how much, and could this test set have told? In numbers and words."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyllm.evaluation.intervals import accuracy_interval
from tinyllm.evaluation.paired_tests import difference, holm, majority_answers, mcnemar
from tinyllm.experiments.runs import Run, read_runs
from tinyllm.records.questions import first_ids

SIGNIFICANT = 0.05


def add_parser(commands: Any) -> None:
    """Add `compare` to the console command's subparsers."""
    parser = commands.add_parser(
        "compare",
        help="say what can be concluded from two runs' predictions on test",
        description="Compare runs with the first, the control, question by question. A run is an experiment, a branch, a "
        "commit, or `workspace`, what lies in the folder now. The predictions come from DVC's cache; nothing is fetched.",
    )
    parser.add_argument("control", metavar="CONTROL", help="the run that the others are compared with")
    parser.add_argument("others", metavar="RUN", nargs="+", help="a run; p values of several are Holm-corrected")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> None:
    """Print the comparison that the command line asks for."""
    names = [given.control, *given.others]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]}: named twice; every run is compared with the control once")
    compared = compare(read_runs(names))
    print(json.dumps(compared, ensure_ascii=False, indent=2) if given.json else as_text(compared))


def compare(runs: Sequence[Run]) -> dict[str, Any]:
    """Return what `--json` prints: every run by itself, and every other against the first.

    Raises:
        ValueError: two runs do not have the same questions; see `check_questions`.
    """
    control, *others = runs
    for other in others:
        check_questions(control, other)
    pairs = [_pair(control, other) for other in others]
    for test in ("difference", "mcnemar"):
        corrected = holm([pair[test]["p"] for pair in pairs])
        for pair, value in zip(pairs, corrected, strict=True):
            pair[test]["p_holm"] = value
    for pair in pairs:
        pair["verdict"] = verdict(pair, len(pairs))
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
        told = "; ".join(f"{len(ids)} only in {name} ({first_ids(ids)})" for name, ids in only.items() if ids)
        raise ValueError(f"{control.name} and {other.name} answer different questions: {told}; {remedy}")
    differing = sorted(one for one in first if first[one] != second[one])
    if differing:
        fields = ("question", "context", "choices", "answer")
        changed = [f for f in fields if any(getattr(first[i], f) != getattr(second[i], f) for i in differing)]
        raise ValueError(
            f"{control.name} and {other.name} answer different questions: {len(differing)} of {len(first)} differ in "
            f"{' and '.join(changed)} under the same id ({first_ids(differing)}); {remedy}"
        )


def _alone(run: Run) -> dict[str, Any]:
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


def _pair(control: Run, other: Run) -> dict[str, Any]:
    paired, several = control.seeds == other.seeds, max(len(control.seeds), len(other.seeds)) > 1
    found = difference(control.right, other.right, paired)
    test = mcnemar(*(majority_answers(run.choices, run.scores) == control.gold for run in (control, other)))
    return {
        "control": control.name,
        "other": other.name,
        "paired_by": ["question", "seed"] if paired else ["question"],
        "notes": _notes(control, other),
        "difference": {
            "value": found.mean,
            "low": found.low,
            "high": found.high,
            "interval": f"t interval over questions{' and seeds' if several else ''}",
            "p": found.p,
            "smallest_shown": found.smallest,
        },
        "mcnemar": {"only_control": test.only_control, "only_other": test.only_other, "p": test.p},
    }


def _notes(control: Run, other: Run) -> list[str]:
    """What the reader has to know of the seeds, and that both may be one and the same run."""
    notes = []
    if _same(control, other):
        notes.append(
            "the predictions are the same to the last digit: one run under two names (`dvc exp run` leaves its experiment "
            "in the workspace), or two that learnt the same (such as where no rationale was left to learn from)"
        )
    if control.seeds != other.seeds:
        seeds = " and ".join(f"{run.name} has {_seeds(run.seeds)}" for run in (control, other))
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


def verdict(pair: dict[str, Any], tests: int) -> str:
    """Return one sentence that says what can be concluded; of several comparisons, after Holm's correction."""
    found, control, other = pair["difference"], pair["control"], pair["other"]
    if found["p_holm"] < SIGNIFICANT:
        better, sign = (other, 1) if found["value"] > 0 else (control, -1)
        low, high = sorted((sign * found["low"], sign * found["high"]))
        than = f" than {control if better == other else other}" if tests > 1 else ""
        return f"{better} is better{than} by {sign * 100 * found['value']:.1f} points ({100 * low:.1f} to {100 * high:.1f})."
    several = f" among {tests} comparisons" if found["p"] < SIGNIFICANT else ""
    return (
        f"No difference can be told{several}: {other} is {_signed(found['value'])} points against {control} "
        f"({_signed(found['low'])} to {_signed(found['high'])}); "
        f"this test could have shown one of {100 * found['smallest_shown']:.1f}."
    )


def as_text(compared: dict[str, Any]) -> str:
    """Return what is printed without `--json`."""
    runs, pairs = compared["runs"], compared["comparisons"]
    width = max(len(run["name"]) for run in runs)
    lines = [f"{'':{width}}  accuracy  95% interval  std over seeds"]
    for run in runs:
        interval = f"{100 * run['low']:.1f} to {100 * run['high']:.1f}"
        spread = "-" if run["seed_std"] is None else f"{100 * run['seed_std']:.1f}"
        lines.append(
            f"{run['name']:{width}}  {100 * run['accuracy']:8.1f}  {interval:12}  {spread} ({_seeds(run['seeds'])})"
        )
    for pair in pairs:
        lines += ["", *_pair_lines(pair, compared["questions"], len(pairs))]
    return "\n".join(lines)


def _pair_lines(pair: dict[str, Any], questions: int, tests: int) -> list[str]:
    found, test = pair["difference"], pair["mcnemar"]
    interval = f"{_signed(found['low'])} to {_signed(found['high'])}"
    split = f"{test['only_other']} right in {pair['other']} alone, {test['only_control']} in {pair['control']} alone"
    return [
        f"{pair['other']} against {pair['control']}: {questions} questions, paired by {' and '.join(pair['paired_by'])}",
        f"  difference   {_signed(found['value'])} points, 95% {found['interval']} {interval}, {_p(found, tests)}",
        f"  McNemar      {_p(test, tests)}, exact, of the seeds' majority answers: {split}; blind to other seeds",
        f"  could show   a difference of {100 * found['smallest_shown']:.1f} points (80% power at 5%, two-sided)",
        *(f"  note         {note}" for note in pair["notes"]),
        f"  {pair['verdict']}",
    ]


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}"


def _p(test: dict[str, Any], tests: int) -> str:
    def told(p: float) -> str:
        return "p < 0.0001" if p < 0.0001 else f"p {p:.4f}"

    return told(test["p"]) + (f" (Holm {told(test['p_holm'])})" if tests > 1 else "")


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
