"""The numbers of the report: everything its page says, gathered as plain data."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from statistics import median

from tinyllm.evaluation.calibration import Calibration, calibrate
from tinyllm.evaluation.exams import measured, missing_answers
from tinyllm.evaluation.metrics import confusion_rows, same_options, told_apart
from tinyllm.evaluation.votes import vote_parts
from tinyllm.records.exact_match import is_number
from tinyllm.records.predictions import is_right, probabilities, voice_is_right
from tinyllm.records.questions import Question
from tinyllm.report.by_status import by_status
from tinyllm.report.empty_talk import empty_talk, says_nothing
from tinyllm.report.gathered import Confusion, Lengths, Report, TeacherRow
from tinyllm.report.run_files import Rationale, Results

MOST_QUESTIONS = 2000  # on the page; of more, a sample, so that the page stays a file that can be sent
MOST_TEST = 1500  # of them from test, where train has questions to fill the rest
MOST_EXPLAINED = 20  # test questions that the student explains
FEW_ANSWERS = 100  # of fewer, a calibration says more of chance than of the student
BINS = 20  # of a histogram of lengths
EXAMPLES = 2  # questions to read first


def gather(
    results: Results,
    dataset: str,
    explanations: Mapping[str, Mapping[str, str]],
) -> Report:
    """Return what the page shows, in the order it shows it.

    Args:
        explanations: of the first seed's student, by test question id and teacher; {} for none
    """
    empty = empty_talk(explanations)
    questions = [*_shown_test(results, explanations, empty), *_shown_train(results)]
    return {
        "dataset": dataset,
        "teachers": list(results.rationales),
        "seeds": list(results.predictions),
        "score": results.score,
        "by_seed": {seed: _accuracy(rows) for seed, rows in results.predictions.items()},
        "parameters": _parameters(results),
        "train_questions": len(results.train),
        "teacher_rows": [_teacher_row(name, results) for name in results.rationales],
        "curves": results.curves,
        "looks": results.looks,
        "corpus": results.corpus,
        "by_status": by_status(results.train, results.rationales),
        "free": results.test[0].free,
        "confusion": _confusion(results),
        "calibration": _calibration(results),
        "votes": vote_parts([row for rows in results.predictions.values() for row in rows]),
        "answers": sum(map(len, results.predictions.values())),
        "majority": _majority(results),
        "lengths": _lengths(results.rationales),
        "examples": _examples(questions, list(results.rationales)),
        "whole": {"train": len(results.train), "test": len(results.test)},
        "explained": _explained(explanations, empty),
        "questions": questions,
    }


def explained(test: Sequence[Question]) -> list[Question]:
    """The test questions that the student is asked to explain; they are on the page whatever the size of the set."""
    return [test[i] for i in _sample(len(test), MOST_EXPLAINED)]


def voices(results: Results) -> list[str]:
    """The teachers in whose voice the first seed's student learnt to explain: those with a weight in its loss.

    None where it was asked in voices: what these wrote is in its predictions.
    """
    if any("voices" in row for row in next(iter(results.predictions.values()))):
        return []
    learnt = next(iter(results.curves.values()))
    return [teacher for teacher in results.rationales if teacher in learnt]


def _sample(n: int, most: int) -> list[int]:
    """Return at most so many of the first n indices, in order, the same ones every time."""
    return sorted(random.Random(1).sample(range(n), most)) if n > most else list(range(n))


def _accuracy(rows: Sequence[dict]) -> float:
    return round(sum(is_right(row) for row in rows) / len(rows), 4)


def _teacher_row(name: str, results: Results) -> TeacherRow:
    exam = results.exam.get(name, {})
    row: TeacherRow = {"name": name}
    if measured(exam):
        row["accuracy"] = exam["accuracy"]
        row["accuracy_low"], row["accuracy_high"] = exam["accuracy_low"], exam["accuracy_high"]
    if missing := missing_answers(exam):
        row["missing"] = missing
    if "parameters" in exam:
        row["parameters"], row["ratio"] = int(exam["parameters"]), exam["parameters"] / _parameters(results)
    return row


def _parameters(results: Results) -> int:
    return next(iter(results.training.values()))["parameters"]


def _confusion(results: Results) -> Confusion | None:
    """Counts over all seeds: a row for each gold option, a column for each chosen one; None where no answers are told apart."""
    if not told_apart(results.test):
        return None
    pairs = Counter(confusion_rows(results.test, list(results.predictions.values())))
    labels = sorted({label for pair in pairs for label in pair}, key=_by_number if results.test[0].free else None)
    return {"labels": labels, "counts": [[pairs[gold, chosen] for chosen in labels] for gold in labels]}


def _by_number(label: str) -> tuple[float, str]:
    """Numbers in their order, then texts."""
    return (float(label), "") if is_number(label) else (inf, label)


def _calibration(results: Results) -> Calibration | None:
    """Free text has no options, and so no probabilities of them; of few answers a calibration is noise."""
    rows = [row for rows in results.predictions.values() for row in rows]
    return None if results.test[0].free or len(rows) < FEW_ANSWERS else calibrate(rows)


def _majority(results: Results) -> str:
    if results.test[0].free or same_options(results.test):
        return "the answer that is right most often in the test set"
    return "the place among the options that is right most often in the test set"


def _explained(explanations: Mapping[str, Mapping[str, str]], empty: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    reasons = Counter(reason for by_teacher in empty.values() for reason in by_teacher.values())
    return {"all": sum(map(len, explanations.values())), **dict(sorted(reasons.items()))}


def _lengths(rationales: Mapping[str, Sequence[Rationale]]) -> Lengths:
    """Of the kept rationales of train."""
    words = {
        teacher: sorted(len((rationale.text or "").split()) for rationale in of_teacher if rationale.status == "ok")
        for teacher, of_teacher in rationales.items()
    }
    every = sorted(length for lengths in words.values() for length in lengths)
    longest = every[int(0.99 * (len(every) - 1))] if every else 0
    width = longest // BINS + 1
    bins = longest // width + 1
    return {
        "width": width,
        "teachers": {
            teacher: {"median": median(lengths), "counts": _histogram(lengths, width, bins)} if lengths else None
            for teacher, lengths in words.items()
        },
    }


def _histogram(lengths: Sequence[int], width: int, bins: int) -> list[int]:
    counts = Counter(min(length // width, bins - 1) for length in lengths)
    return [counts[number] for number in range(bins)]


def _plain(question: Question, split: str) -> dict[str, object]:
    plain: dict[str, object] = {"id": question.id, "split": split, "question": question.question}
    if question.context:
        plain["context"] = question.context
    return plain | {"choices": list(question.choices), "gold": question.answer}  # of free text, no choices and a text


def _shown_train(results: Results) -> list[dict]:
    """Train questions with `rationales`, a pair of status and text for each teacher."""
    most = MOST_QUESTIONS - min(len(results.test), MOST_TEST)
    shown = []
    for i in _sample(len(results.train), most):
        rationales = [[of_teacher[i].status, of_teacher[i].text] for of_teacher in results.rationales.values()]
        shown.append(_plain(results.train[i], "train") | {"rationales": rationales})
    return shown


def _shown_test(
    results: Results, explanations: Mapping[str, Mapping[str, str]], empty: Mapping[str, Mapping[str, str]]
) -> list[dict]:
    """Test questions with `answers`, one for each seed, and, where it was asked, `explanations`, one or None a teacher.

    `empty` is there where an explanation says nothing: for each teacher why, or None. `voices` is there where the students were
    asked in them: for each teacher what its voice says to the first seed's student, or None.
    """
    n, most = len(results.test), max(MOST_TEST, MOST_QUESTIONS - len(results.train))
    always = [i for i, question in enumerate(results.test) if question.id in explanations]
    shown = []
    for i in sorted({*_sample(n, most), *always}):
        plain = _plain(results.test[i], "test")
        plain["answers"] = [_answer(rows[i]) for rows in results.predictions.values()]
        if i in always:
            plain["explanations"] = [explanations[results.test[i].id].get(teacher) for teacher in results.rationales]
        row = next(iter(results.predictions.values()))[i]
        if "voices" in row:
            plain["voices"] = [_voice(row, teacher) for teacher in results.rationales]
        if why := empty.get(results.test[i].id):
            plain["empty"] = [why.get(teacher) for teacher in results.rationales]
        shown.append(plain)
    return shown


def _answer(row: dict) -> dict[str, object]:
    """The choice, the options' probabilities, and the generated text where that is not the choice; `empty` is why it is none.

    Of a free-text question: whether the text is right, and the text.
    """
    if row["choice"] is None:
        return {"right": row["matched"], "wrote": row["text"]}
    answer: dict[str, object] = {"choice": row["choice"], "p": [round(p, 3) for p in probabilities(row["scores"])]}
    silent = row["text"] is None or row["matched"] == row["choice"]
    if silent:
        return answer
    why = says_nothing(row["text"])
    return answer | {"wrote": row["text"]} | ({"empty": why} if why else {})


def _voice(row: dict, teacher: str) -> dict[str, object] | None:
    """A voice's rationale, its choice or what it wrote, and whether that is right; None where it was not asked."""
    said = row["voices"].get(teacher)
    if said is None:
        return None
    answer = {"choice": said["choice"]} if "choice" in said else {"wrote": said["answer"]}
    return {"rationale": said["rationale"], **answer, "right": voice_is_right(row, teacher)}


def _examples(questions: Sequence[dict], teachers: Sequence[str]) -> list[str]:
    """Ids of a few train questions to read side by side: those of which most teachers were kept, in their order."""
    train = [question for question in questions if question["split"] == "train"] if teachers else []
    kept = {q["id"]: sum(status == "ok" for status, _ in q["rationales"]) for q in train}
    return sorted((name for name in kept if kept[name]), key=lambda name: -kept[name])[:EXAMPLES]
