"""The counts of metrics/corpus.json, kept as running sums while the corpus is assembled, and the limit on what is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from tinyllm.corpus.assemble import NOT_SELECTED, AuditedQuestion, Verdict


class CorpusMetrics:
    """What became of every rationale so far; it does not grow with the rows.

    Args:
        splits, teachers: all that will come, in the order in which the summary has them.
    """

    def __init__(self, splits: Iterable[str], teachers: Iterable[str]) -> None:
        splits, teachers = list(splits), list(teachers)
        self._rows = dict.fromkeys(splits, 0)
        self._complete = dict.fromkeys(splits, 0)
        self._statuses = {teacher: {split: Counter[str]() for split in splits} for teacher in teachers}
        self._words = {teacher: _Words() for teacher in teachers}
        self._samples = {teacher: _Samples() for teacher in teachers}
        self._agreement = {pair: _Agreement() for pair in combinations(teachers, 2)}

    def add(self, question: AuditedQuestion) -> None:
        self._rows[question.split] += 1
        self._complete[question.split] += all(verdict.status == "ok" for verdict in question.verdicts.values())
        for teacher, verdict in question.verdicts.items():
            self._statuses[teacher][question.split][verdict.status] += 1
            self._words[teacher].add(verdict)
            self._samples[teacher].add(*question.samples.get(teacher, (0, 0)))
        for (first, second), agreement in self._agreement.items():
            agreement.add(question.verdicts[first], question.verdicts[second])

    def summary(self, unknown_ids: Mapping[str, int]) -> dict:
        """Return the counts for `metrics/corpus.json`: nested, no key with a dot, shares and means to four digits.

        Kept and quarantined count questions, apart by split; words and agreement are over all splits together. A mean or
        share of nothing is left out. A teacher with several samples of a question has their counts, too.

        Args:
            unknown_ids: by teacher, rationales of questions that are not here, such as those dropped as leaks.
        """
        return {
            "rows": self._rows,
            "all_teachers": self._complete,
            "teachers": {
                teacher: {split: _kept(statuses) for split, statuses in by_split.items()}
                | self._words[teacher].means()
                | self._samples[teacher].counts()
                | {"unknown_ids": unknown_ids[teacher]}
                for teacher, by_split in self._statuses.items()
            },
            "agreement": {f"{first}+{second}": both.shares() for (first, second), both in self._agreement.items()},
        }


@dataclass
class _Words:
    """Words of the kept rationales: the difference is what cleaning took off them, not what the audit refused."""

    kept: int = 0
    before: int = 0
    after: int = 0

    def add(self, verdict: Verdict) -> None:
        if verdict.status == "ok":
            self.kept += 1
            self.before += len((verdict.raw or "").split())
            self.after += len(verdict.rationale.text.split())

    def means(self) -> dict:
        if not self.kept:
            return {}
        return {
            "words_before": round(self.before / self.kept, 4),
            "words_after": round(self.after / self.kept, 4),
        }


@dataclass
class _Samples:
    """Rationales of one teacher in all, and how many of them passed the audit."""

    asked: int = 0
    kept: int = 0
    most: int = 0  # of one question

    def add(self, asked: int, kept: int) -> None:
        self.asked += asked
        self.kept += kept
        self.most = max(self.most, asked)

    def counts(self) -> dict:
        return {"samples": {"asked": self.asked, "kept": self.kept}} if self.most > 1 else {}


@dataclass
class _Agreement:
    """Two teachers compared question by question.

    Stated answers are compared before the audit: after it only gold ones might be left. Overlap is the mean Jaccard
    index of the content words where both are kept.
    """

    both_state: int = 0
    same: int = 0
    both_kept: int = 0
    overlap: float = 0.0

    def add(self, first: Verdict, second: Verdict) -> None:
        answers = first.rationale.stated, second.rationale.stated
        if None not in answers:
            self.both_state += 1
            self.same += answers[0] == answers[1]
        if first.status == second.status == "ok":
            words, other_words = first.rationale.words, second.rationale.words
            self.both_kept += 1
            self.overlap += len(words & other_words) / max(1, len(words | other_words))

    def shares(self) -> dict:
        result: dict = {"both_state": self.both_state, "both_kept": self.both_kept}
        if self.both_state:
            result["same_answer"] = round(self.same / self.both_state, 4)
        if self.both_kept:
            result["overlap"] = round(self.overlap / self.both_kept, 4)
        return result


def _kept(statuses: Counter[str]) -> dict:
    reasons = {reason: count for reason, count in statuses.items() if reason != "ok"}
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return {"kept": statuses["ok"], "quarantined": sum(reasons.values()), "reasons": ordered}


def check_quarantine(summary: dict, limit: float) -> None:
    """Refuse a corpus in which a teacher lost too much of train; what was not selected is no loss.

    Args:
        summary: of `CorpusMetrics.summary`.
        limit: the share of the train questions, 0-1, that may be without a teacher's rationale.

    Raises:
        ValueError: naming every teacher beyond the limit, its most frequent reason, and the remedies.
    """
    total = summary["rows"].get("train", 0)
    messages = []
    for teacher, counts in summary["teachers"].items():
        reasons = {reason: count for reason, count in counts["train"]["reasons"].items() if reason != NOT_SELECTED}
        lost = sum(reasons.values()) if total else 0
        if lost > limit * total:
            reason, count = max(reasons.items(), key=lambda item: item[1])
            messages.append(
                f"teacher {teacher}: {lost} of {total} rationales ({lost / total:.1%}) quarantined, "
                f"allowed are {100 * limit:.4g}% (corpus.max_quarantined); most: {reason} {count}"
                + (" (are the ids in its file those of the questions?)" if reason == "missing" else "")
            )
    if messages:
        raise ValueError("; ".join(messages) + "; see data/quarantine.jsonl, raise the limit or drop the teacher")
