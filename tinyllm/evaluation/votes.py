"""What each voice did in a vote, counted anew from the predictions, without the student and without a training."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import TypedDict

from tinyllm.records.exact_match import heaviest, normal_answer
from tinyllm.records.predictions import is_right, voice_is_right


class VoicePart(TypedDict):
    """One voice, in shares of the questions, as a mean over seeds."""

    accuracy: float  # of the voice by itself
    weight: float  # its mean share of the vote
    carried: float  # the vote is right, and would be wrong without it
    misled: float  # the vote is wrong, and would be right without it
    without: float  # accuracy of the vote without it


class VoiceVotes(TypedDict):
    accuracy: float  # of the vote
    voices: dict[str, VoicePart]  # by teacher
    agreement: dict[str, dict[str, float]]  # by two teachers, how often both voices answer the same


def vote_parts(rows: Sequence[Mapping]) -> VoiceVotes | None:
    """Return what each voice did in the votes of some predictions, of all seeds.

    None where fewer than two voices voted, or not the same ones each time: of `best`, each seed asks its own.
    """
    teachers = list(rows[0].get("voices", {})) if rows else []
    if len(teachers) < 2 or any(list(row.get("voices", {})) != teachers for row in rows):
        return None
    parts: dict[str, VoicePart] = {}
    for teacher in teachers:
        others = [name for name in teachers if name != teacher]
        without = [vote_is_right(row, others) for row in rows]
        right = [is_right(row) for row in rows]
        parts[teacher] = {
            "accuracy": _share(voice_is_right(row, teacher) for row in rows),
            "weight": math.fsum(row["voices"][teacher]["weight"] for row in rows) / len(rows),
            "carried": _share(now and not then for now, then in zip(right, without, strict=True)),
            "misled": _share(then and not now for now, then in zip(right, without, strict=True)),
            "without": _share(without),
        }
    agreement: dict[str, dict[str, float]] = {teacher: {} for teacher in teachers}
    for one, other in combinations(teachers, 2):
        same = _share(_answer(row["voices"][one]) == _answer(row["voices"][other]) for row in rows)
        agreement[one][other] = agreement[other][one] = same
    return {"accuracy": _share(map(is_right, rows)), "voices": parts, "agreement": agreement}


def vote_is_right(row: Mapping, teachers: Collection[str]) -> bool:
    """Tell whether a prediction would be right by the vote of these voices alone, with the weights that they have.

    Of options the probabilities are averaged, of equal ones the first wins; of free text the weights of equal answers add up,
    of equal sums the answer that is given first wins, and a voice without an answer has no vote.
    """
    voices = {teacher: row["voices"][teacher] for teacher in teachers}
    if row["choice"] is None:
        texts = list(voices.values())
        place = heaviest([voice["answer"] for voice in texts], [voice["weight"] for voice in texts])
        return place is not None and bool(texts[place]["matched"])
    options = range(len(row["scores"]))
    totals = [math.fsum(v["weight"] * math.exp(v["scores"][option]) for v in voices.values()) for option in options]
    return max(options, key=lambda option: totals[option]) == row["gold"]


def _answer(voice: Mapping) -> object:
    if "choice" in voice:
        return voice["choice"]
    return None if voice["answer"] is None else normal_answer(voice["answer"])


def _share(values: Iterable[bool]) -> float:
    known = list(values)
    return sum(known) / len(known)
