"""Controls: a corpus whose rationales are as many, as long and by the same teachers, and of other questions.

Only rows of train change, since nothing is learnt from those of valid. Every row keeps its answer and its weights.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from random import Random
from typing import Literal

from tinyllm.corpus.arrow import ArrowRows
from tinyllm.corpus.assemble import ANSWER, AuditedQuestion
from tinyllm.corpus.audited import AuditedTable

Control = Literal["none", "shuffled", "length"]


def control_rationales(kind: Control, audited: Iterable[AuditedQuestion]) -> Iterator[AuditedQuestion]:
    """Yield the questions, each with rationales of others of the same teacher where `kind` asks for a control.

    `shuffled` gives each question the kept rationale, and its alternatives, of another question. No rationale stays and none
    is lost. `length` gives it as many words, parted by white space, of a running text: the teacher's rationales of other
    questions, one behind the other in that order. The order hangs on the teachers' names and counts alone, so it is the same
    in every run. Memory holds 8 bytes a rationale.

    Raises:
        ValueError: a teacher has only one kept rationale, for which there is no other.
    """
    if kind == "none":
        yield from audited
        return
    table = AuditedTable(audited)
    pools = _read_pools(table)
    for teacher, pool in pools.items():
        if len(pool.places) == 1:
            raise ValueError(
                f"corpus.control: {kind}, but teacher {teacher} has only 1 kept rationale of train; "
                "at least 2 are needed; give it more questions, or drop the teacher"
            )
    number = dict.fromkeys(pools, 0)  # by teacher, which of its rationales comes next
    for question in table:
        if question.split != "train":
            yield question
            continue
        texts = {}
        for teacher in _explained(question):
            texts[teacher] = pools[teacher].texts_for(number[teacher], kind)
            number[teacher] += 1
        yield replace(question, row=_with_texts(question.row, texts))


@dataclass(frozen=True)
class _Pool:
    """The kept rationales of one teacher, and for each of them the one that takes its place: all lie on one circle."""

    rows: ArrowRows  # of all teachers
    places: array[int]  # this one's rows
    following: array[int]  # by number among the places

    def texts_for(self, number: int, kind: Control) -> list[str]:
        other = self._texts(self.following[number])
        if kind == "shuffled":
            return other
        words = self._words_of_others(number)
        return [" ".join(islice(words, len(text.split()))) for text in self._texts(number)]

    def _texts(self, number: int) -> list[str]:
        texts: list[str] = self.rows[self.places[number]]["texts"]
        return texts

    def _words_of_others(self, number: int) -> Iterator[str]:
        """Yield the words of the rationales that follow, round and round, without those of this one."""
        other = self.following[number]
        while True:
            if other != number:
                yield from self._texts(other)[0].split()
            other = self.following[other]


def circle(size: int, seed: str) -> array[int]:
    """Return for each of so many places the one that follows it on a random circle through all of them.

    So none follows itself, if there are two or more.

    Source: Sattolo, 1986.
    """
    rng, order = Random(seed), array("I", range(size))
    for place in range(size - 1, 0, -1):
        other = int(rng.random() * place)  # of a seed, only random() is promised to stay in later Pythons
        order[place], order[other] = order[other], order[place]
    return order


def _read_pools(table: Sequence[AuditedQuestion]) -> dict[str, _Pool]:
    """Return the kept rationales of train by teacher."""
    import pyarrow as pa  # slow to import

    places: dict[str, array[int]] = {}

    def rows() -> Iterator[dict]:
        count = 0
        for question in table:
            for teacher in _explained(question) if question.split == "train" else ():
                places.setdefault(teacher, array("I")).append(count)
                count += 1
                alternatives = question.row.get("alternatives", {}).get(teacher, [])
                yield {"texts": [question.row["targets"][teacher], *alternatives]}

    texts = ArrowRows({"texts": pa.list_(pa.string())}, rows())
    return {name: _Pool(texts, found, circle(len(found), f"control {name}")) for name, found in places.items()}


def _explained(question: AuditedQuestion) -> list[str]:
    """Return the teachers whose rationales are learnt."""
    return [task for task in question.row["targets"] if task != ANSWER]


def _with_texts(row: Mapping, texts: Mapping[str, Sequence[str]]) -> dict:
    targets = {task: texts[task][0] if task in texts else text for task, text in row["targets"].items()}
    changed = {**row, "targets": targets}
    changed.pop("alternatives", None)
    further = {teacher: list(found[1:]) for teacher, found in texts.items() if len(found) > 1}
    return changed | ({"alternatives": further} if further else {})
