"""`tinyllm cache`: list, export and import what teachers have answered."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from tinyllm.cli.parsers import Commands
from tinyllm.console import columns, printable
from tinyllm.project import cache_path
from tinyllm.teachers.cache.store import ResponseCache, TeacherTotals
from tinyllm.teachers.cache.transfer import export_answers, find_teacher, read_entries

HEADS = ["teacher", "backend", "model", "answers", "tokens in", "tokens out", "first (UTC)", "last (UTC)"]


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("cache", help="list, export or import what teachers have answered")
    parser.set_defaults(run=list_answers)
    actions = parser.add_subparsers(title="actions", description="without one, list the answers per teacher")
    export = actions.add_parser("export", help="write the answers to a JSON-lines file")
    export.add_argument("file", type=Path, metavar="FILE.jsonl")
    export.add_argument("--teacher", metavar="DIGEST", help="only this one's: the start of its digest in the list")
    export.set_defaults(run=save_answers)
    load = actions.add_parser("import", help="take the answers of such a file into the cache")
    load.add_argument("file", type=Path, metavar="FILE.jsonl")
    load.set_defaults(run=load_answers)
    # the old name takes whatever follows it, options too; without `help` it stands in no list
    renamed = commands.add_parser("answers", add_help=False, prefix_chars="\0")
    renamed.add_argument("rest", nargs="*")
    renamed.set_defaults(run=name_new_command)


def list_answers(arguments: argparse.Namespace) -> None:
    """Print what the answer cache holds of every teacher."""
    path = cache_path()
    if not path.exists():  # to look is no reason to make one
        print(f"{path}: no answers yet")
        return
    with ResponseCache(path) as cache:
        totals = cache.totals()
    print(columns([HEADS, *map(_cells, totals)], right=range(3, 6)))
    print(f"{path}: {sum(teacher.answers for teacher in totals):,} answers")


def save_answers(arguments: argparse.Namespace) -> None:
    """Write the cached answers, or those of one teacher, to a JSON-lines file."""
    path = cache_path()
    if not path.exists():
        raise ValueError(f"{path}: no such file; there are no answers to export")
    with ResponseCache(path) as cache:
        teacher = find_teacher(cache.totals(), arguments.teacher) if arguments.teacher is not None else None
        count = export_answers(cache, arguments.file, teacher)
    print(f"{arguments.file}: {count:,} answers")


def load_answers(arguments: argparse.Namespace) -> None:
    """Take the answers of a JSON-lines file into the cache; what the cache holds already stays as it is."""
    entries = read_entries(arguments.file)  # all of them are checked before the cache is opened
    with ResponseCache(cache_path()) as cache:
        new, known, different = cache.merge(entries)
        print(f"{cache.path}: {new:,} new, {known:,} there already")
    if different:
        print(f"{different:,} of these had another answer, which was kept")


def name_new_command(arguments: argparse.Namespace) -> None:
    raise ValueError(f"`tinyllm answers` is now `tinyllm cache`; run {' '.join(['tinyllm cache', *arguments.rest])}")


def _cells(totals: TeacherTotals) -> list[str]:
    names = [printable(str(totals.identity.get(field, "-"))) for field in ("backend", "model")]
    counts = [f"{count:,}" for count in (totals.answers, totals.prompt_tokens, totals.completion_tokens)]
    times = [f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M}" for time in (totals.first, totals.last)]
    return [totals.digest[:10], *names, *counts, *times]
