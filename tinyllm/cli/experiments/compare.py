"""`tinyllm compare`: is a run better than the control, by how much, and could this test set have told?"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from tinyllm.cli.parsers import Commands
from tinyllm.console import as_json, columns, one_line
from tinyllm.evaluation.wording import p_value, percent, points
from tinyllm.experiments.compare import Comparison, Pair, Tested, compare, seeds_in_words
from tinyllm.experiments.flips import Flip
from tinyllm.experiments.runs import read_runs

WIDTHS = (16, 36, 16, 16, 16)  # characters that --flips shows of id, question and answers; --json has all of them
DIRECTIONS = (
    ("right_to_wrong", "right in {control}, wrong in {other}"),
    ("wrong_to_right", "wrong in {control}, right in {other}"),
)


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "compare",
        help="say what can be concluded from two runs' predictions on test",
        description="Compare runs with the first, the control, question by question. A run is an experiment, a branch, a "
        "commit, or `workspace`, what lies in the folder now. The predictions come from DVC's cache; nothing is fetched.",
    )
    parser.add_argument("control", metavar="CONTROL", help="the run that the others are compared with")
    parser.add_argument("others", metavar="RUN", nargs="+", help="a run; p values of several are Holm-corrected")
    parser.add_argument(
        "--within", metavar="POINTS", help="test whether they are equal within so many points, by two one-sided tests"
    )
    parser.add_argument("--flips", action="store_true", help="list the questions whose majority answer flipped")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the comparison that the command line asks for.

    Raises:
        ValueError: `--within` is no number of points, or a run is named twice, cannot be read, or has other questions than
            the control.
    """
    within = None if arguments.within is None else _points(arguments.within)
    names = [arguments.control, *arguments.others]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]}: named twice; every run is compared with the control once")
    compared = compare(read_runs(names), within, arguments.flips)
    print(as_json(compared, indent=2) if arguments.json else as_text(compared))


def _points(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 100:
        raise ValueError(f"--within: found {text!r}; allowed is a number of points above 0 and below 100")
    return number


def as_text(compared: Comparison) -> str:
    """Return what is printed without `--json`."""
    pairs = compared["comparisons"]
    rows = [["", "accuracy", "95% interval", "std over seeds"]]
    for alone in compared["runs"]:
        interval = f"{percent(alone['low'])} to {percent(alone['high'])}"
        spread = "-" if alone["seed_std"] is None else percent(alone["seed_std"])
        rows.append(
            [alone["name"], percent(alone["accuracy"]), interval, f"{spread} ({seeds_in_words(alone['seeds'])})"]
        )
    lines = [columns(rows, right=[1])]
    for pair in pairs:
        lines += ["", *_pair_lines(pair, compared["questions"], len(pairs))]
    return "\n".join(lines)


def _pair_lines(pair: Pair, questions: int, tests: int) -> Sequence[str]:
    gain, test = pair["difference"], pair["mcnemar"]
    interval = f"{points(gain['low'])} to {points(gain['high'])}"
    split = f"{test['only_other']} right in {pair['other']} alone, {test['only_control']} in {pair['control']} alone"
    flipped, equal = pair["seed_flips"], pair.get("equivalence")
    students = "seeds" if "seed" in pair["paired_by"] else "pairs of students"
    mean = "" if flipped["pairs"] == 1 else f", mean of {flipped['pairs']} {students}"
    ninety = f"90% interval {points(equal['low'])} to {points(equal['high'])}" if equal else ""
    return [
        f"{pair['other']} against {pair['control']}: {questions} questions, paired by {' and '.join(pair['paired_by'])}",
        f"  difference   {points(gain['value'])} points, 95% {gain['interval']} {interval}, {_p(gain, tests)}",
        *([f"  within {equal['within']:<5g} {_p(equal, tests)}, two one-sided tests, {ninety}"] if equal else []),
        f"  McNemar      {_p(test, tests)}, exact, of the seeds' majority answers: {split}; blind to other seeds",
        f"  a seed       {flipped['wrong_to_right']:.1f} from wrong to right, {flipped['right_to_wrong']:.1f} from right to "
        f"wrong{mean}",
        f"  could show   a difference of {percent(gain['smallest_shown'])} points (80% power at 5%, two-sided)",
        *(f"  note         {note}" for note in pair["notes"]),
        f"  {pair['verdict']}",
        *(_flip_lines(pair) if "flips" in pair else []),
    ]


def _flip_lines(pair: Pair) -> Sequence[str]:
    lines = []
    for direction, words in DIRECTIONS:
        flips = [flip for flip in pair["flips"] if flip["direction"] == direction]
        lines += ["", f"  {words.format(**pair)}, by the majority of seeds: {len(flips)}"]
        if flips:
            rows = [["id", "question", "gold", pair["control"], pair["other"]], *map(_flip_row, flips)]
            shown = columns([[one_line(cell, most) for cell, most in zip(row, WIDTHS, strict=True)] for row in rows])
            lines += [f"  {line}" for line in shown.splitlines()]
    return lines


def _flip_row(flip: Flip) -> list[str]:
    return [flip["id"], flip["question"], flip["gold"], flip["control"], flip["other"]]


def _p(test: Tested, tests: int) -> str:
    return f"p {p_value(test['p'])}" + (f" (Holm p {p_value(test['p_holm'])})" if tests > 1 else "")
