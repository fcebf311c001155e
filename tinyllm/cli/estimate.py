"""`tinyllm estimate`: what the live teachers have yet to be asked, and what it costs at most."""

from __future__ import annotations

import argparse

from tinyllm.cli.parsers import Commands
from tinyllm.console import columns
from tinyllm.params.load import load_params
from tinyllm.provenance.records import stage_fault
from tinyllm.records.questions import read_questions
from tinyllm.teachers.estimate import estimate
from tinyllm.teachers.open import open_live

HEADS = ["teacher", "stage", "calls", "cached", "too long", "tokens in", "tokens out", "cost, all at most"]


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser("estimate", help="say what the live teachers have yet to be asked, and what it costs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print a line for each live teacher of the corpus and stage that asks it."""
    params = load_params()
    if fault := stage_fault("download"):
        raise ValueError(f"{fault}; run dvc repro download")
    splits = {split: read_questions(f"data/questions/{split}.jsonl") for split in ("train", "valid", "test")}
    live = [name for name in params.corpus.teachers if params.teachers[name].backend in ("local", "server")]
    if not live:
        print("no teacher of corpus.teachers is asked live; the others cost nothing")
        return
    rows = [HEADS]
    for name in live:
        teacher = open_live(name, params, splits["train"])
        taught = [*splits["train"], *splits["valid"]]
        asked = {"query": (taught, params.prompt.teacher_forcing, teacher.samples), "exam": (splits["test"], False, 1)}
        for stage, (questions, forced, samples) in asked.items():
            cost = estimate(teacher, questions, forced, samples)
            counts = (cost.calls, cost.cached, cost.too_long, cost.prompt_tokens, cost.completion_tokens)
            rows.append([name, stage, *(f"{count:,}" for count in counts), f"{cost.cost:.4f}"])
    print(columns(rows, right=range(2, 8)))
