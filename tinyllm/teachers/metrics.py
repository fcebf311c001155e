"""What came of a query: its counts for the metrics, and the error that ends it where too much failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from tinyllm.parsing import parse_question, parse_rationale
from tinyllm.records.questions import Question
from tinyllm.records.rationales import TeacherOutput

NOTHING: Mapping[str, int | float] = MappingProxyType({})
Probabilities = Sequence[list[float] | None]  # of each question's options, None where the teacher failed


def summarise_query(
    completions: Sequence[TeacherOutput],
    probabilities: Probabilities | None,
    costs: Mapping[str, int | float] = NOTHING,
) -> dict[str, int | float]:
    """Return metrics/query/TEACHER.json: how many rationales were asked for, and how many ended in each status.

    Of a live teacher it also has the failures by reason, the tokens, and how many prompts were cut.

    Args:
        probabilities: None where they were not asked for.
        costs: calls, tokens and money of a live teacher.
    """
    outputs = _samples(completions)
    statuses = Counter(output.status for output in outputs)
    extras = [output.extra for output in outputs if output.extra]
    reasons = Counter(f"failed_{extra['reason']}" for extra in extras if "reason" in extra)
    sums = {
        field: sum(extra[field] for extra in extras if field in extra)
        for field in ("examples_dropped", "prompt_tokens", "completion_tokens")
    }
    cuts = {"contexts_cut": sum(extra.get("context_words_cut", 0) > 0 for extra in extras)}
    counts = {"asked": len(outputs), **dict(sorted(statuses.items())), **dict(sorted(reasons.items()))}
    scored = {} if probabilities is None else {"option_probabilities": len(probabilities) - probabilities.count(None)}
    return counts | (sums | cuts if extras else {}) | scored | dict(costs)


def stated_gold(questions: Sequence[Question], completions: Sequence[TeacherOutput]) -> dict[str, float]:
    """Return how many answers are stated and which share of them is gold, under these names; nothing where none is stated.

    The share is an accuracy of a teacher that was not shown the gold answer. Of one that was it says nothing.
    """
    stated = [
        (parse_rationale(completion.text or "", parse_question(question)).stated, question.answer)
        for question, completion in zip(questions, completions, strict=True)
    ]
    right = [answer == gold for answer, gold in stated if answer is not None]
    return {"stated": len(right), "stated_gold": round(sum(right) / len(right), 4)} if right else {}


def check_failed(teacher: str, completions: Sequence[TeacherOutput], limit: float) -> None:
    """Refuse a query in which too many prompts got no answer.

    Args:
        limit: the share, 0-1, that may fail.

    Raises:
        ValueError: naming how many failed, the most frequent reason, and that nothing has to be paid again.
    """
    outputs = _samples(completions)
    failures = [output.extra for output in outputs if output.status == "failed" and output.extra]
    if len(failures) > limit * len(outputs):
        (reason, count), *_ = Counter(failure["reason"] for failure in failures).most_common(1)
        detail = next(failure["detail"] for failure in failures if failure["reason"] == reason)
        raise ValueError(
            f"teacher {teacher}: {len(failures)} of {len(outputs)} prompts failed for good, allowed are {100 * limit:.4g}% "
            f"(corpus.max_quarantined); most: {reason} {count} ({detail}); "
            f"the answer cache holds the other {len(outputs) - len(failures)}: run again to ask only what failed"
        )


def check_probabilities(teacher: str, probabilities: Probabilities, limit: float) -> None:
    """Refuse a query in which too many questions got no option probabilities.

    Args:
        limit: the share, 0-1, that may fail.

    Raises:
        ValueError: naming how many failed.
    """
    failed = probabilities.count(None)
    if failed > limit * len(probabilities):
        raise ValueError(
            f"teacher {teacher}: {failed} of {len(probabilities)} questions got no option probabilities, allowed are "
            f"{100 * limit:.4g}% (corpus.max_quarantined); the line above says why, and the answer cache holds the others"
        )


def _samples(completions: Sequence[TeacherOutput]) -> list[TeacherOutput]:
    return [sample for completion in completions for sample in completion.samples]
