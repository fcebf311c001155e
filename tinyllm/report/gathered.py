"""What the page and its figures show, as plain data: the types of a gathered report. Shares are from 0 to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from tinyllm.evaluation.calibration import Calibration
from tinyllm.evaluation.votes import VoiceVotes

Curve = Mapping[str, Sequence[tuple[int, float]]]  # by task, pairs of step and loss


class TeacherRow(TypedDict):
    """A teacher beside the student; what is not known is not there."""

    name: str
    accuracy: NotRequired[float]
    accuracy_low: NotRequired[float]
    accuracy_high: NotRequired[float]
    parameters: NotRequired[int]
    ratio: NotRequired[float]  # its size in students
    missing: NotRequired[str]  # how many of its answers could not be read, in words


class Confusion(TypedDict):
    labels: list[str]
    counts: list[list[int]]  # a row for each gold label, a column for each chosen one


class Words(TypedDict):
    median: float
    counts: list[int]  # rationales by bin


class Lengths(TypedDict):
    """Histograms of the words of a rationale, in the same bins for every teacher; the last is open."""

    width: int  # of a bin
    teachers: dict[str, Words | None]  # None where none was kept


class Kept(TypedDict):
    """How many rationales of a teacher were kept, as metrics/corpus.json counts them."""

    kept: int
    quarantined: int
    reasons: dict[str, int]


class Specimen(TypedDict):
    """A rationale of a train question, to be read; texts are shortened."""

    teacher: str
    id: str
    question: str
    text: str | None  # None where nothing was written


class ByStatus(TypedDict):
    """Rationales of one status: `ok`, or why they are not learnt from."""

    status: str
    count: int  # of all such rationales of train
    means: str  # "" where there is nothing to add
    specimens: list[Specimen]


class Report(TypedDict):
    dataset: str
    teachers: list[str]
    seeds: list[int]
    score: Mapping[str, Any]  # metrics/score.json
    by_seed: dict[int, float]
    parameters: int
    train_questions: int
    teacher_rows: list[TeacherRow]
    curves: Mapping[int, Curve]  # by seed
    looks: Mapping[int, Sequence[tuple[int, float]]]  # at valid, by seed: pairs of step and accuracy
    corpus: dict  # metrics/corpus.json
    by_status: list[ByStatus]
    free: bool  # of free text
    confusion: Confusion | None  # None where answers are not told apart
    calibration: Calibration | None  # free text has none, and few answers
    votes: VoiceVotes | None  # what each voice did, where the students' answers are votes
    answers: int  # to test questions, over all seeds
    majority: str  # what is right most often in the test set, in words
    lengths: Lengths
    examples: list[str]  # ids of train questions to read first
    whole: dict[str, int]  # questions by split
    explained: dict[str, int]  # the student's explanations: all, and those that say nothing by why
    questions: list[dict[str, object]]  # the page's JSON: of test and train, a sample where there are many
