"""Rationales to read: one or two that were kept, and one or two of each fault, with what the fault means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tinyllm.records.questions import Question
from tinyllm.report.gathered import ByStatus, Specimen
from tinyllm.report.run_files import Rationale

KEPT = "ok"
MOST = 2  # of a status
LONGEST_QUESTION, LONGEST_TEXT = 160, 280  # characters; the browser of questions has them whole
MEANINGS = {  # of the statuses in docs/method.md
    KEPT: "learnt from",
    "missing": "no rationale for this question",
    "nan": "the literal nan in the released set",
    "empty": "nothing is written",
    "trigger_only": "only the words that begin an explanation",
    "unparsable": "not laid out as its question's",
    "declined": "the teacher had nothing to say of this case",
    "failed": "no answer for good",
    "too_short": "fewer words than corpus.audit.min_words",
    "too_long": "more words than corpus.audit.max_words",
    "unfinished_thinking": "cut off before the model had thought to the end",
    "not_prose": "mostly other characters than letters: a table, code, sums",
    "repetitive": "the same words over and over",
    "unfinished": "no sentence is whole",
    "copies_question": "says only what the question and its options say",
    "off_topic": "shares no word of meaning with the question",
    "states_other_option": "concludes that another option is right",
    "states_other_answer": "concludes with another answer",
    "no_conclusion": "computes, and does not say what the answer is",
    "not_selected": "sound, and corpus.selection chose others",
}


def by_status(train: Sequence[Question], rationales: Mapping[str, Sequence[Rationale]]) -> list[ByStatus]:
    """Return a few rationales of train by status: kept ones first, then the faults, the most frequent first.

    Args:
        rationales: by teacher, in the order of train
    """
    counts = Counter(rationale.status for of_teacher in rationales.values() for rationale in of_teacher)
    faults = sorted((status for status in counts if status != KEPT), key=lambda status: (-counts[status], status))
    return [
        {
            "status": status,
            "count": counts[status],
            "means": MEANINGS.get(status, ""),
            "specimens": _specimens(status, train, rationales),
        }
        for status in ([KEPT] if KEPT in counts else []) + faults
    ]


def _specimens(status: str, train: Sequence[Question], rationales: Mapping[str, Sequence[Rationale]]) -> list[Specimen]:
    """The first one of each teacher that has a text, of different questions; where there is no text, the first of all."""
    found: list[Specimen] = []
    for teacher, of_teacher in rationales.items():
        taken = {specimen["id"] for specimen in found}
        pairs = [pair for pair in zip(train, of_teacher, strict=True) if pair[1].status == status]
        pairs = sorted(pairs, key=lambda pair: (not pair[1].text, pair[0].id in taken))  # the order of train within
        found += [_specimen(teacher, *pair) for pair in pairs[: MOST if len(rationales) == 1 else 1]]
    return sorted(found, key=lambda specimen: specimen["text"] is None)[:MOST]


def _specimen(teacher: str, question: Question, rationale: Rationale) -> Specimen:
    context = _short(question.context, max(LONGEST_QUESTION - len(question.question), 40))
    return {
        "teacher": teacher,
        "id": question.id,
        "question": f"{context} {_short(question.question, LONGEST_QUESTION)}".strip(),
        "text": _short(rationale.text, LONGEST_TEXT) if rationale.text else None,
    }


def _short(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[:most].rstrip() + " …"
