"""The console command `tinyllm`: what is no stage of the pipeline."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from tinyllm.params import load_params


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand; a mistake in params.yaml ends in one line each and exit status 1."""
    parser = argparse.ArgumentParser(prog="tinyllm", description="Distil several language models into a small one.")
    parser.add_argument("--version", action="version", version=f"tinyllm {version('tinyllm')}")
    commands = parser.add_subparsers(title="commands", required=True)
    check = commands.add_parser("check", help="check params.yaml and say what it asks for")
    check.set_defaults(run=check_params)
    given = parser.parse_args(arguments)
    try:
        given.run()
    except ValueError as error:
        sys.exit(f"error: {error}")


def check_params() -> None:
    """Print what the params ask for, in one line a section."""
    params = load_params()
    student, train = params.student, params.train
    weights = {name: params.loss.teacher_alpha.get(name, params.loss.alpha) for name in params.corpus.teachers}
    print(f"data      {params.data.dataset}")
    print(f"teachers  {', '.join(f'{name} (alpha {weight})' for name, weight in weights.items()) or 'none'}")
    print(f"student   {student.origin}{f' {student.model}' if student.model else ''}")
    print(f"train     {train.epochs} epochs, seeds {', '.join(map(str, train.seeds))}")
