"""What can be said of an accuracy: intervals over questions and seeds, paired differences, and what guessing scores."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from tinyllm.matching import normal_answer
from tinyllm.questions import Question, option_letter

MOST_LABELS = 30  # different gold answers of a free-text set that confusion tells apart
OTHER = "other"  # a text that equals none of them


def is_right(row: Mapping) -> bool:
    """Tell whether a prediction is right: by its choice, of a free-text question by exact match."""
    return bool(row["matched"]) if row["choice"] is None else bool(row["choice"] == row["gold"])


def chance(questions: Sequence[Question]) -> float:
    """The expected accuracy of choosing an option at random; 0 where there are none."""
    return sum(1 / len(question.choices) for question in questions if question.choices) / len(questions)


def majority(questions: Sequence[Question]) -> float:
    """The accuracy of always giving the most frequent answer: its text where every question has the same options, else
    its position; of free-text questions the text as it is compared."""
    same = len({frozenset(question.choices) for question in questions}) == 1
    answers = Counter(
        normal_answer(question.gold) if question.free else question.gold if same else question.answer
        for question in questions
    )
    return max(answers.values()) / len(questions)


def accuracy_interval(correct: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the accuracy that other test questions and other seeds would give.

    The variance of the mean has two parts: questions (of their means over seeds) and seeds (of their accuracies, less what
    the questions' own noise puts there). A Wilson interval at the effective number of questions carries it, so that 0 and 1
    are not certain, with Student's t at Satterthwaite's degrees of freedom, since few seeds say little of their spread. One
    seed says nothing of it: its interval is that of this one student on other questions.

    Args:
        correct: (seeds, questions), 1 or True where right

    Source: Wilson, J. Am. Stat. Assoc. 22 (1927); Satterthwaite, Biometrics Bulletin 2 (1946); Kish's effective sample size.
    """
    from scipy.stats import t  # slow to import, and needed at the end only

    correct = np.asarray(correct, dtype=float)
    seeds, n = correct.shape
    mean = float(correct.mean())
    question, seed, noise = _mean_squares(correct)
    spread = max(question, question + seed - noise)  # seeds cannot take variance away; below 0 is chance
    variance, freedom = spread / (seeds * n), math.inf
    if spread > 0:
        # over the mean squares as found: what is left of `seed` after the noise is known far less well than it looks
        squares = question**2 / max(n - 1, 1) + (seed**2 + noise**2 / max(n - 1, 1)) / max(seeds - 1, 1)
        freedom = max(spread**2 / squares, min(seeds, n) - 1)  # no less than the least of the mean squares has
    effective = mean * (1 - mean) / variance if variance > 0 and 0 < mean < 1 else float(n)
    z2 = float(t.ppf((1 + level) / 2, freedom)) ** 2
    centre = (mean + z2 / (2 * effective)) / (1 + z2 / effective)
    half = math.sqrt(z2 * (mean * (1 - mean) / effective + z2 / (4 * effective**2))) / (1 + z2 / effective)
    return max(0.0, centre - half), min(1.0, centre + half)


def _mean_squares(values: np.ndarray) -> tuple[float, float, float]:
    """The mean squares of questions, of seeds and of what neither explains, of (seeds, questions) values; 0 if unknown."""
    seeds, n = values.shape
    by_question, by_seed = values.mean(axis=0), values.mean(axis=1)
    question = seeds * float(by_question.var(ddof=1)) if n > 1 else 0.0
    if seeds < 2 or n < 2:
        return question, 0.0, 0.0
    residual = values - by_question[None, :] - by_seed[:, None] + values.mean()
    return question, n * float(by_seed.var(ddof=1)), float((residual**2).sum()) / ((seeds - 1) * (n - 1))


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of independent values, such as the differences of paired runs; endless for one."""
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return -math.inf, math.inf
    half = float(t.ppf((1 + level) / 2, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    mean = float(np.mean(values))
    return mean - half, mean + half


def summarise_predictions(
    questions: Sequence[Question], predictions: Sequence[Sequence[dict]]
) -> dict[str, float | int]:
    """Return metrics/score.json: flat, four digits.

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
    return {**rounded, "questions": len(questions), "seeds": len(predictions)}


def without_texts(predictions: Sequence[Sequence[dict]]) -> bool:
    """Tell whether the students were judged by likelihood alone and wrote nothing."""
    return predictions[0][0]["text"] is None


def ratios(accuracy: float, parameters: int, exams: Mapping[str, Mapping]) -> dict[str, float]:
    """Return the student's accuracy and size as shares of each teacher's, where these are known and not 0.

    Args:
        exams: by teacher its metrics/exam/TEACHER.json
    """
    found = {}
    for teacher, exam in exams.items():
        if exam.get("accuracy"):
            found[f"accuracy_to_{teacher}"] = round(accuracy / exam["accuracy"], 4)
        if exam.get("parameters"):
            found[f"size_to_{teacher}"] = float(f"{parameters / exam['parameters']:.4g}")
    return found


def confusion_rows(questions: Sequence[Question], predictions: Sequence[Sequence[dict]]) -> list[tuple[str, str]]:
    """Return (gold, chosen) of every prediction: the options' texts where all questions share them, else their letters.

    Of free-text questions: both texts as they are compared, `other` for one that equals no gold answer; where there are too
    many gold answers to be told apart, `answer` and whether it is `right` or `wrong`.
    """
    if questions[0].free:
        return [pair for rows in predictions for pair in _text_pairs(questions, rows)]
    same = len({frozenset(question.choices) for question in questions}) == 1
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
    given = [gold if row["matched"] else normal_answer(row["text"]) for gold, row in zip(golds, rows, strict=True)]
    return [(gold, text if text in golds else OTHER) for gold, text in zip(golds, given, strict=True)]
