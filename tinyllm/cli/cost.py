"""`tinyllm cost`: what the live teachers were asked and what that cost, by experiment."""

from __future__ import annotations

import argparse

from tinyllm.cli.parsers import Commands
from tinyllm.console import as_json, columns, printable
from tinyllm.project import cache_path
from tinyllm.teachers.cache.ledger import Spending
from tinyllm.teachers.cache.store import ResponseCache

HEADS = ["experiment", "teacher", "calls", "tokens in", "tokens out", "unanswered", "money"]


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("cost", help="say what the live teachers were asked, and what that cost")
    parser.add_argument("--json", action="store_true", help="print one JSON list, an object for each line of the table")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print calls, tokens and money by experiment and teacher, as the answer cache has them."""
    path = cache_path()
    spendings = []
    if path.exists():  # to look is no reason to make one
        with ResponseCache(path) as cache:
            spendings = cache.spendings()
    if arguments.json:
        print(as_json([{**vars(row), "experiment": row.experiment or None} for row in spendings]))
    elif not spendings:
        print(f"{path}: no calls yet")
    else:
        print(columns([HEADS, *map(_cells, spendings)], right=range(2, 7)))
        print(
            f"{path}: {sum(row.calls for row in spendings):,} calls, {sum(row.money or 0 for row in spendings):.4f} in all"
        )


def _cells(row: Spending) -> list[str]:
    names = [printable(row.experiment) or "-", printable(row.teacher)]
    counts = [f"{count:,}" for count in (row.calls, row.prompt_tokens, row.completion_tokens, row.unanswered)]
    return [*names, *counts, "-" if row.money is None else f"{row.money:.4f}"]
