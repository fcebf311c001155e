"""`tinyllm tune FILE`: choose every row's settings on valid, by the same number of trainings, and write the table with them."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyllm.cli.experiments.sweep import add_workers, count, keep_old, run_cells
from tinyllm.cli.parsers import Commands
from tinyllm.experiments.grid import Cell
from tinyllm.experiments.on_valid import valid_accuracy
from tinyllm.experiments.results.found import find_all
from tinyllm.experiments.sweep import check_commit
from tinyllm.experiments.tune.halving import Search
from tinyllm.experiments.tune.plan import Arm, Plan, distinct, in_words, read_plan
from tinyllm.experiments.tune.tuned_file import at_an_edge, how_chosen, write_tuned


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "tune",
        help="choose the settings of a table's rows on valid, with the same budget for each",
        description="Choose among the candidates of a table's section `tune`: every row by the same number of trainings, "
        "by successive halving over seeds, on valid alone. With --run, train what is missing and write FILE.tuned.yaml.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.yaml", help="a table of experiments/ with a section `tune`")
    parser.add_argument(
        "--run", dest="run_now", action="store_true", help="train now; interrupted, the next call goes on"
    )
    parser.add_argument("--budget", type=count, metavar="N", help="trainings of each row (in each column)")
    add_workers(parser)
    parser.add_argument("--force", action="store_true", help="replace a FILE.tuned.yaml that has another choice")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print how far the choice has come; where the command line asks for it, go on to its end.

    Raises:
        ValueError: the file is faulty, the commit cannot be run from, a training failed, or the table that is to be written
            is there with another choice.
    """
    plan = read_plan(arguments.file, arguments.budget)
    searches, missing = _look(plan, arguments.run_now)
    while missing and arguments.run_now:
        check_commit(missing)
        run_cells(missing, arguments, valid_accuracy, plan.path)
        searches, missing = _look(plan, arguments.run_now)
    for arm in plan.arms:
        print(_line(arm, searches[arm.row], plan))
    if arguments.run_now:
        print(write_tuned(plan, searches, arguments.force))
    elif missing:
        print(f"{len(missing)} trainings come next; `tinyllm tune {plan.path} --run` runs them, and those after them")
    else:
        print(f"all is chosen; `tinyllm tune {plan.path} --run` writes the table")


def _look(plan: Plan, run_now: bool) -> tuple[dict[str, Search], list[Cell]]:
    """How far each row's search has come, and the trainings that their current rounds lack."""
    results, notes = find_all(plan.cells, plan.path)
    if run_now:
        keep_old(plan.cells, {digest: result for digest, result in results.items() if digest not in notes}, plan.path)
    for note in notes.values():
        print(f"note     {note}")
    searches = {arm.row: arm.state(plan.budget, plan.halving, results) for arm in plan.arms}
    wanted = distinct(cell for arm in plan.arms for trial in searches[arm.row].missing for cell in arm.cells[trial])
    return searches, [cell for cell in wanted if cell.digest not in results]


def _line(arm: Arm, search: Search, plan: Plan) -> str:
    if search.chosen is None:
        done = len(search.now) - len(search.missing)
        return f"{arm.row}: round {len(search.rounds) + 1}, {done} of {len(search.now)} trainings are there"
    settings = in_words(arm.candidates[search.chosen]) or "as it is"
    most = max(len(other.candidates) for other in plan.arms)
    fewer = (
        f"; fewer candidates than another row's {most}, so more seeds each" if 1 < len(arm.candidates) < most else ""
    )
    return f"{arm.row}: {settings}: {how_chosen(arm, search, plan)}{at_an_edge(arm, search.chosen)}{fewer}"
