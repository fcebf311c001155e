"""`tinyllm check`: what params.yaml asks for, or what is wrong with it."""

from __future__ import annotations

import argparse

from tinyllm.cli.parsers import Commands
from tinyllm.datasets import load_set, refuse_bad, stop_at_bad, without_question
from tinyllm.params.load import load_params
from tinyllm.params.schema import Params, ServerTeacher, alpha
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
    student, train = params.student, params.train
    for name, settings in params.teachers.items():
        if isinstance(settings, ServerTeacher):
            Server(settings, params.runtime, name)  # it refuses what cannot be asked
    teachers = [f"{name} (alpha {alpha(params.loss, name)})" for name in params.corpus.teachers]
    print(f"data      {_own_folder(params) if params.data.dataset == 'jsonl' else params.data.dataset}")
    print(f"teachers  {', '.join(teachers) or 'none'}")
    print(f"student   {student.origin}{f' {student.model}' if student.model else ''}")
    print(f"train     {train.epochs} epochs, seeds {', '.join(map(str, train.seeds))}")


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
