"""One optimizer step as forward passes: its examples in parts, and its options where teachers' beliefs are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinyllm.models.loaded import IGNORED, plain, soft_tokens
from tinyllm.training import packed_t5 as ragged
from tinyllm.training.batching import Ragged, collate, lay_end_to_end, padded_tokens, split_ragged, split_step
from tinyllm.training.examples import Example, target_counts
from tinyllm.training.tree_attention import branch_out, has_plain_head, split_branched

CPU_NUMBERS = 600_000  # of hidden states in a padded pass on a processor: more do not fit its cache
RAGGED_WIDTH = 256  # of a model's hidden states, from which on padding costs more than a call for every length


@dataclass(frozen=True)
class Lesson:
    """What one question teaches: an example for each task, and where wanted its options and each teacher's beliefs in them."""

    id: str
    examples: list[Example]
    options: list[Example] = field(default_factory=list)  # of the task behind the last
    beliefs: np.ndarray | None = None  # (teachers, options), rows that sum to 1


@dataclass(frozen=True)
class Choices:
    """A padded pass over every option of some questions, for the divergence from the teachers' beliefs to the student's."""

    batch: dict[str, Tensor]  # of `collate`, B options in all
    question: Tensor  # (B,), which question an option belongs to
    place: Tensor  # (B,), which of its options it is
    tokens: Tensor  # (B,), how many each option has
    beliefs: Tensor  # (P, C), 0 behind a question's last option
    owner: Tensor  # (P,), the question that each row of beliefs is about


@dataclass(frozen=True)
class Step:
    """What the collator makes of the lessons of one optimizer step."""

    ids: list[str]
    parts: list[dict[str, Tensor] | Ragged | Choices]
    counts: Tensor  # (K,) target tokens of the step by task; of the last, with beliefs, how many rows of beliefs


class Steps:
    """Collator: the lessons of one step become its forward passes and the step's counts by task.

    Args:
        student: the model, in peft's wrapper where it has one
        n_tasks: with beliefs one more than the tasks
        rank, world: of this process and how many there are; each takes its share of a step's lessons
    """

    def __init__(self, student: Any, n_tasks: int, batch_tokens: int, rank: int = 0, world: int = 1) -> None:
        model: Any = plain(student)
        wide = ragged.can_run(model) and model.config.d_model >= RAGGED_WIDTH
        self.ragged = wide and not soft_tokens(student)  # a soft prompt is no token that could be laid out
        self.model, self.branching = model, has_plain_head(student)
        self.n_tasks, self.batch_tokens, self.pad_id = n_tasks, batch_tokens, model.config.pad_token_id
        self.rank, self.world = rank, world

    def __call__(self, lessons: Sequence[Lesson]) -> Step:
        counts = target_counts([example for lesson in lessons for example in lesson.examples], self.n_tasks)
        if any(lesson.beliefs is not None for lesson in lessons):
            counts[-1] = sum(len(lesson.beliefs) for lesson in lessons if lesson.beliefs is not None)
        ids, own = [lesson.id for lesson in lessons], lessons[self.rank :: self.world]
        # every process has to take part in every step, or the others wait for it for ever
        return Step(ids, self._parts(own) or [self._nothing(lessons[0].examples[0])], counts)

    def _nothing(self, example: Example) -> dict[str, Tensor]:
        """Return a pass with no label in it."""
        batch = collate([example], self.pad_id)
        return batch | {"labels": torch.full_like(batch["labels"], IGNORED)}

    @property
    def padded_budget(self) -> int:
        """Tokens of a padded pass, by where the model is by now."""
        if self.model.device.type != "cpu":
            return self.batch_tokens
        return min(self.batch_tokens, max(1, CPU_NUMBERS // self.model.config.hidden_size))

    def _parts(self, lessons: Sequence[Lesson]) -> list[dict[str, Tensor] | Ragged | Choices]:
        parts: list[dict[str, Tensor] | Ragged | Choices] = []
        if self.ragged:
            split = split_ragged([lesson.examples for lesson in lessons], self.batch_tokens)
            parts += [lay_end_to_end(part) for part in split if part]
        elif self.branching and any(example.shared for lesson in lessons for example in lesson.examples):
            questions = [lesson.examples for lesson in lessons if lesson.examples]
            parts += [branch_out(part, self.pad_id) for part in split_branched(questions, self.padded_budget)]
        else:
            examples = [example for lesson in lessons for example in lesson.examples]
            parts += [collate(part, self.pad_id) for part in split_step(examples, self.padded_budget)]
        return parts + [self._choices(part) for part in self._by_budget([one for one in lessons if one.options])]

    def _by_budget(self, lessons: Sequence[Lesson]) -> list[list[Lesson]]:
        """Split lessons with options, those of like length together, so that no pass is over the budget."""
        split: list[list[Lesson]] = []
        for lesson in sorted(lessons, key=lambda one: padded_tokens(one.options)):
            grown = [option for one in [*split[-1], lesson] for option in one.options] if split else []
            if split and padded_tokens(grown) <= self.batch_tokens:
                split[-1].append(lesson)
            else:
                split.append([lesson])
        return split

    def _choices(self, lessons: Sequence[Lesson]) -> Choices:
        options = [option for lesson in lessons for option in lesson.options]
        rows = [(i, row) for i, lesson in enumerate(lessons) if lesson.beliefs is not None for row in lesson.beliefs]
        beliefs = torch.zeros(len(rows), max(len(lesson.options) for lesson in lessons))
        for target, (_, row) in zip(beliefs, rows, strict=True):
            target[: len(row)] = torch.from_numpy(row)
        return Choices(
            collate(options, self.pad_id),
            torch.tensor([i for i, lesson in enumerate(lessons) for _ in lesson.options]),
            torch.tensor([place for lesson in lessons for place in range(len(lesson.options))]),
            torch.tensor([len(option.labels) for option in options]),
            beliefs,
            torch.tensor([i for i, _ in rows]),
        )
