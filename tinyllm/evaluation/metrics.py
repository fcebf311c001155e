"""What predictions come to: accuracy, exact match, what guessing scores, and who is confused with whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyllm.evaluation.intervals import accuracy_interval
from tinyllm.records.exact_match import normal_answer
from tinyllm.records.predictions import is_right, voice_is_right
from tinyllm.records.questions import Question, option_letter

MOST_LABELS = 30  # different gold answers of a free-text set that confusion tells apart
OTHER = "other"  # a text that equals none of them


def chance(questions: Sequence[Question]) -> float:
    """The expected accuracy of choosing an option at random; 0 where there are none."""
    return sum(1 / len(question.choices) for question in questions if question.choices) / len(questions)


def majority(questions: Sequence[Question]) -> float:
    """The accuracy of always giving the answer that is right most often in these questions, known only in hindsight.

    It is a text where every question has the same options, else a place among them; of free-text questions the text as it is
    compared.
    """
    same = same_options(questions)
    answers = Counter(
        normal_answer(question.gold) if question.free else question.gold if same else question.answer
        for question in questions
    )
    return max(answers.values()) / len(questions)


def same_options(questions: Sequence[Question]) -> bool:
    """Whether all questions have the same options, in any order; free text has none, and they are the same."""
    return len({frozenset(question.choices) for question in questions}) == 1


def summarise_predictions(questions: Sequence[Question], predictions: Sequence[Sequence[dict]]) -> dict[str, Any]:
    """Return metrics/score.json: flat but for `voices`, four digits.

    Of students that were asked in voices, `voices` is each one's accuracy, and `generated_tokens` what they wrote a question.

    Accuracy is by the choice, and then `exact_match` and `unmatched` tell of the text, if there is one; of free text it is the
    exact match.

    Args:
        predictions: one list a seed, in the questions' order, of rows with `gold`, `choice` and `matched`
    """
    right = np.array([[is_right(row) for row in rows] for rows in predictions])  # (seeds, questions)
    exact, unmatched = right, ~right
    if not questions[0].free:
        exact = np.array([[row["matched"] == row["gold"] for row in rows] for rows in predictions])
        unmatched = np.array([[row["matched"] is None for row in rows] for rows in predictions])
    low, high = accuracy_interval(right)
    numbers = {
        "accuracy": right.mean(),
        "accuracy_low": low,
        "accuracy_high": high,
        "accuracy_std": right.mean(axis=1).std(ddof=1) if len(right) > 1 else 0.0,
        **({} if without_texts(predictions) else {"exact_match": exact.mean(), "unmatched": unmatched.mean()}),
        "chance": chance(questions),
        "majority": majority(questions),
    }
    rounded: dict[str, float | int] = {name: round(float(value), 4) for name, value in numbers.items()}
    counts = {"questions": len(questions), "seeds": len(predictions)}
    return {**rounded, **counts, **_voices([row for rows in predictions for row in rows])}


def _voices(rows: Sequence[dict]) -> dict[str, float | dict[str, float]]:
    """Return what is told of voices, over all seeds in which each was asked; nothing of direct answers."""
    if "voices" not in rows[0]:
        return {}
    tokens = np.mean([sum(said["tokens"] for said in row["voices"].values()) for row in rows])
    right: dict[str, list[bool]] = {}
    for row in rows:
        for teacher in row["voices"]:
            right.setdefault(teacher, []).append(voice_is_right(row, teacher))
    accuracies = {teacher: round(float(np.mean(of_voice)), 4) for teacher, of_voice in right.items()}
    return {"voices": accuracies, "generated_tokens": round(float(tokens), 1)}


def without_texts(predictions: Sequence[Sequence[dict]]) -> bool:
    """Tell whether the students were judged by likelihood alone and wrote nothing."""
    return predictions[0][0]["text"] is None


def confusion_rows(questions: Sequence[Question], predictions: Sequence[Sequence[dict]]) -> list[tuple[str, str]]:
    """Return (gold, chosen) of every prediction: the options' texts where all questions share them, else their letters.

    Of free-text questions: both texts as they are compared, `other` for one that equals no gold answer; where there are too
    many gold answers to be told apart, `answer` and whether it is `right` or `wrong`.
    """
    if questions[0].free:
        return [pair for rows in predictions for pair in _text_pairs(questions, rows)]
    same = same_options(questions)
    pairs = []
    for rows in predictions:
        for question, row in zip(questions, rows, strict=True):
            labels = question.choices if same else [option_letter(i) for i in range(len(question.choices))]
            pairs.append((labels[row["gold"]], labels[row["choice"]]))
    return pairs


def told_apart(questions: Sequence[Question]) -> bool:
    """Whether confusion has a label for each gold answer."""
    return not questions[0].free or len({normal_answer(question.gold) for question in questions}) <= MOST_LABELS


def _text_pairs(questions: Sequence[Question], rows: Sequence[dict]) -> list[tuple[str, str]]:
    if not told_apart(questions):
        return [("answer", "right" if row["matched"] else "wrong") for row in rows]
    golds = [normal_answer(question.gold) for question in questions]
    texts = [gold if row["matched"] else normal_answer(row["text"]) for gold, row in zip(golds, rows, strict=True)]
    return [(gold, text if text in golds else OTHER) for gold, text in zip(golds, texts, strict=True)]
