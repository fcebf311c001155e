"""`tinyllm table FILE`: a table of experiments in Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyllm.cli.parsers import Commands
from tinyllm.console import as_json
from tinyllm.experiments.dvc_experiments import find_results
from tinyllm.experiments.grid import read_table
from tinyllm.experiments.markdown import as_markdown, valid_markdown
from tinyllm.experiments.runs import read_commits
from tinyllm.experiments.table import tabulate, tabulate_valid


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "table",
        help="print a table of experiments",
        description="Print a table in Markdown from the experiments that have a result; a cell that has none stays empty.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.yaml", help="a table of experiments/")
    parser.add_argument(
        "--valid", action="store_true", help="accuracy on valid, to choose settings by; test stays unseen"
    )
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the table that the command line asks for.

    Raises:
        ValueError: the table is faulty, or an experiment cannot be read.
    """
    table = read_table(arguments.file)
    results = find_results(table.cells.values())
    if arguments.valid:
        on_valid = tabulate_valid(table, results)
        print(as_json(on_valid, indent=2) if arguments.json else valid_markdown(on_valid))
        return
    by_name = read_commits({result.name: result.commit for result in results.values()})
    runs = {digest: by_name[result.name] for digest, result in results.items()}
    on_test = tabulate(table, runs, results)
    print(as_json(on_test, indent=2) if arguments.json else as_markdown(on_test))
