"""A prediction: one row a question and seed, whether it is right, and how likely the student finds each option.

Where the student was asked in voices, `voices` has by teacher the `rationale`, and the `answer` with `matched`, or `choice` and
`scores`. The voice's `weight` is its share of the vote, and `tokens` is how many were generated. So a vote can be counted anew
without the student.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import NoneType

from tinyllm.records.questions import Question, first_ids

FIELDS = {"seed": int, "id": str, "gold": int, "choice": int, "scores": list}
FREE_FIELDS = {"seed": int, "id": str, "gold": str, "matched": bool}
ASKED = "data/questions/test.jsonl"


def is_right(row: Mapping) -> bool:
    """Tell whether a prediction is right: by its choice, of a free-text question by exact match."""
    return bool(row["matched"]) if row["choice"] is None else bool(row["choice"] == row["gold"])


def voice_is_right(row: Mapping, teacher: str) -> bool:
    """Tell whether what one voice answered is right; see `is_right`."""
    return is_right({**row["voices"][teacher], "choice": row["voices"][teacher].get("choice"), "gold": row["gold"]})


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
    if "voices" in row:
        _check_voices(row["voices"], where, question)


def _check_choice(row: dict, where: str, options: int) -> None:
    if not 0 <= row["choice"] < options:
        raise ValueError(f"{where}: choice {row['choice']}, but {options} options (0-{options - 1}); run `dvc repro`")
    numbers = [x for x in row["scores"] if isinstance(x, (int, float)) and not isinstance(x, bool)]
    if len(row["scores"]) != options or len(numbers) != options:
        raise ValueError(f"{where}: scores {row['scores']!r}; allowed are {options} numbers; run `dvc repro`")


def _check_voices(voices: object, where: str, question: Question) -> None:
    """Of a row that was asked for in voices, look at what each said."""
    if not isinstance(voices, dict) or not voices:
        raise ValueError(f"{where}: voices is {voices!r}; allowed is what each said, by teacher; run `dvc repro`")
    own = {"answer": (str, NoneType), "matched": (bool,)} if question.free else {"choice": (int,), "scores": (list,)}
    for teacher, said in voices.items():
        for field, kinds in {"rationale": (str,), "weight": (int, float), "tokens": (int,), **own}.items():
            if not isinstance(said, dict) or field not in said:
                raise ValueError(f"{where}: the voice {teacher} has no {field}; run `dvc repro`")
            if not isinstance(said[field], kinds) or (isinstance(said[field], bool) and bool not in kinds):
                raise ValueError(f"{where}: {field} of the voice {teacher} is {said[field]!r}; run `dvc repro`")
        if not question.free:
            _check_choice(said, f"{where}: the voice {teacher}", len(question.choices))
