"""How long a control trains that is to take as many steps, or read as many tokens, as one that learns every rationale."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from tinyllm.params.schema import Loss
from tinyllm.training.examples import Example, Task
from tinyllm.training.trainer import EpochOrder

ROUNDING = 1e-6  # tokens; a mean over several rationales is no whole number


def every_rationale(loss: Loss) -> Loss:
    """Return the weights of the training to be matched, in which no teacher weighs nothing."""
    return loss.model_copy(update={"alpha": 1.0, "teacher_alpha": {}})


def left_out(tasks: Sequence[Task], arm: Sequence[Task]) -> list[Task]:
    """Return the tasks with a weight for those alone that weigh something in `arm`, which is to be matched, and not here."""
    return [replace(other, weight=0.0) if task.weight > 0 else other for task, other in zip(tasks, arm, strict=True)]


def tokens_read(examples: Sequence[Example]) -> float:
    """Return the tokens of one question's inputs and targets, without padding.

    An input that several tasks share counts once, as it is read once. Of several rationales of a teacher the mean counts,
    since each is drawn as often as another.
    """
    sources = {example.source.tobytes(): len(example.source) for example in examples}
    shared = max((example.shared for example in examples), default=0)
    return sum(sources.values()) + shared + sum(_decoder_tokens(example) - example.shared for example in examples)


def _decoder_tokens(example: Example) -> float:
    targets = [example.labels, *example.alternatives]
    return len(example.prompt) - 1 + sum(map(len, targets)) / len(targets)


class Match:
    """Counts, question by question, what one epoch reads, and what it would read if every rationale were learnt."""

    def __init__(self, epochs: int, batch_size: int, seed: int) -> None:
        self.epochs, self.batch_size, self.seed = epochs, batch_size, seed
        self.own = array("d")  # tokens of each question that is learnt from, in the file's order
        self.arm_questions, self.arm_tokens = 0, 0.0

    def add(self, learnt: Sequence[Sequence[Example]], not_learnt: Sequence[Sequence[Example]]) -> None:
        """Count some questions more.

        Args:
            learnt: of each question the examples that the training learns
            not_learnt: those of the tasks that are left out
        """
        for own, others in zip(learnt, not_learnt, strict=True):
            if own:
                self.own.append(tokens_read(own))
            self.arm_questions += bool(own or others)
            self.arm_tokens += tokens_read([*own, *others])

    def steps(self, kind: Literal["steps", "tokens"]) -> int:
        """Return the number of optimizer steps after which the training has taken, or read, as many as the other one.

        Of `tokens` it is the first step with which it has read at least as many.
        """
        if kind == "steps":
            return self.epochs * -(-self.arm_questions // self.batch_size)
        wanted, per_epoch = self.epochs * self.arm_tokens, sum(self.own)
        whole = int((wanted + ROUNDING) // per_epoch)
        rest = wanted - whole * per_epoch
        steps = whole * self.steps_per_epoch
        if rest <= ROUNDING:
            return steps
        return steps + int(np.searchsorted(self._by_step(whole), rest - ROUNDING)) + 1

    def tokens(self, steps: int) -> int:
        """Return how many tokens the training has read after so many steps."""
        whole, rest = divmod(steps, self.steps_per_epoch)
        begun = self._by_step(whole)[rest - 1] if rest else 0.0
        return round(whole * sum(self.own) + float(begun))

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.own) // self.batch_size)

    def _by_step(self, epoch: int) -> np.ndarray:
        """Return the tokens that an epoch has read after each of its steps: (steps,)."""
        order = list(EpochOrder(len(self.own), self.seed, lambda: epoch))
        read = np.cumsum(np.array(self.own)[order])
        return read[[*range(self.batch_size - 1, len(order) - 1, self.batch_size), len(order) - 1]]
