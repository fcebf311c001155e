"""`tinyllm table FILE`: a table of experiments in Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyllm.cli.parsers import Commands
from tinyllm.console import as_json
from tinyllm.experiments.grid import read_table
from tinyllm.experiments.markdown import as_markdown, valid_markdown
from tinyllm.experiments.on_valid import tabulate_valid
from tinyllm.experiments.results.found import find_all, scored
from tinyllm.experiments.table import tabulate


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "table",
        help="print a table of experiments",
        description="Print a table in Markdown from the results that are here, in experiments/results or as experiments; a "
        "cell that has none stays empty.",
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
        ValueError: the table is faulty, or a result cannot be read.
    """
    table = read_table(arguments.file)
    results, notes = find_all(table.cells.values(), arguments.file)
    if arguments.valid:
        on_valid = tabulate_valid(table, results, list(notes.values()))
        print(as_json(on_valid, indent=2) if arguments.json else valid_markdown(on_valid))
        return
    on_test = tabulate(table, scored(results), results, list(notes.values()))
    print(as_json(on_test, indent=2) if arguments.json else as_markdown(on_test))
