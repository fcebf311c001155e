"""The user's questions: read and checked before anything is made, and one file split into train, valid and test."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tinyllm.datasets import QuestionSet, load_set
from tinyllm.datasets.load import SPLITS, read_file
from tinyllm.datasets.rows import LONGEST, BadRow, shorten
from tinyllm.params.load import load_params
from tinyllm.provenance.installed import template_folder
from tinyllm.records.questions import Question
from tinyllm.records.reading import open_lines
from tinyllm.records.same_question import question_key

SHARES = {"test": 0.2, "valid": 0.1}  # the rest is train
FEWEST = 10  # questions that are worth a split
DEFAULT_SEED = 1
RATIONALES = "rationales"  # the folder of recorded ones, beside the questions


def bring_questions(source: Path, target: Path, seed: int) -> QuestionSet:
    """Put the questions of a file, or of a folder with a file for each split, into a project; return them, checked.

    A file is split. Recorded rationales, in a folder `rationales` beside the questions, come along.

    Raises:
        ValueError: a file is missing or has rows that are no question: all of them, a line each.
    """
    if source.is_dir():
        _check_rows(load_folder(source).bad)
        target.mkdir()
        for split in SPLITS:
            shutil.copyfile(source / f"{split}.jsonl", target / f"{split}.jsonl")
        beside = source / RATIONALES
    else:
        questions, bad = read_file(source)
        _check_rows(bad)
        split_of = split_rows(questions, seed, str(source))
        target.mkdir()
        _write_splits(source, target, split_of)
        beside = source.parent / RATIONALES
    if beside.is_dir():
        (target / RATIONALES).mkdir()
        for path in sorted(beside.glob("*.jsonl")):
            shutil.copyfile(path, target / RATIONALES / path.name)
    return load_folder(target)


def load_folder(folder: Path) -> QuestionSet:
    """Read a folder as the stage `download` will."""
    params = load_params(template_folder() / "params.yaml")
    return load_set(params.data.model_copy(update={"dataset": "jsonl", "folder": str(folder)}))


def split_rows(questions: Mapping[int, Question], seed: int, source: str) -> dict[int, str]:
    """Return by row the split that it goes to; rows of one question, asked twice, go to the same.

    Args:
        source: what a message names as their file

    Raises:
        ValueError: there are too few questions to split.
    """
    groups: dict[str, list[int]] = {}
    for number, question in questions.items():
        groups.setdefault(question_key(question), []).append(number)
    if len(groups) < FEWEST:
        raise ValueError(
            f"{source}: {len(groups)} questions that differ; one file is split from {FEWEST} on; give more, or a folder "
            "with train.jsonl, valid.jsonl and test.jsonl"
        )
    keys = sorted(groups)
    random.Random(seed).shuffle(keys)
    split_of: dict[int, str] = {}
    for split, share in SHARES.items():
        wanted, taken = max(1, round(share * len(questions))), 0
        while taken < wanted and len(keys) > 1:
            rows = groups[keys.pop()]
            split_of |= dict.fromkeys(rows, split)
            taken += len(rows)
    return split_of | dict.fromkeys((row for key in keys for row in groups[key]), "train")


def _check_rows(bad: Sequence[BadRow]) -> None:
    if bad:
        lines = [shorten(str(row), LONGEST) for row in bad]
        raise ValueError("\n".join([*lines, f"{len(bad)} bad rows; mend them and run it again; nothing was made"]))


def _write_splits(source: Path, target: Path, split_of: Mapping[int, str]) -> None:
    """Write the lines as they are, in their order."""
    with (
        open_lines(source) as lines,
        (target / "train.jsonl").open("wb") as train,
        (target / "valid.jsonl").open("wb") as valid,
        (target / "test.jsonl").open("wb") as test,
    ):
        files = {"train": train, "valid": valid, "test": test}
        for number, line in enumerate(lines, start=1):
            if number in split_of:
                files[split_of[number]].write(line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n") + b"\n")
