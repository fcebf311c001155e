"""`tinyllm export`: a copy of a trained student with its model card, ready for the hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyllm.cli.parsers import Commands
from tinyllm.params.load import load_params
from tinyllm.project import STUDENTS, check_student, known_seed
from tinyllm.provenance import check_run


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "export",
        help="copy a trained student into a folder, with a model card",
        description="Copy a trained student into a folder of its own, with a model card of its data, teachers, metrics and "
        "limits. The folder can be uploaded to the Hugging Face hub as it is.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="must be empty or not there")
    parser.add_argument("--seed", type=int, help="one of train.seeds; without it the first")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Export the student that the command line asks for."""
    from tinyllm.export import export  # brings torch

    params = load_params()
    seed = known_seed(arguments.seed, params)
    check_student(STUDENTS / str(seed))
    check_run()
    export(arguments.folder, seed, params)
    print(f"{arguments.folder}: the student of seed {seed}, with its card README.md; read it before you pass it on")
