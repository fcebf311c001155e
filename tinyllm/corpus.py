"""The training corpus: one row a question with a target for every task, and a record of every rationale left out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from tinyllm.audit import content_words, fault
from tinyllm.cleaning import clean
from tinyllm.questions import Question, input_text
from tinyllm.settings import Audit
from tinyllm.stated import stated_answer

ANSWER = "answer"  # the task every row has; no teacher may bear its name
TEACHER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")  # a dot would split the key in `dvc metrics diff`


@dataclass(frozen=True)
class Verdict:
    """What became of one teacher's rationale for one question; `status` is "ok" or the reason it is not used."""

    id: str
    split: str
    teacher: str
    status: str
    raw: str | None
    cleaned: str | None  # also of a rationale that the audit refused
    stated: int | None  # the option that the cleaned rationale states


@dataclass(frozen=True)
class Corpus:
    """Rows by split, the quarantine, and the verdicts both came from."""

    rows: dict[str, list[dict]]
    quarantine: list[dict]
    verdicts: list[Verdict]
    unknown_ids: dict[str, int]  # by teacher: rationales of questions that are not here, such as those dropped as leaks


def assemble(
    splits: Mapping[str, Sequence[Question]], rationales: Mapping[str, Sequence[dict]], limits: Audit
) -> Corpus:
    """Join questions and rationales into corpus rows; a teacher without a usable rationale is absent from the targets.

    Args:
        splits: the questions by split, train and valid; never test, whose questions no teacher sees with gold.
        rationales: by teacher the rows of `read_rationales`, each teacher's for all splits together.

    Everything comes back in the order of splits, questions and teachers.

    Raises:
        ValueError: a teacher's name cannot be a task and a metrics key, or an id stands in two splits.
    """
    _check_names(rationales)
    known = _check_ids(splits)
    by_id = {teacher: {row["id"]: row for row in rows} for teacher, rows in rationales.items()}
    rows: dict[str, list[dict]] = {}
    verdicts: list[Verdict] = []
    for split, questions in splits.items():
        rows[split] = []
        for question in questions:
            judged = [_judge(question, split, teacher, by_id[teacher].get(question.id), limits) for teacher in by_id]
            usable = {verdict.teacher: verdict.cleaned for verdict in judged if verdict.status == "ok"}
            targets = {ANSWER: question.gold} | usable
            row = {"id": question.id, "context": question.context, "input": input_text(question), "targets": targets}
            rows[split].append(row)
            verdicts += judged
    quarantine = [_quarantine_row(verdict) for verdict in verdicts if verdict.status != "ok"]
    unknown = {teacher: len(found.keys() - known) for teacher, found in by_id.items()}
    return Corpus(rows, quarantine, verdicts, unknown)


def _check_names(teachers: Iterable[str]) -> None:
    for teacher in teachers:
        if teacher == ANSWER or not TEACHER_NAME.fullmatch(teacher):
            raise ValueError(f"teacher {teacher!r}; allowed are letters, digits, _ and -, and not {ANSWER!r}")


def _check_ids(splits: Mapping[str, Sequence[Question]]) -> set[str]:
    split_of: dict[str, str] = {}
    for split, questions in splits.items():
        for question in questions:
            if split_of.setdefault(question.id, split) != split:
                raise ValueError(
                    f"id {question.id!r} stands in {split_of[question.id]} and in {split}; ids must differ"
                )
    return set(split_of)


def _judge(question: Question, split: str, teacher: str, row: dict | None, limits: Audit) -> Verdict:
    if row is None or row["status"] != "ok":
        return Verdict(question.id, split, teacher, row["status"] if row else "missing", None, None, None)
    text = clean(row["rationale"])
    status = fault(text, question, limits) or "ok"
    return Verdict(question.id, split, teacher, status, row["rationale"], text, stated_answer(text, question))


def _quarantine_row(verdict: Verdict) -> dict:
    return {
        "id": verdict.id,
        "split": verdict.split,
        "teacher": verdict.teacher,
        "status": verdict.status,
        "rationale": verdict.raw,
    }


