"""What a finished run left on disk, read together and checked for belonging together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyllm.records.jsonl import read_json, read_jsonl
from tinyllm.records.predictions import parse_predictions
from tinyllm.records.questions import Question, read_questions
from tinyllm.records.reading import read_text


@dataclass(frozen=True)
class Rationale:
    """One teacher's rationale of a train question: cleaned where it is used, as it came where it is quarantined."""

    status: str  # ok, or the reason it is not used
    text: str | None


@dataclass(frozen=True)
class Results:
    """Everything the report tells of."""

    train: list[Question]
    test: list[Question]
    rationales: dict[str, list[Rationale]]  # by teacher, in the order of train
    predictions: dict[int, list[dict]]  # by seed, in the order of test
    curves: dict[int, dict[str, list[tuple[int, float]]]]  # by seed and task, pairs of step and loss
    looks: dict[int, list[tuple[int, float]]]  # by seed, at valid: pairs of step and accuracy
    training: dict[int, dict]  # by seed, metrics/train/SEED.json
    corpus: dict  # metrics/corpus.json
    score: dict  # metrics/score.json
    exam: dict[str, dict]  # by teacher, metrics/exam/TEACHER.json where there is one


def read_results(teachers: Sequence[str], seeds: Sequence[int], root: Path = Path(".")) -> Results:
    """Read a run's questions, rationales, predictions and metrics.

    Args:
        teachers: names from params; never a listing, for a dropped teacher's files stay on disk
        root: the project's folder

    Raises:
        ValueError: a file is missing or damaged, or tells of other questions than the rest; the message says what to run.
    """
    train, test = (read_questions(root / f"data/questions/{split}.jsonl") for split in TOLD)
    corpus = read_json(root / "metrics/corpus.json")
    if corpus.get("answers"):  # without gold, and left out
        learnt = {row["id"] for row in read_jsonl(root / "data/corpus/train.jsonl")}
        if len(train) - len(learnt) == corpus["answers"]["left_out"]:
            train = [question for question in train if question.id in learnt]
    rationales = _read_rationales(root, train, teachers)
    predictions = _read_predictions(root / "data/predictions.jsonl", test, seeds)
    training = {seed: read_json(root / f"metrics/train/{seed}.json") for seed in seeds}
    exams = {teacher: root / f"metrics/exam/{teacher}.json" for teacher in teachers}
    return Results(
        train=train,
        test=test,
        rationales=rationales,
        predictions=predictions,
        curves={seed: read_curve(root / f"metrics/loss/{seed}.tsv") for seed in seeds},
        looks={seed: read_looks(root, seed, metrics) for seed, metrics in training.items()},
        training=training,
        corpus=corpus,
        score=read_json(root / "metrics/score.json"),
        exam={teacher: read_json(path) for teacher, path in exams.items() if path.exists()},
    )


TOLD = ("train", "test")  # the splits of the report


def read_curve(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return a loss curve's (step, loss) pairs by task; further columns do not count.

    Raises:
        ValueError: a line is not step, task and loss; the message names file and line.
    """
    curve: dict[str, list[tuple[int, float]]] = {}
    for number, line in enumerate(read_text(path).splitlines()[1:], start=2):
        try:
            step, task, loss, *_ = line.split("\t")
            curve.setdefault(task, []).append((int(step), float(loss)))
        except ValueError:
            raise ValueError(f"{path}:{number}: {line!r}; allowed is step, task and loss, with tabs between") from None
    return curve


def read_looks(root: Path, seed: int, training: Mapping[str, Any]) -> list[tuple[int, float]]:
    """Return a training's looks at valid, pairs of step and accuracy: all of them, or the best where no other is known.

    Args:
        training: metrics/train/SEED.json, which has the best look, counted in epochs

    Raises:
        ValueError: a line of metrics/valid/SEED.tsv is not step and accuracy; the message names file and line.
    """
    path = root / f"metrics/valid/{seed}.tsv"
    if not path.is_file():
        epochs = training["epochs"] or 1  # 0 where nothing was trained
        return [(round(training["steps"] * training["best_epoch"] / epochs), training["valid_accuracy"])]
    looks = []
    for number, line in enumerate(read_text(path).splitlines()[1:], start=2):
        try:
            step, accuracy, *_ = line.split("\t")
            looks.append((int(step), float(accuracy)))
        except ValueError:
            raise ValueError(f"{path}:{number}: {line!r}; allowed is step and accuracy, with a tab between") from None
    return looks


def _read_rationales(root: Path, train: Sequence[Question], teachers: Sequence[str]) -> dict[str, list[Rationale]]:
    """Take what is used from the corpus and the rest from the quarantine: together they hold every verdict."""
    corpus, quarantine = root / "data/corpus/train.jsonl", root / "data/quarantine.jsonl"
    used = {row["id"]: row["targets"] for row in read_jsonl(corpus)}
    refused: dict[tuple[str, str], dict] = {}  # of several samples the first
    for refusal in read_jsonl(quarantine):
        refused.setdefault((refusal["teacher"], refusal["id"]), refusal)
    by_teacher: dict[str, list[Rationale]] = {teacher: [] for teacher in teachers}
    for question in train:
        if question.id not in used:
            raise ValueError(f"{corpus}: no row of question {question.id!r}; run dvc repro assemble")
        for teacher in teachers:
            row = refused.get((teacher, question.id))
            if teacher in used[question.id]:
                by_teacher[teacher].append(Rationale("ok", used[question.id][teacher]))
            elif row:
                by_teacher[teacher].append(Rationale(row["status"], row["rationale"]))
            else:
                raise ValueError(f"{quarantine}: no row of {teacher}, question {question.id!r}; run dvc repro assemble")
    return by_teacher


def _read_predictions(path: Path, test: Sequence[Question], seeds: Sequence[int]) -> dict[int, list[dict]]:
    by_seed = parse_predictions(read_jsonl(path), test, str(path))
    for seed in seeds:
        if seed not in by_seed:
            raise ValueError(f"{path}: no row of seed {seed}; run dvc repro score")
    return {seed: by_seed[seed] for seed in seeds}
