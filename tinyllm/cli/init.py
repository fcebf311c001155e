"""`tinyllm init`: a new project around questions of one's own, or a project taken to the version that is installed."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyllm.cli.parsers import Commands
from tinyllm.scaffold import DEFAULT_SEED, lay_out, upgrade

NEXT = """\
Go on:
  cd {folder}
  dvc repro                                 # asks, audits, trains, scores: the whole pipeline
  tinyllm summary                           # how good the students are
  tinyllm ask < questions/test.jsonl        # a student answers"""


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "init",
        help="lay out a new project around questions of your own",
        description="Lay out a new folder with the pipeline, params.yaml and your questions, under git and DVC. `dvc repro` "
        "runs there. With --upgrade, take the version that is installed over into the project in this folder.",
    )
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="must be empty or not there")
    parser.add_argument(
        "--questions",
        type=Path,
        metavar="PATH",
        help="a file of JSON lines, which is split, or a folder with train.jsonl, valid.jsonl and test.jsonl; recorded "
        "rationales lie beside them, in rationales/TEACHER.jsonl, or in the rows",
    )
    parser.add_argument(
        "--teacher",
        action="append",
        default=[],
        metavar="TEACHER",
        help="may be repeated: the NAME of a recorded teacher or of one in params.yaml; NAME=URL,MODEL, a server; or "
        "NAME=local,MODEL, a model on this machine. Without it: every teacher whose rationales are there",
    )
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help=f"of the split of one file ({DEFAULT_SEED})")
    parser.add_argument(
        "--upgrade", action="store_true", help="take the installed version over into this folder's project"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Make or upgrade a project.

    Raises:
        ValueError: the command line, the questions or the folder are faulty.
    """
    if arguments.upgrade:
        if arguments.folder or arguments.questions or arguments.teacher:
            raise ValueError("--upgrade: takes nothing else; run it in the project's folder")
        print("\n".join(upgrade()))
        return
    if arguments.folder is None or arguments.questions is None:
        lacking = "FOLDER" if arguments.folder is None else "--questions PATH"
        raise ValueError(f"tinyllm init FOLDER --questions PATH: {lacking} is missing; `tinyllm init --help` says more")
    print("\n".join(lay_out(arguments.folder, arguments.questions, arguments.teacher, arguments.seed)))
    print(NEXT.format(folder=arguments.folder))