def summarise(corpus: Corpus) -> dict:
    """Return the counts for `metrics/corpus.json`: nested, no key with a dot, shares and means to four digits.

    Kept and quarantined stand apart by split; words and agreement are over all splits together. A mean or share of
    nothing is left out.
    """
    teachers = list(corpus.unknown_ids)
    by_teacher = {name: [verdict for verdict in corpus.verdicts if verdict.teacher == name] for name in teachers}
    tasks = 1 + len(teachers)
    complete = {split: sum(len(row["targets"]) == tasks for row in rows) for split, rows in corpus.rows.items()}
    return {
        "rows": {split: len(rows) for split, rows in corpus.rows.items()},
        "all_teachers": complete,
        "teachers": {
            name: _count_kept(verdicts, list(corpus.rows))
            | _mean_words(verdicts)
            | {"unknown_ids": corpus.unknown_ids[name]}
            for name, verdicts in by_teacher.items()
        },
        "agreement": {
            f"{one}+{other}": _agreement(by_teacher[one], by_teacher[other]) for one, other in combinations(teachers, 2)
        },
    }


def _count_kept(verdicts: list[Verdict], splits: list[str]) -> dict:
    counts: dict = {}
    for split in splits:
        found = Counter(verdict.status for verdict in verdicts if verdict.split == split)
        kept = found.pop("ok", 0)
        reasons = dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
        counts[split] = {"kept": kept, "quarantined": found.total(), "reasons": reasons}
    return counts


def _mean_words(verdicts: list[Verdict]) -> dict:
    """Words of the kept rationales: the difference is what cleaning took off them, not what the audit refused."""
    pairs = [(verdict.raw or "", verdict.cleaned or "") for verdict in verdicts if verdict.status == "ok"]
    if not pairs:
        return {}
    before, after = (sum(len(text.split()) for text in texts) for texts in zip(*pairs, strict=True))
    return {"words_before": round(before / len(pairs), 4), "words_after": round(after / len(pairs), 4)}


def _agreement(one: list[Verdict], other: list[Verdict]) -> dict:
    """Compare two teachers question by question.

    Stated answers are compared before the audit: after it only gold ones might be left. Overlap is the mean Jaccard
    index of the content words where both are kept.
    """
    pairs = list(zip(one, other, strict=True))  # both have a verdict on every question, in the same order
    stated = [a.stated == b.stated for a, b in pairs if a.stated is not None and b.stated is not None]
    overlaps = list(_overlaps(pairs))
    result: dict = {"both_state": len(stated), "both_kept": len(overlaps)}
    if stated:
        result["same_answer"] = round(sum(stated) / len(stated), 4)
    if overlaps:
        result["overlap"] = round(sum(overlaps) / len(overlaps), 4)
    return result


def _overlaps(pairs: list[tuple[Verdict, Verdict]]) -> Iterator[float]:
    for a, b in pairs:
        if a.status == b.status == "ok":
            first, second = content_words(a.cleaned or ""), content_words(b.cleaned or "")
            yield len(first & second) / max(1, len(first | second))


def check_quarantine(summary: dict, limit: float) -> None:
    """Refuse a corpus in which a teacher lost too much of train.

    Args:
        summary: of `summarise`.
        limit: the share of the train questions, 0-1, that may be without a teacher's rationale.

    Raises:
        ValueError: naming every teacher beyond the limit, its most frequent reason, and the remedies.
    """
    total = summary["rows"].get("train", 0)
    messages = []
    for teacher, counts in summary["teachers"].items():
        lost = counts["train"]["quarantined"] if total else 0
        if lost > limit * total:
            reason, count = max(counts["train"]["reasons"].items(), key=lambda item: item[1])
            messages.append(
                f"teacher {teacher}: {lost} of {total} rationales ({lost / total:.1%}) quarantined, "
                f"allowed are {100 * limit:.4g}% (corpus.max_quarantined); most: {reason} {count}"
            )
    if messages:
        raise ValueError("; ".join(messages) + "; see data/quarantine.jsonl, raise the limit or drop the teacher")
