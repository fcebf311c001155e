"""What is learnt under a teacher's prefix, as token ids: its rationale, with the answer where `student.target` says so."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.student.target_text import join, without_conclusion

UNCUT = 10**6  # tokens
WORD = re.compile(r"\S{1,24}")  # or so much of a text that has no spaces


def teacher_targets(
    reader: InputEncoder, rationales: Sequence[str], answers: Sequence[str], cuts: TruncationCounts
) -> list[np.ndarray]:
    """Return the ids of each target, of at most the student's limit; how many were cut is added to `cuts`.

    Where the answer follows the rationale, words are taken from the rationale's end until both fit, and an answer that is too
    long by itself is kept whole: what is behind the answer's place teaches no answer. Other targets lose their end.

    Args:
        answers: by rationale the answer of its question; not looked at with `multitask`
    """
    texts = [join(reader.writes, rationale, answer) for rationale, answer in zip(rationales, answers, strict=True)]
    if reader.writes != "rationale_then_answer":
        return reader.targets(texts, cuts)
    targets = reader.targets(texts, TruncationCounts(), UNCUT)
    for i, target in enumerate(targets):
        if len(target) > reader.max_target:
            targets[i] = _shortened(reader, without_conclusion(rationales[i]), answers[i])
            cuts.targets_cut += 1
    return targets


def _shortened(reader: InputEncoder, rationale: str, answer: str) -> np.ndarray:
    """Return the ids of the answer behind as many of the rationale's first words as there is room for."""
    ends = [0, *(word.end() for word in WORD.finditer(rationale))]

    def without(count: int) -> np.ndarray:
        text = join(reader.writes, rationale[: ends[len(ends) - 1 - count]], answer)
        return reader.target(text, TruncationCounts(), UNCUT)

    return without(bisect_left(range(len(ends) - 1), True, key=lambda count: len(without(count)) <= reader.max_target))
