"""The voices' vote: what each weighs by its accuracy on valid, which is the best, and what all together answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyllm.records.exact_match import heaviest
from tinyllm.records.jsonl import read_json, write_json
from tinyllm.records.questions import Question
from tinyllm.student.predict import choose
from tinyllm.student.voices import Voice

VOICES = "voices.json"  # in a student's folder, written when it was trained
SPARE = 1.5  # times the longest text of valid that ended by itself: what goes on further hardly ever ends


@dataclass(frozen=True)
class VoiceRecord:
    """How well each voice did on valid, at the look that was kept."""

    accuracies: dict[str, float]  # by teacher
    questions: int
    longest: int | None  # tokens of the longest text that ended by itself; None where it is not known


@dataclass(frozen=True)
class Vote:
    answer: str  # the option's text, or the free text; "" where no voice has an answer
    choice: int | None  # None of free text
    probabilities: list[float]  # of the options; empty of free text


def write_voices(folder: Path, record: VoiceRecord) -> None:
    """Write the record into a student's folder: it weighs its votes, wherever the folder goes."""
    known = {} if record.longest is None else {"longest": record.longest}
    write_json(folder / VOICES, {"accuracies": record.accuracies, "questions": record.questions, **known})


def read_voices(folder: Path) -> VoiceRecord | None:
    """Return the record in a student's folder, None where there is none.

    Raises:
        ValueError: it is damaged; the message says what to run.
    """
    path = folder / VOICES
    if not path.is_file():
        return None
    found = read_json(path)
    accuracies, questions, longest = found.get("accuracies"), found.get("questions"), found.get("longest")
    shares = list(accuracies.values()) if isinstance(accuracies, dict) else [None]
    if (
        not all(map(_is_share, shares))
        or not _is_count(questions, 0)
        or longest is not None
        and not _is_count(longest, 1)
    ):
        allowed = "accuracies (shares by teacher), questions and, where known, longest (whole numbers)"
        raise ValueError(f"{path}: damaged; it must hold {allowed}; run dvc repro train")
    return VoiceRecord(found["accuracies"], found["questions"], longest)


def vote_weights(record: VoiceRecord | None, teachers: Sequence[str]) -> dict[str, float]:
    """Return what each voice weighs: its accuracy on valid, shrunk, (right + 1) / (questions + 2); the same without a record.

    So a voice without a right answer still counts for a little, and one accuracy of few questions is no certainty.

    Args:
        teachers: those on record, see `on_record`
    """
    if record is None:
        return dict.fromkeys(teachers, 1.0)
    right = {teacher: round(record.accuracies[teacher] * record.questions) for teacher in teachers}
    return {teacher: (n + 1) / (record.questions + 2) for teacher, n in right.items()}


def on_record(record: VoiceRecord | None, teachers: Sequence[str]) -> list[str]:
    """Return the voices that were looked at on valid: of another teacher nothing was learnt. Without a record, all."""
    return [teacher for teacher in teachers if record is None or teacher in record.accuracies]


def best_voice(record: VoiceRecord | None, teachers: Sequence[str], folder: Path) -> str:
    """Return the voice that did best on valid, the first of equal ones.

    Raises:
        ValueError: no voice is on record.
    """
    if record is None or not on_record(record, teachers):
        told = f"{folder / VOICES} has no accuracy on valid of any voice"
        raise ValueError(f"score.voices: is best, but {told}; run dvc repro train, or name a voice")
    accuracies = record.accuracies
    return max(on_record(record, teachers), key=lambda teacher: accuracies[teacher])


def longest_text(record: VoiceRecord | None, most: int) -> int:
    """Return how many tokens a voice may write: SPARE times the longest text of valid, and never more than `most`."""
    if record is None or record.longest is None:
        return most
    return min(most, math.ceil(SPARE * record.longest))


def vote(voices: Mapping[str, Voice], weights: Mapping[str, float], question: Question) -> Vote:
    """Return what the voices answer together.

    Of options the probabilities are averaged with the weights. Of free text each voice's answer, normalised as in exact match,
    gets the voice's weight; of equal sums the answer that is given first. A voice without an answer has no vote.

    Args:
        weights: by teacher, above 0
    """
    if question.free:
        first = heaviest([voice.answer for voice in voices.values()], [weights[teacher] for teacher in voices])
        answer = None if first is None else list(voices.values())[first].answer
        return Vote(answer or "", None, [])
    total = math.fsum(weights[teacher] for teacher in voices)
    sure = [
        math.fsum(weights[teacher] * voice.probabilities[i] for teacher, voice in voices.items()) / total
        for i in range(len(question.choices))
    ]
    choice = choose(sure)
    return Vote(question.choices[choice], choice, sure)


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
