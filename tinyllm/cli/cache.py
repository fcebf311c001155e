"""`tinyllm cache`: list, export, import and forget what teachers have answered."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tinyllm.cli.parsers import Commands
from tinyllm.console import columns, printable
from tinyllm.params.load import load_params
from tinyllm.project import cache_path
from tinyllm.records.files import writes_straight
from tinyllm.teachers.cache.forget import STATUS, Selection, check_key, parse_since
from tinyllm.teachers.cache.store import ResponseCache, Source, TeacherTotals
from tinyllm.teachers.cache.transfer import export_answers, find_teachers, origin_of, read_entries
from tinyllm.teachers.registry import registry_names

HEADS = ["digest", "teacher", "backend", "model", "answers", "tokens in", "tokens out", "first (UTC)", "last (UTC)"]
PARAMS = Path("params.yaml")
TEACHER = "only this one's: its name in params.yaml, or the start of its digest in the list"


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("cache", help="list, export, import or forget what teachers have answered")
    parser.set_defaults(run=list_answers)
    actions = parser.add_subparsers(title="actions", description="without one, list the answers per teacher")
    actions.add_parser("list", help="list the answers per teacher").set_defaults(run=list_answers)
    export = actions.add_parser("export", help="write the answers to a JSON-lines file")
    export.add_argument("file", type=Path, metavar="FILE.jsonl")
    export.add_argument("--teacher", metavar="TEACHER", help=TEACHER)
    export.set_defaults(run=save_answers)
    load = actions.add_parser("import", help="take the answers of such a file into the cache")
    load.add_argument("file", type=Path, metavar="FILE.jsonl")
    load.set_defaults(run=load_answers)
    _add_forget(actions)


def _add_forget(actions: Commands) -> None:
    forget = actions.add_parser(
        "forget",
        help="delete answers, so that they are asked for again",
        description="Delete the answers that meet all that is given, so that the next query asks for them again. What they "
        "cost stays in `tinyllm cost`.",
    )
    forget.add_argument("--teacher", metavar="TEACHER", help=TEACHER)
    forget.add_argument(
        "--digest", metavar="KEY", help="only this answer: the start of its key, as in an exported file"
    )
    forget.add_argument("--status", choices=STATUS, help="only those that ended so, are empty, or were imported")
    forget.add_argument(
        "--since", metavar="TIME", help="only those answered since a date, a time (UTC), or 2d, 3h, 30m"
    )
    forget.add_argument("--dry-run", action="store_true", help="say how many it would forget, and forget nothing")
    forget.add_argument("--yes", action="store_true", help="do it without asking")
    forget.set_defaults(run=forget_answers)


def list_answers(arguments: argparse.Namespace) -> None:
    """Print what the answer cache holds of every teacher, and which answers were imported or name another model."""
    path = cache_path()
    if not path.exists():  # to look is no reason to make one
        print(f"{path}: no answers yet")
        return
    with ResponseCache(path) as cache:
        totals, sources = cache.totals(), cache.sources()
    names = _names(totals)
    print(columns([HEADS, *(_cells(teacher, names[teacher.digest]) for teacher in totals)], right=range(4, 7)))
    for line in _remarks(totals, sources):
        print(line)
    print(f"{path}: {sum(teacher.answers for teacher in totals):,} answers")


def save_answers(arguments: argparse.Namespace) -> None:
    """Write the cached answers, or those of one teacher, to a JSON-lines file."""
    path = _existing("export")
    with ResponseCache(path) as cache:
        count = export_answers(cache, arguments.file, _wanted(cache.totals(), arguments.teacher))
    straight = writes_straight(arguments.file)  # into a pipe, say, that must hold nothing else
    print(f"{arguments.file}: {count:,} answers", file=sys.stderr if straight else sys.stdout)


def load_answers(arguments: argparse.Namespace) -> None:
    """Take the answers of a JSON-lines file into the cache; what the cache holds already stays as it is."""
    imported = read_entries(arguments.file)  # all of them are checked before the cache is opened
    with ResponseCache(cache_path()) as cache:
        new, known, different = cache.merge(imported.entries, origin_of(arguments.file))
        print(f"{cache.path}: {new:,} new, {known:,} there already")
    if different:
        print(f"{different:,} of these had another answer; the one that was here is kept")
    if imported.unchecked:
        print(f"{arguments.file}: an older version wrote it, without checksums; a changed text would not be seen")


def forget_answers(arguments: argparse.Namespace) -> None:
    """Delete the answers that the command line selects, once that is confirmed."""
    path = _existing("forget")
    with ResponseCache(path) as cache:
        selection = _selection(arguments, cache.totals())
        counts = cache.count(selection)
        found = f"{sum(counts.values()):,} answers of {len(counts):,} teachers"
        if arguments.dry_run or not counts:
            print(f"{path}: {found} would be forgotten; nothing was")
            return
        if not arguments.yes:
            _confirm(f"{path}: forget {found}?")
        print(f"{path}: {cache.forget(selection):,} answers forgotten; what they cost stays in `tinyllm cost`")
    print("a stage that is up to date asks for them only when it is forced: dvc repro --force query@TEACHER")


def _existing(purpose: str) -> Path:
    path = cache_path()
    if not path.exists():
        raise ValueError(f"{path}: no such file; there are no answers to {purpose}")
    return path


def _selection(arguments: argparse.Namespace, totals: Sequence[TeacherTotals]) -> Selection:
    """Return which answers the options select.

    Raises:
        ValueError: there are none, or one of them selects nothing that could be.
    """
    selection = Selection(
        _wanted(totals, arguments.teacher),
        None if arguments.digest is None else check_key(arguments.digest),
        arguments.status,
        None if arguments.since is None else parse_since(arguments.since, time.time()),
    )
    if selection == Selection():
        raise ValueError(
            "say which answers: --teacher, --digest, --status or --since; --since 1970-01-01 is all of them"
        )
    return selection


def _confirm(question: str) -> None:
    """Ask at a terminal.

    Raises:
        ValueError: the answer is not yes, or nobody can be asked.
    """
    if sys.stdin is None or not sys.stdin.isatty():
        raise ValueError(f"{question} nothing was; add --yes to do it, or --dry-run to look")
    print(f"{question} [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ValueError("nothing was forgotten")


def _wanted(totals: Sequence[TeacherTotals], teacher: str | None) -> tuple[str, ...] | None:
    return None if teacher is None else find_teachers(totals, _names(totals), teacher)


def _names(totals: Sequence[TeacherTotals]) -> Mapping[str, Sequence[str]]:
    """Return the names that params.yaml has for each digest; none where there is no such file, or a faulty one."""
    identities = {teacher.digest: teacher.identity for teacher in totals}
    if not PARAMS.is_file():
        return dict.fromkeys(identities, ())
    try:
        return registry_names(load_params(), identities)
    except ValueError as error:
        print(f"note: {str(error).splitlines()[0]}; teachers are shown without their names", file=sys.stderr)
        return dict.fromkeys(identities, ())


def _cells(totals: TeacherTotals, names: Sequence[str]) -> list[str]:
    backend, model, url = (printable(str(totals.identity.get(field, "-"))) for field in ("backend", "model", "url"))
    shown = model if names or url == "-" else f"{model} at {url}"
    counts = [f"{count:,}" for count in (totals.answers, totals.prompt_tokens, totals.completion_tokens)]
    times = [f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M}" for time in (totals.first, totals.last)]
    return [totals.digest[:10], ", ".join(names) or "-", backend, shown, *counts, *times]


def _remarks(totals: Sequence[TeacherTotals], sources: Sequence[Source]) -> list[str]:
    """Return a line for what was imported, or names another model than was asked."""
    asked = {teacher.digest: teacher.identity.get("model") for teacher in totals}
    lines = []
    for source in sources:
        said = [f"imported from {printable(source.origin)}"] if source.origin else []
        if source.model not in ("", asked[source.digest]):
            said.append(f"answered by {printable(source.model)}")
        if said:
            lines.append(f"{source.digest[:10]}: {source.answers:,} answers {', '.join(said)}")
    return lines
