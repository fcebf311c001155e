"""`tinyllm check`: what params.yaml asks for, or what is wrong with it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial

from tinyllm.cli.parsers import Commands
from tinyllm.datasets import load_set, refuse_bad, stop_at_bad, without_question
from tinyllm.datasets.download import mirror
from tinyllm.models.source import Source, check_folder, check_weights, student_source, teacher_source
from tinyllm.params.load import load_params
from tinyllm.params.schema import Params, alpha
from tinyllm.params.teacher_entries import PUBLIC, LocalTeacher, ServerTeacher
from tinyllm.params.trackers import check_trackers
from tinyllm.project import cache_path, check_writable
from tinyllm.provenance.installed import version_fault
from tinyllm.teachers.open import recorded_source
from tinyllm.teachers.server.client import Server


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("check", help="check params.yaml and say what it asks for")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print what the params ask for, in one line a section; of a folder of the user's own what it holds, too.

    Raises:
        ValueError: params.yaml or that folder is faulty.
    """
    params = load_params()
    if faults := list(_faults(params)):
        raise ValueError("\n".join(faults))
    student, train = params.student, params.train
    teachers = [f"{name} (alpha {alpha(params.loss, name)})" for name in params.corpus.teachers]
    print(f"data      {_own_folder(params) if params.data.dataset == 'jsonl' else params.data.dataset}")
    print(f"teachers  {', '.join(teachers) or 'none'}")
    print(f"student   {student.origin}{f' {student.model}' if student.model else ''}")
    if student.target != "multitask":
        print(f"target    {student.target}")
    print(f"train     {train.epochs} epochs, seeds {', '.join(map(str, train.seeds))}")


def _faults(params: Params) -> Iterator[str]:
    """Yield what would stop a stage before it began, of all stages, a line each."""
    checks: list[Callable[[], object]] = [check_writable, partial(check_writable, [cache_path().parent])]
    for name, settings in params.teachers.items():
        if isinstance(settings, ServerTeacher):
            checks.append(partial(_check_server, name, params))
        elif isinstance(settings, LocalTeacher) and name in params.corpus.teachers:
            checks.append(partial(_check_local, name, settings))
    if params.student.origin == "local":
        checks.append(partial(_check_source, student_source(params.student)))
    if params.data.dataset in PUBLIC:
        checks.append(mirror)
    checks.append(partial(check_trackers, params.runtime.report_to))
    if fault := version_fault():
        yield fault
    for check in checks:
        try:
            check()
        except ValueError as error:
            yield str(error)


def _check_server(name: str, params: Params) -> None:
    settings = params.teachers[name]
    assert isinstance(settings, ServerTeacher)
    server = Server(settings, params.runtime, name)  # it refuses what cannot be asked
    if name in params.corpus.teachers:
        server.load_key()


def _check_local(name: str, settings: LocalTeacher) -> None:
    try:
        _check_source(teacher_source(settings))
    except ValueError as error:
        raise ValueError(f"teachers.{name}: {error}") from None


def _check_source(source: Source) -> None:
    if source.folder:
        check_folder(source, source.folder)
        check_weights(source)


def _own_folder(params: Params) -> str:
    """Read the folder as the stages will, and say how much of everything it has."""
    loaded = load_set(params.data)
    refuse_bad(loaded.splits, loaded.bad, stop_at_bad(params.data))
    lost = without_question(loaded)
    counts = [f"{split} {len(questions)}" for split, questions in loaded.splits.items()]
    if loaded.bad:
        counts.append(f"bad rows left out {len(loaded.bad)}")
    for name in params.corpus.teachers:
        if params.teachers[name].backend == "recorded":
            if name not in loaded.recorded:
                known = ", ".join(loaded.recorded) or "none"
                missing = recorded_source(name, params.data)
                raise ValueError(f"{missing}: no such file; teachers recorded there: {known}")
            stray = set(lost.get(name, []))
            said = sum(row["rationale"] is not None for row in loaded.recorded[name] if row["id"] not in stray)
            more = f" ({len(stray)} more of no question here)" if stray else ""
            counts.append(f"rationales of {name} {said}{more}")
    return f"{params.data.folder}: {', '.join(counts)}"
