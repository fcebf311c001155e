"""The console command `tinyllm`: what is no stage of the pipeline."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tinyllm.cli.ask import add_parser as add_ask
from tinyllm.cli.ask import printable
from tinyllm.cli.ask import run as run_ask
from tinyllm.console import report_errors
from tinyllm.datasets.load import load_set, without_question
from tinyllm.experiments.compare import add_parser as add_compare
from tinyllm.experiments.sweep import add_parser as add_sweep
from tinyllm.experiments.table import add_parser as add_table
from tinyllm.export.folder import add_parser as add_export
from tinyllm.export.folder import run as run_export
from tinyllm.params.load import load_params
from tinyllm.params.schema import Params
from tinyllm.project import cache_path
from tinyllm.records.questions import read_questions
from tinyllm.teachers.cache.store import ResponseCache, TeacherTotals
from tinyllm.teachers.cache.transfer import export_answers, find_teacher, read_entries
from tinyllm.teachers.estimate import estimate
from tinyllm.teachers.open import open_live, recorded_source


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand: the function that its parser sets as `run`, called with the parsed arguments.

    A mistake ends in one line (see `report_errors`).
    """
    given = _parser().parse_args(arguments)
    with report_errors():
        try:
            given.run(given)
            sys.stdout.flush()  # here, where a closed pipe can still be caught
        except BrokenPipeError:  # such as `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more on its way out
            sys.exit(141)  # what a shell reports of any program that ends so


def check_params(given: argparse.Namespace) -> None:
    """Print what the params ask for, in one line a section; of a folder of the user's own what it holds, too.

    Raises:
        ValueError: params.yaml or that folder is faulty.
    """
    params = load_params()
    student, train = params.student, params.train
    weights = {name: params.loss.teacher_alpha.get(name, params.loss.alpha) for name in params.corpus.teachers}
    print(f"data      {_own_folder(params) if params.data.dataset == 'jsonl' else params.data.dataset}")
    print(f"teachers  {', '.join(f'{name} (alpha {weight})' for name, weight in weights.items()) or 'none'}")
    print(f"student   {student.origin}{f' {student.model}' if student.model else ''}")
    print(f"train     {train.epochs} epochs, seeds {', '.join(map(str, train.seeds))}")


def _own_folder(params: Params) -> str:
    """Read the folder as the stages will, and say how much of everything it has."""
    loaded = load_set(params.data)
    lost = without_question(loaded)
    counts = [f"{split} {len(questions)}" for split, questions in loaded.splits.items()]
    for name in params.corpus.teachers:
        if params.teachers[name].backend == "recorded":
            if name not in loaded.recorded:
                found = ", ".join(loaded.recorded) or "none"
                missing = recorded_source(name, params.data)
                raise ValueError(f"{missing}: no such file; teachers recorded there: {found}")
            stray = set(lost.get(name, []))
            said = sum(row["rationale"] is not None for row in loaded.recorded[name] if row["id"] not in stray)
            more = f" ({len(stray)} more of no question here)" if stray else ""
            counts.append(f"rationales of {name} {said}{more}")
    return f"{params.data.folder}: {', '.join(counts)}"


def print_estimate(given: argparse.Namespace) -> None:
    """Print what the teachers of the corpus have yet to be asked, and what that costs at most."""
    params = load_params()
    splits = {split: read_questions(f"data/questions/{split}.jsonl") for split in ("train", "valid", "test")}
    live = [name for name in params.corpus.teachers if params.teachers[name].backend in ("local", "server")]
    if not live:
        print("no teacher of corpus.teachers is asked live; the others cost nothing")
        return
    rows = [["teacher", "stage", "calls", "cached", "too long", "tokens in", "tokens out", "cost, all at most"]]
    for name in live:
        teacher = open_live(name, params, splits["train"])
        asked = {"query": ([*splits["train"], *splits["valid"]], params.prompt.teacher_forcing)}
        for stage, (questions, forced) in {**asked, "exam": (splits["test"], False)}.items():
            found = estimate(teacher, questions, forced)
            counts = (found.calls, found.cached, found.too_long, found.prompt_tokens, found.completion_tokens)
            rows.append([name, stage, *(f"{count:,}" for count in counts), f"{found.cost:.4f}"])
    _print_table(rows, right=range(2, 8))


