"""`tinyllm attribute`: which teacher helped, by students that learn without each and from each alone."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

from tinyllm.cli.experiments.sweep import add_workers, keep_old, on_test, print_states, run_cells
from tinyllm.cli.parsers import Commands
from tinyllm.console import as_json, columns
from tinyllm.evaluation.votes import VoiceVotes, vote_parts
from tinyllm.evaluation.wording import percent, points
from tinyllm.experiments.attribution import ALL, attribution_table
from tinyllm.experiments.markdown import as_markdown
from tinyllm.experiments.results.found import find_all, scored
from tinyllm.experiments.results.kept import folder_of
from tinyllm.experiments.runs import WORKSPACE, read_predictions
from tinyllm.experiments.sweep import check_commit, distinct
from tinyllm.experiments.table import Numbers, tabulate
from tinyllm.records.jsonl import read_json

CORPUS = Path("metrics/corpus.json")


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
    add_workers(parser)
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
        run_cells(missing, arguments, on_test, table.path)
        print(f"the results are in {folder_of(table.path)}; commit them, and another machine goes on from there")
        results, doubts = find_all(cells, table.path)
        missing = []
    made = tabulate(table, scored(results), results, [*notes, *doubts.values()])
    made["made_by"] = " ".join(["tinyllm attribute", *filter(None, [arguments.run_name])])
    votes, agreement = _votes(arguments.run_name), _agreement(arguments.run_name)
    if arguments.json:
        print(as_json({"arms": made, "votes": votes, "agreement": agreement}, indent=2))
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


def _agreement(name: str | None) -> dict[str, dict[str, float]]:
    """How often two teachers state the same answer, by their names; {} where the corpus is not that of params.yaml here."""
    if name is not None or not CORPUS.is_file():
        return {}
    found: dict[str, dict[str, float]] = read_json(CORPUS).get("agreement", {})
    return found


def _agreement_lines(agreement: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = [
        f"{' and '.join(pair.split('+'))} state the same answer in {percent(found['same_answer'])}% of the "
        f"{found['both_state']:,} questions on which both state one"
        for pair, found in agreement.items()
        if found.get("both_state")
    ]
    return ["\n".join(lines)] if lines else []
