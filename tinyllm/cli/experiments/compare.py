"""`tinyllm compare`: is a run better than the control, by how much, and could this test set have told?"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from tinyllm.cli.parsers import Commands
from tinyllm.console import as_json, columns, one_line
from tinyllm.evaluation.wording import p_value, percent, points
from tinyllm.experiments.compare import SIGNIFICANT, Comparison, Pair, Tested, compare, seeds_in_words
from tinyllm.experiments.flips import Flip
from tinyllm.experiments.runs import read_runs
from tinyllm.records.files import atomic_write, writes_straight
from tinyllm.report.figures import Estimate, forest, standalone

PLOT_WIDTH = 480  # pixels of --plot: a name of 40 letters has room
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
        "commit, or `workspace`, what lies in the folder now; RUN@VOICE is what one voice of it answered by itself. The "
        "predictions come from DVC's cache; nothing is fetched.",
    )
    parser.add_argument("control", metavar="CONTROL", help="the run that the others are compared with")
    parser.add_argument("others", metavar="RUN", nargs="+", help="a run; p values of several are Holm-corrected")
    parser.add_argument(
        "--within", metavar="POINTS", help="test whether they are equal within so many points, by two one-sided tests"
    )
    parser.add_argument("--flips", action="store_true", help="list the questions whose majority answer flipped")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.svg", help="also draw the differences with their intervals, for a paper"
    )
    parser.add_argument("--force", action="store_true", help="replace a file of --plot that is there")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the comparison that the command line asks for.

    Raises:
        ValueError: `--within` is no number of points, the file of `--plot` is none that can be drawn or is there already, or
            a run is named twice, cannot be read, or has other questions than the control.
    """
    if arguments.plot is not None:
        _check_plot(arguments.plot, arguments.force)
    within = None if arguments.within is None else _points(arguments.within)
    names = [arguments.control, *arguments.others]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{twice[0]}: named twice; every run is compared with the control once")
    compared = compare(read_runs(names), within, arguments.flips)
    if arguments.plot is not None:
        with atomic_write(arguments.plot) as file:
            file.write(standalone(as_forest(compared)))
    print(as_json(compared, indent=2) if arguments.json else as_text(compared))


def _check_plot(path: Path, force: bool) -> None:
    if path.suffix != ".svg":
        found = f"ends in {path.suffix}" if path.suffix else "has no ending"
        raise ValueError(f"--plot {path}: {found}; allowed is .svg, from which `rsvg-convert -z 4` makes a PNG")
    if path.exists() and not writes_straight(path) and not force:
        raise ValueError(f"--plot {path}: is there already; --force replaces it, or give another name")


def as_forest(compared: Comparison) -> Markup:
    """Return the differences to the control as a drawing; a full dot is one that is shown, after Holm's correction."""
    pairs = compared["comparisons"]
    gains = [(pair["other"], pair["difference"]) for pair in pairs]
    estimates = [
        Estimate(name, gain["value"], gain["low"], gain["high"], gain["p_holm"] < SIGNIFICANT) for name, gain in gains
    ]
    return forest(estimates, pairs[0]["control"], PLOT_WIDTH)


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