def list_answers(given: argparse.Namespace) -> None:
    """Print what the answer cache holds of every teacher."""
    path = cache_path()
    if not path.exists():  # to look is no reason to make one
        print(f"{path}: no answers yet")
        return
    with ResponseCache(path) as cache:
        holdings = cache.totals()
    columns = ["teacher", "backend", "model", "answers", "tokens in", "tokens out", "first (UTC)", "last (UTC)"]
    _print_table([columns, *(_cells(holding) for holding in holdings)], right=range(3, 6))
    print(f"{path}: {sum(holding.answers for holding in holdings):,} answers")


def save_answers(given: argparse.Namespace) -> None:
    """Write the cached answers, or those of one teacher, to a JSON-lines file."""
    path = cache_path()
    if not path.exists():
        raise ValueError(f"{path}: no such file; there are no answers to export")
    with ResponseCache(path) as cache:
        teacher = find_teacher(cache.totals(), given.teacher) if given.teacher is not None else None
        count = export_answers(cache, given.file, teacher)
    print(f"{given.file}: {count:,} answers")


def load_answers(given: argparse.Namespace) -> None:
    """Take the answers of a JSON-lines file into the cache; what the cache holds already stays as it is."""
    entries = read_entries(given.file)  # all of them are checked before the cache is opened
    with ResponseCache(cache_path()) as cache:
        new, known, different = cache.merge(entries)
        print(f"{cache.path}: {new:,} new, {known:,} there already")
    if different:
        print(f"{different:,} of these had another answer, which was kept")


def ask_student(given: argparse.Namespace) -> None:
    """Let a trained student answer."""
    run_ask(given, load_params())


def export_student(given: argparse.Namespace) -> None:
    """Copy a trained student into a folder, with its model card."""
    run_export(given, load_params())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tinyllm", description="Distil several language models into a small one.")
    parser.add_argument("--version", action="version", version=f"tinyllm {version('tinyllm')}")
    commands = parser.add_subparsers(title="commands", required=True)
    check = commands.add_parser("check", help="check params.yaml and say what it asks for")
    check.set_defaults(run=check_params)
    guess = commands.add_parser("estimate", help="say what the live teachers have yet to be asked, and what it costs")
    guess.set_defaults(run=print_estimate)
    _add_answers(commands)
    add_compare(commands)
    add_sweep(commands)
    add_table(commands)
    add_ask(commands).set_defaults(run=ask_student)
    add_export(commands).set_defaults(run=export_student)
    return parser


def _add_answers(commands: Any) -> None:
    answers = commands.add_parser("answers", help="list, export or import what teachers have answered")
    answers.set_defaults(run=list_answers)
    actions = answers.add_subparsers(title="actions", description="without one, list the answers per teacher")
    export = actions.add_parser("export", help="write the answers to a JSON-lines file")
    export.add_argument("file", type=Path, metavar="FILE.jsonl")
    export.add_argument("--teacher", metavar="DIGEST", help="only this one's: the start of its digest in the list")
    export.set_defaults(run=save_answers)
    load = actions.add_parser("import", help="take the answers of such a file into the cache")
    load.add_argument("file", type=Path, metavar="FILE.jsonl")
    load.set_defaults(run=load_answers)


def _print_table(rows: Sequence[Sequence[str]], right: range) -> None:
    """Print the rows in columns as wide as their longest cell; `right` are the columns of numbers."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [
            f"{cell:>{width}}" if column in right else f"{cell:<{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _cells(holding: TeacherTotals) -> list[str]:
    names = [printable(str(holding.identity.get(field, "-"))) for field in ("backend", "model")]
    counts = [f"{count:,}" for count in (holding.answers, holding.prompt_tokens, holding.completion_tokens)]
    times = [f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M}" for time in (holding.first, holding.last)]
    return [holding.digest[:10], *names, *counts, *times]
