"""The console command `tinyllm`: what is no stage of the pipeline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from tinyllm.cli import ask, cache, check, cost, estimate, export, page, serve, summary
from tinyllm.cli.experiments import attribute, compare, repro, sweep, table, tune
from tinyllm.console import guard_terminal, report_errors

COMMANDS = (
    check,
    estimate,
    repro,
    cost,
    cache,
    summary,
    page,
    compare,
    attribute,
    tune,
    sweep,
    table,
    ask,
    serve,
    export,
)  # in the order of `--help`


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand: the function that its parser sets as `run`, called with the parsed arguments.

    A mistake ends in one line (see `report_errors`).
    """
    guard_terminal()
    with report_errors():
        words = list(sys.argv[1:] if arguments is None else arguments)
        if words[:1] == ["answers"]:  # its old name
            raise ValueError(f"`tinyllm answers` is now `tinyllm cache`; run {' '.join(['tinyllm cache', *words[1:]])}")
        parsed = _parser().parse_args(export.with_kind(words))
        parsed.run(parsed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tinyllm", description="Distil several language models into a small one.")
    parser.add_argument("--version", action="version", version=f"tinyllm {version('tinyllm')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return parser
