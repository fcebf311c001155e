"""Few gold answers: what the train questions without one are learnt with, and how right that is.

The first `data.labelled` questions of train keep their gold. The others are left out, or answered by a vote of the teachers.
Their gold is read for one thing: to say in metrics/corpus.json how many made answers are right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from tinyllm.corpus.assemble import AuditedQuestion
from tinyllm.corpus.vote import Answer, count_votes, option_shares, shrunk_accuracy, vote_weight, winner
from tinyllm.params.schema import Corpus
from tinyllm.parsing import parse_question, parse_rationale
from tinyllm.parsing.question import bare_text
from tinyllm.records.exact_match import is_number
from tinyllm.records.questions import Question, require_options

VOTE = "vote"  # among the row's option_probabilities
ANY_NUMBER, ANY_LETTER = "-7777777777.7777", "◆"  # what nobody states


class Rationales(Protocol):
    """One teacher's rationale file, as `RationaleTable` reads it."""

    def look_up(self, question: Question) -> list[dict]: ...

    def find(self, question: Question) -> list[dict]: ...


@dataclass
class _Voice:
    """What one teacher stated of labelled questions without being shown their gold; of k samples each counts 1/k."""

    right: float = 0.0
    stated: float = 0.0
    votes: bool = False  # it has said anything without being shown the gold

    @property
    def accuracy(self) -> float:
        return shrunk_accuracy(self.right, self.stated)


class AnswerMaker:
    """Answers the questions of train that have no gold, one at a time, in their order.

    Args:
        labelled: the first so many keep their gold; None is all.
        tables: by teacher. A row takes part in the vote where its field `forced` is false; else its teacher was shown the
            gold answer, or may have been.
    """

    def __init__(self, labelled: int | None, settings: Corpus, tables: Mapping[str, Rationales]) -> None:
        self._labelled, self._settings, self._tables = labelled, settings, tables
        self._voices = {teacher: _Voice() for teacher in tables}
        self._stand_in = ""  # for the gold answer, while a free-text rationale is parsed
        self._shares: dict[str, list[float]] = {}  # by id, until its row is there
        self._options: Counter[int] = Counter()  # of the unlabelled questions
        self._reasons: Counter[str] = Counter()  # why they are left out
        self._kept = self._made = self._right = 0
        self._agreement = 0.0

    def fill(self, read: Callable[[], Iterator[Question]]) -> Iterator[Question]:
        """Yield those questions of train that have an answer: gold, or made.

        Args:
            read: reads the questions of train from the first on

        Raises:
            ValueError: soft answers are asked for of free text.
        """
        asks = self._labelled is not None and self._settings.answers == "teachers"
        if asks:
            self._stand_in = _stand_in(question.gold for question in islice(read(), self._labelled))
        for number, question in enumerate(read()):
            if self._labelled is None or number < self._labelled:
                self._kept += 1
                if asks:
                    self._measure(question)
                yield question
                continue
            self._options[len(question.choices)] += 1
            answer = self._answer(question) if asks else None
            if answer is not None:
                yield replace(question, answer=answer)
            else:
                for table in self._tables.values():
                    table.find(question)  # its rationales are of a question that is known

    def soften(self, audited: Iterable[AuditedQuestion]) -> Iterator[AuditedQuestion]:
        """Give the rows of made answers the vote's shares of the options, where corpus.soft_answers asks for them."""
        for question in audited:
            shares = self._shares.pop(question.row["id"], None)
            if shares is None:
                yield question
                continue
            given = question.row.get("option_probabilities", {})
            told = {"option_probabilities": {**given, VOTE: shares}, "choices": list(question.question.choices)}
            yield replace(question, row=question.row | told)

    def summary(self) -> dict:
        """Return the section `answers` of metrics/corpus.json, in a dict; {} where every question has its gold."""
        if self._labelled is None:
            return {}
        unlabelled = self._options.total()
        counts: dict = {"labelled": self._kept, "unlabelled": unlabelled}
        counts |= {"made": self._made, "left_out": unlabelled - self._made}
        if self._settings.answers == "teachers":
            counts["reasons"] = dict(self._reasons.most_common())
            if self._made:
                counts["made_right"] = round(self._right / self._made, 4)
                counts["agreement"] = round(self._agreement / self._made, 4)
            voices = {teacher: voice for teacher, voice in self._voices.items() if voice.votes}
            counts["teachers"] = {teacher: self._told(voice) for teacher, voice in voices.items()}
        return {"answers": counts}

    def _told(self, voice: _Voice) -> dict:
        """Return a teacher's counts; its weight is the mean over the unlabelled questions."""
        weights = [number * vote_weight(voice.accuracy, options) for options, number in self._options.items()]
        accuracy = {"accuracy": round(voice.right / voice.stated, 4)} if voice.stated else {}
        counts = {"stated": round(voice.stated, 4), "right": round(voice.right, 4)}
        return counts | accuracy | {"weight": round(sum(weights) / max(1, self._options.total()), 4)}

    def _measure(self, question: Question) -> None:
        gold = bare_text(question.gold) if question.free else question.answer
        for teacher, answers in self._stated(question).items():
            voice = self._voices[teacher]
            voice.stated += sum(answer is not None for answer in answers) / len(answers)
            voice.right += sum(answer == gold for answer in answers) / len(answers)

    def _answer(self, question: Question) -> Answer | None:
        if self._settings.soft_answers:
            require_options([question], "corpus.soft_answers: true")
        weights = {name: vote_weight(voice.accuracy, len(question.choices)) for name, voice in self._voices.items()}
        votes = count_votes(self._stated(question), weights)
        answer, share = winner(votes)
        if answer is None or share < self._settings.min_agreement:
            why = "no_vote" if not votes else "tied" if answer is None else "below_min_agreement"
            self._reasons[why] += 1
            return None
        self._made += 1
        self._agreement += share
        self._right += answer == (bare_text(question.gold) if question.free else question.answer)
        if self._settings.soft_answers:
            shares = option_shares(votes, len(question.choices))
            self._shares[question.id] = [round(value, 6) for value in shares]
        return answer

    def _stated(self, question: Question) -> dict[str, list[Answer | None]]:
        """Return by teacher the answers that its samples state, of those that were not shown the gold."""
        parsed = parse_question(replace(question, answer=self._stand_in) if question.free else question)
        stated: dict[str, list[Answer | None]] = {}
        for teacher, table in self._tables.items():
            rows = [row for row in table.look_up(question) if row.get("forced") is False]
            if not rows:
                continue
            self._voices[teacher].votes = True
            texts = [row["rationale"] for row in rows]
            thinking = self._settings.thinking
            answers = [None if text is None else parse_rationale(text, parsed, thinking).stated for text in texts]
            stated[teacher] = [bare_text(answer) if isinstance(answer, str) else answer for answer in answers]
        return stated


def _stand_in(golds: Iterable[str]) -> str:
    """Return what takes the gold answer's place while rationales of unlabelled free-text questions are parsed.

    It has the form of the labelled answers: a number where most of them are, else as many words as the longest of them.
    """
    count = numbers = 0
    longest = ""
    for gold in golds:
        count, numbers = count + 1, numbers + is_number(gold)
        longest = max(longest, gold, key=lambda text: (len(text.split()), len(text)))
    if 2 * numbers > count:
        return ANY_NUMBER
    return " ".join(ANY_LETTER * len(word) for word in longest.split())
