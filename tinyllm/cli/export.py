"""`tinyllm export`: a trained student, or the corpus, as a folder of its own with a card, ready for the hub."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tinyllm.cli.parsers import Commands
from tinyllm.params.load import load_params
from tinyllm.project import STUDENTS, check_student, known_seed
from tinyllm.provenance import check_run

KINDS = ("student", "corpus")
MADE_BY = ("download", "query", "assemble")  # the stages that the corpus comes from
EMPTY = "must be empty or not there; without it %(default)s"


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "export",
        help="copy a trained student, or the corpus, into a folder with a card",
        description="Copy a trained student, or the corpus it learnt from, into a folder of its own. The folder has a card "
        "of data, teachers and terms, and can be uploaded to the Hugging Face hub as it is. `tinyllm export FOLDER` is short "
        "for `tinyllm export student FOLDER`.",
    )
    kinds = parser.add_subparsers(title="what to export", required=True, metavar="KIND")
    student = kinds.add_parser("student", help="a trained student, with a model card")
    student.add_argument("folder", type=Path, nargs="?", default=Path("student"), metavar="FOLDER", help=EMPTY)
    student.add_argument("--seed", type=int, help="one of train.seeds; without it the first")
    student.set_defaults(run=run_student)
    corpus = kinds.add_parser("corpus", help="the corpus for `datasets`, as questions, chats and prompts")
    corpus.add_argument("folder", type=Path, nargs="?", default=Path("corpus"), metavar="FOLDER", help=EMPTY)
    corpus.set_defaults(run=run_corpus)


def with_kind(words: Sequence[str]) -> list[str]:
    """Return a command line in which `export FOLDER` says what it exports: a student, the only kind there once was."""
    if words[:1] != ["export"] or len(words) < 2 or words[1] in (*KINDS, "-h", "--help"):
        return [*words]
    return ["export", "student", *words[1:]]


def run_student(arguments: argparse.Namespace) -> None:
    """Export the student that the command line asks for."""
    from tinyllm.export import export  # brings torch

    params = load_params()
    seed = known_seed(arguments.seed, params)
    check_student(STUDENTS / str(seed))
    check_run()
    export(arguments.folder, seed, params)
    print(f"{arguments.folder}: the student of seed {seed}, with its card README.md; read it before you pass it on")


def run_corpus(arguments: argparse.Namespace) -> None:
    """Export the corpus of the run."""
    from tinyllm.export import export_corpus

    params = load_params()
    check_run(kinds=MADE_BY)
    counts = export_corpus(arguments.folder, params)
    told = ", ".join(f"{split} {rows:,}" for split, rows in counts["default"].items())
    print(f"{arguments.folder}: {told} questions, with the card README.md; read it before you pass it on")
