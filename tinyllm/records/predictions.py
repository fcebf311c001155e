"""A prediction: one row a question and seed, whether it is right, and how likely the student finds each option."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from tinyllm.records.questions import Question, first_ids

FIELDS = {"seed": int, "id": str, "gold": int, "choice": int, "scores": list}
FREE_FIELDS = {"seed": int, "id": str, "gold": str, "matched": bool}
ASKED = "data/questions/test.jsonl"


def is_right(row: Mapping) -> bool:
    """Tell whether a prediction is right: by its choice, of a free-text question by exact match."""
    return bool(row["matched"]) if row["choice"] is None else bool(row["choice"] == row["gold"])


def probabilities(scores: Sequence[float]) -> list[float]:
    """Return the softmax of the options' scores: what the student would bet on each, were one of them right."""
    best = max(scores)
    weights = [math.exp(score - best) for score in scores]
    return [weight / sum(weights) for weight in weights]


def parse_predictions(rows: Sequence[dict], questions: Sequence[Question], source: str) -> dict[int, list[dict]]:
    """Return the rows by seed, ascending, each seed's in the order of the questions.

    Args:
        rows: in any order
        source: what a message names as their file

    Raises:
        ValueError: a row is faulty or stands there twice, or a seed lacks a question; the message names file and row.
    """
    by_id = {question.id: question for question in questions}
    placed: dict[tuple[int, str], dict] = {}
    for number, row in enumerate(rows, start=1):
        where = f"{source}:{number}"
        _check(row, where, by_id)
        if placed.setdefault((row["seed"], row["id"]), row) is not row:
            raise ValueError(f"{where}: seed {row['seed']} answers {row['id']!r} twice; run `dvc repro`")
    if not rows:
        raise ValueError(f"{source}: no predictions; run `dvc repro`")
    seeds = sorted({seed for seed, _ in placed})
    for seed in seeds:
        missing = sorted(name for name in by_id if (seed, name) not in placed)
        if missing:
            raise ValueError(
                f"{source}: seed {seed} has no answer to {len(missing)} of {len(by_id)} questions of {ASKED} "
                f"({first_ids(missing)}); run `dvc repro`"
            )
    return {seed: [placed[seed, question.id] for question in questions] for seed in seeds}


def _check(row: dict, where: str, by_id: dict[str, Question]) -> None:
    question = by_id.get(str(row.get("id")))
    for field, kind in (FREE_FIELDS if question and question.free else FIELDS).items():
        value = row.get(field)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{where}: {field} is {value!r}; it has to be of type {kind.__name__}; run `dvc repro`")
    if question is None:
        raise ValueError(f"{where}: no question {row['id']!r} in {ASKED}; run `dvc repro`")
    if row["gold"] != question.answer:
        raise ValueError(f"{where}: gold {row['gold']}, but {question.answer} in {ASKED}; run `dvc repro`")
    if not question.free:
        _check_choice(row, where, len(question.choices))


def _check_choice(row: dict, where: str, options: int) -> None:
    if not 0 <= row["choice"] < options:
        raise ValueError(f"{where}: choice {row['choice']}, but {options} options (0-{options - 1}); run `dvc repro`")
    numbers = [x for x in row["scores"] if isinstance(x, (int, float)) and not isinstance(x, bool)]
    if len(row["scores"]) != options or len(numbers) != options:
        raise ValueError(f"{where}: scores {row['scores']!r}; allowed are {options} numbers; run `dvc repro`")
