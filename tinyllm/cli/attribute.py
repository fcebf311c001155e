"""`tinyllm attribute`: which teacher helped, by students that learn without each and from each alone."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

from tinyllm.cli.parsers import Commands
from tinyllm.cli.sweep import count, keep_old, on_test, print_states, run_cells
from tinyllm.console import as_json, columns
from tinyllm.corpus.agreement import Agreement, teacher_agreement
from tinyllm.corpus.inputs import RationaleTable
from tinyllm.evaluation.votes import VoiceVotes, vote_parts
from tinyllm.evaluation.wording import percent, points
from tinyllm.experiments.attribution import ALL, attribution_table
from tinyllm.experiments.markdown import as_markdown
from tinyllm.experiments.results.found import find_all, scored
from tinyllm.experiments.results.kept import folder_of
from tinyllm.experiments.runs import WORKSPACE, read_predictions
from tinyllm.experiments.sweep import check_commit, default_jobs, distinct
from tinyllm.experiments.table import Numbers, tabulate
from tinyllm.params.load import load_params
from tinyllm.params.schema import Params
from tinyllm.records.questions import read_questions

TRAIN = Path("data/questions/train.jsonl")
RATIONALES = Path("data/rationales")


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "attribute",
        help="say which teacher helped the students",
        description="Compare students that learnt from all teachers with students that learn without each teacher, and from "
        "each alone. With --run, run those experiments that are missing. What voices did in a vote, and how often teachers "
        "agree, is told without any training.",
    )
    parser.add_argument("run_name", metavar="RUN", nargs="?", help="an experiment; left out, params.yaml as it is here")
    parser.add_argument("--run", dest="run_now", action="store_true", help="run the missing experiments now")
    parser.add_argument("--jobs", type=count, metavar="N", help="so many at once, as in `tinyllm sweep`")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print who helped; where the command line asks for it, run the arms first.

    Raises:
        ValueError: there are not two teachers, params or a result are faulty, or an experiment failed.
    """
    table, notes = attribution_table(arguments.run_name)
    cells = distinct(table)
    results, doubts = find_all(cells, table.path)
    missing = [cell for cell in cells if cell.digest not in results]
    if missing and arguments.run_now:
        check_commit(missing)
        print_states(table, results, on_test)
        keep_old(cells, {digest: result for digest, result in results.items() if digest not in doubts}, table.path)
        run_cells(missing, arguments.jobs or default_jobs(missing), on_test, table.path)
        print(f"the results are in {folder_of(table.path)}; commit them, and another machine goes on from there")
        results, doubts = find_all(cells, table.path)
        missing = []
    made = tabulate(table, scored(results), results, [*notes, *doubts.values()])
    made["made_by"] = " ".join(["tinyllm attribute", *filter(None, [arguments.run_name])])
    votes, agreement = _votes(arguments.run_name), _agreement(load_params())
    if arguments.json:
        print(as_json({"arms": made, "votes": votes, "agreement": _listed(agreement)}, indent=2))
        return
    print("\n\n".join([*_arms(made, missing), *_vote_lines(votes), *_agreement_lines(agreement)]))


def _arms(made: Numbers, missing: Iterable[object]) -> list[str]:
    count_missing = len(list(missing))
    if all(row["mean"]["value"] is None for part in made["parts"] for row in part["rows"]):
        arms = [row["row"] for part in made["parts"] for row in part["rows"]]
        return [f"No arm has a result yet ({', '.join(arms)}); `{made['made_by']} --run` runs them.", *made["notes"]]
    note = f"{count_missing} arms have no result yet; `{made['made_by']} --run` runs them." if count_missing else ""
    reading = f"A row below {ALL} is worse without what it lacks: a teacher helped whose absence costs points."
    return [as_markdown(made), *filter(None, [note, reading])]


def _votes(name: str | None) -> VoiceVotes | None:
    """What the voices of the run did, None where it has no predictions here or was not asked in voices."""
    if name is None and not Path("data/predictions.jsonl").is_file():
        return None
    return vote_parts([row for rows in read_predictions(name or WORKSPACE).values() for row in rows])


def _vote_lines(votes: VoiceVotes | None) -> list[str]:
    if votes is None:
        return []
    rows = [["voice", "alone", "of the vote", "carried", "misled", "vote without it"]]
    for teacher, part in votes["voices"].items():
        change = points(part["without"] - votes["accuracy"])
        shares = [percent(part[key]) for key in ("accuracy", "weight", "carried", "misled")]
        rows.append([teacher, *shares, f"{percent(part['without'])} ({change})"])
    head = (
        f"The vote is right in {percent(votes['accuracy'])}% of the answers. A voice carried those that are right and would "
        "be wrong without it, and misled those that are wrong and would be right; no student was trained anew."
    )
    return [head, columns(rows, right=range(1, 5))]


def _agreement(params: Params) -> dict[tuple[str, str], Agreement]:
    """How often the teachers state the same answer on train; {} where their rationales are not here."""
    paths = {name: RATIONALES / f"{name}.jsonl" for name in params.corpus.teachers}
    if not TRAIN.is_file() or not all(path.is_file() for path in paths.values()):
        return {}
    tables = {name: RationaleTable(path) for name, path in paths.items()}
    return teacher_agreement(read_questions(TRAIN), tables, params.corpus.thinking)


def _agreement_lines(agreement: Mapping[tuple[str, str], Agreement]) -> list[str]:
    told = {pair: found for pair, found in agreement.items() if found.both}
    if not told:
        return []
    lines = [
        f"{one} and {other} state the same answer in {percent(found.same / found.both)}% of {found.both:,} train questions"
        for (one, other), found in told.items()
    ]
    return ["\n".join(lines)]


def _listed(agreement: Mapping[tuple[str, str], Agreement]) -> list[dict[str, object]]:
    return [{"teachers": pair, "both": found.both, "same": found.same} for pair, found in agreement.items()]
