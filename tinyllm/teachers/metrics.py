"""What came of a query: its counts for the metrics, and the line in which it ends where too much failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tinyllm.records.rationales import TeacherOutput

Probabilities = Sequence[list[float] | None]  # of each question's options, None where the teacher failed


def summarise_query(completions: Sequence[TeacherOutput], probabilities: Probabilities | None) -> dict[str, int]:
    """Return metrics/query/TEACHER.json: how many were asked, by status; of live teachers failures by reason, tokens, cuts.

    Args:
        probabilities: None where they were not asked for.
    """
    statuses = Counter(completion.status for completion in completions)
    extras = [one.extra for one in completions if one.extra]
    reasons = Counter(f"failed_{extra['reason']}" for extra in extras if "reason" in extra)
    sums = {
        field: sum(extra[field] for extra in extras if field in extra)
        for field in ("examples_dropped", "prompt_tokens", "completion_tokens")
    }
    cuts = {"contexts_cut": sum(extra.get("context_words_cut", 0) > 0 for extra in extras)}
    counts = {"asked": len(completions), **dict(sorted(statuses.items())), **dict(sorted(reasons.items()))}
    scored = {} if probabilities is None else {"option_probabilities": len(probabilities) - probabilities.count(None)}
    return counts | (sums | cuts if extras else {}) | scored


def check_failed(teacher: str, completions: Sequence[TeacherOutput], limit: float) -> None:
    """Refuse a query in which too many prompts got no answer.

    Args:
        limit: the share, 0-1, that may fail.

    Raises:
        ValueError: naming how many failed, the most frequent reason, and that nothing has to be paid again.
    """
    failed = [one for one in completions if one.status == "failed" and one.extra]
    if len(failed) > limit * len(completions):
        (reason, count), *_ = Counter(one.extra["reason"] for one in failed if one.extra).most_common(1)
        detail = next(one.extra["detail"] for one in failed if one.extra and one.extra["reason"] == reason)
        raise ValueError(
            f"teacher {teacher}: {len(failed)} of {len(completions)} prompts failed for good, allowed are {100 * limit:.4g}% "
            f"(corpus.max_quarantined); most: {reason} {count} ({detail}); "
            f"the answer cache holds the other {len(completions) - len(failed)}: run again to ask only what failed"
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
