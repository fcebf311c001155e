"""A question under each of its tasks, as token ids, and the corpus file that it stands in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tinyllm.models.loaded import IGNORED
from tinyllm.records.jsonl import parse_lines
from tinyllm.records.reading import open_lines
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.training.target_ids import teacher_targets

ANSWER = "answer"  # the task of the answer by itself
UNKNOWN_TOLD = 0.01  # of the tokens of inputs, or of targets


@dataclass(frozen=True)
class CorpusFile:
    """The rows of a corpus file, in order; each loop over it reads the file anew and holds one row at a time.

    Raises:
        ValueError: on the way; the message names file and line.
    """

    path: str

    def __iter__(self) -> Iterator[dict]:
        with open_lines(self.path) as lines:
            for _, row in parse_lines(lines, self.path):
                yield row


@dataclass(frozen=True)
class Task:
    """One thing the student learns: `answer` or a teacher's name, its input prefix and its weight in the loss."""

    name: str
    prefix: str
    weight: float


@dataclass(frozen=True)
class Example:
    """One question under one task, as token ids."""

    task: int
    source: np.ndarray  # (S,) int32, what the encoder reads; empty for a causal student
    prompt: np.ndarray  # (P,) int32, what the decoder has before its first own token
    labels: np.ndarray  # (T,) int32
    weight: float = 1.0  # of its tokens' losses, beside that of its task
    shared: int = 0  # tokens at the prompt's head that all tasks of the question read together; 0 is each by itself
    alternatives: tuple[np.ndarray, ...] = ()  # (T,) int32 each, which an epoch may learn in place of the labels

    @property
    def decoder_length(self) -> int:
        return len(self.prompt) + len(self.labels) - 1

    def decoder_ids(self) -> np.ndarray:
        """What the decoder reads: (P + T - 1,); the last label is only ever foretold."""
        return np.concatenate([self.prompt, self.labels[:-1]])

    def decoder_labels(self) -> np.ndarray:
        """What is to be foretold at each of these places: (P + T - 1,), IGNORED within the prompt."""
        return np.concatenate([np.full(len(self.prompt) - 1, IGNORED, dtype=np.int32), self.labels])


def targets_of(row: dict, task: str, most: int | None) -> list[str]:
    """Return what a row has to learn under a task: its target, then the alternatives.

    Args:
        most: that are taken of them; None is all
    """
    return [row["targets"][task], *row.get("alternatives", {}).get(task, ())][:most]


def encode_corpus(
    rows: Sequence[dict], tasks: Sequence[Task], reader: InputEncoder, most: int | None = 1
) -> tuple[list[list[Example]], TruncationCounts]:
    """Tokenise all rows together: a list of examples a question, one for each task it has a target for.

    A task of weight 0 is left out altogether, so that `loss.alpha=0.0` costs no more than a corpus without teachers. So is a
    rationale that is to be learnt with the answer of a question that has none.

    Args:
        most: targets of a task; None is all that a row has
    """
    cuts = TruncationCounts()
    questions: list[list[Example]] = [[] for _ in rows]
    for index, task in enumerate(tasks):
        needed = {task.name} if reader.writes == "multitask" else {task.name, ANSWER}
        learnt = [i for i, row in enumerate(rows) if task.weight > 0 and needed <= row["targets"].keys()]
        readings = reader.questions(task.prefix, [(rows[i]["context"], rows[i]["input"]) for i in learnt], cuts)
        texts = [targets_of(rows[i], task.name, most) for i in learnt]
        flat = [text for several in texts for text in several]
        answers = [
            rows[i]["targets"].get(ANSWER, "") for i, several in zip(learnt, texts, strict=True) for _ in several
        ]
        encoded = reader.targets(flat, cuts) if task.name == ANSWER else teacher_targets(reader, flat, answers, cuts)
        targets = iter(encoded)
        for i, reading, several in zip(learnt, readings, texts, strict=True):
            target, *others = [next(targets) for _ in several]
            # with a shared encoder all tasks read the same, and keep it once
            source = questions[i][0].source if reader.shared and questions[i] else reading.source
            weight = rows[i].get("weights", {}).get(task.name, 1.0)
            example = Example(index, source, reading.prompt, target, weight, reading.shared, tuple(others))
            questions[i].append(example)
    return questions, cuts


def target_counts(examples: Sequence[Example], n_tasks: int) -> Tensor:
    """Count target tokens by task: (K,) float."""
    counts = torch.zeros(n_tasks)
    for example in examples:
        counts[example.task] += len(example.labels)
    return counts


@dataclass
class Learnt:
    """Which tasks have a target at all, and how many tokens the longest target has."""

    tasks: set[int] = field(default_factory=set)
    longest: int = 0

    def add(self, examples: Sequence[Example]) -> None:
        for example in examples:
            self.tasks.add(example.task)
            self.longest = max(self.longest, *map(len, (example.labels, *example.alternatives)))


class UnknownTokens:
    """Counts tokens that stand for anything that the vocabulary lacks, in inputs and in targets.

    Args:
        id_: of the unknown token; None where the vocabulary can spell everything
    """

    def __init__(self, id_: int | None) -> None:
        self.id = id_
        self.tokens, self.unknown = Counter[str](), Counter[str]()

    def add(self, examples: Sequence[Example]) -> None:
        if self.id is None:
            return
        for example in examples:
            targets = [("targets", ids) for ids in (example.labels, *example.alternatives)]
            for side, ids in (("inputs", example.source), ("inputs", example.prompt), *targets):
                self.tokens[side] += len(ids)
                self.unknown[side] += int(np.count_nonzero(ids == self.id))

    def shares(self) -> dict[str, float]:
        """Return the shares for the metrics."""
        return {f"{side}_unknown": round(self._share(side), 4) for side in ("inputs", "targets")}

    def note(self) -> str | None:
        """Return a line on shares that are worth telling."""
        high = [side for side in ("inputs", "targets") if self._share(side) > UNKNOWN_TOLD]
        if not high:
            return None
        told = " and ".join(f"{100 * self._share(side):.1f}% of the tokens of {side}" for side in high)
        return f"note: {told} are unknown to the student's tokenizer, which takes them all for one; use another student.model"

    def _share(self, side: str) -> float:
        return self.unknown[side] / max(1, self.tokens[side])
