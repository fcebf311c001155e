"""`tinyllm summary`: what a person reads after a run, in a few lines."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tinyllm.cli.parsers import Commands
from tinyllm.console import columns
from tinyllm.evaluation.exams import exam_in_words
from tinyllm.evaluation.guessing import beats_guessing
from tinyllm.evaluation.wording import MAJORITY, MAJORITY_TEXT, corpus_notes, percent
from tinyllm.params.load import load_params
from tinyllm.provenance.records import REMEDY, find_fault
from tinyllm.records.jsonl import read_json
from tinyllm.report.saved import SAVED, page_is_current

SCORE = Path("metrics/score.json")
CORPUS = Path("metrics/corpus.json")
EXAMS = Path("metrics/exam")
PREDICTIONS = Path("data/predictions.jsonl")
PAGE = Path("report/index.html")


def add_parser(commands: Commands) -> None:
    parser = commands.add_parser(
        "summary",
        help="say how good the trained students are",
        description="Say in a few lines how good the trained students are, beside guessing and beside their teachers.",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Print the summary of the run in this folder.

    Raises:
        ValueError: the run is not finished, or its numbers are of other params.
    """
    teachers = load_params().corpus.teachers
    score = _read(SCORE)
    if fault := find_fault():
        raise ValueError(f"not of this run: {fault}; {REMEDY}")
    exams = {name: _read(EXAMS / f"{name}.json") for name in teachers}
    print(summary(score, exams, PAGE.is_file(), _is_old(), corpus_notes(_read(CORPUS))))
    if not PREDICTIONS.is_file():
        print("These are the committed numbers. In this folder nothing has run yet: `dvc repro` does it.")


def summary(
    score: Mapping[str, Any],
    exams: Mapping[str, Mapping],
    has_page: bool,
    is_old: bool = False,
    notes: Sequence[str] = (),
) -> str:
    """Return the lines of the summary.

    Args:
        score: metrics/score.json
        exams: by teacher its metrics/exam/TEACHER.json
        has_page: whether the report is there
        is_old: whether the page is missing or of another run than report/page.json
        notes: on the corpus
    """
    several = score["seeds"] > 1
    seeds = f"mean of {score['seeds']} seeds" if several else "one seed"
    over = "questions and seeds" if several else "questions"
    interval = f"{percent(score['accuracy_low'])} to {percent(score['accuracy_high'])}"
    right = f"{percent(score['accuracy'])}% of {score['questions']:,} test questions"
    rows = [
        ["accuracy", f"{right}, {seeds}"],
        ["", f"95% interval {interval}, over {over}"],
        *_voices(score),
        *_guessing(score),
        ["teachers", _teachers(exams)],
        *(["corpus" if number == 0 else "", note] for number, note in enumerate(notes)),
        ["result", _result(score)],
        ["page", _page(has_page, is_old)],
    ]
    return columns(rows)


def _voices(score: Mapping[str, Any]) -> list[list[str]]:
    """Of students that were asked in voices, how often each is right, and what asking them took."""
    if "voices" not in score:
        return []
    right = ", ".join(f"{name} {percent(share)}%" for name, share in score["voices"].items())
    return [["voices", f"{right}; {score['generated_tokens']} tokens a question"]]


def _guessing(score: Mapping[str, float]) -> list[list[str]]:
    most = percent(score["majority"])
    if not score["chance"]:
        return [["guessing", f"{most}% for {MAJORITY_TEXT}; a free text has no other guess"]]
    return [
        ["guessing", f"{percent(score['chance'])}% for a random option"],
        ["", f"{most}% for {MAJORITY}"],
    ]


def _teachers(exams: Mapping[str, Mapping]) -> str:
    accuracies = [f"{name} {exam_in_words(exam)}" for name, exam in exams.items()]
    return (
        f"{', '.join(accuracies)} (their own answers to the test questions)"
        if accuracies
        else "none; learnt from answers alone"
    )


def _result(score: Mapping[str, float]) -> str:
    if beats_guessing(score):
        return "The students are shown to be better than guessing: their whole interval lies above it."
    return "The students are not shown to be better than guessing: it lies within their interval or above it."


def _page(has_page: bool, is_old: bool) -> str:
    if is_old:
        return f"{PAGE} is missing or of another run; `tinyllm page` makes it"
    return str(PAGE) if has_page else f"{PAGE} is not there yet; `dvc repro` makes it"


def _is_old() -> bool:
    return (PAGE.parent / SAVED).is_file() and not page_is_current(PAGE.parent)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; run dvc repro, which makes it")
    return read_json(path)
