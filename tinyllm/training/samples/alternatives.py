"""Several rationales of a teacher to one question: an epoch learns one of them, so that the teacher's weight does not grow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

from torch.utils.data import Dataset

from tinyllm.training.examples import Example
from tinyllm.training.samples.sample_file import SampleFile
from tinyllm.training.step_collator import TrainingSample


class DrawnSamples(Dataset[TrainingSample]):
    """The samples of a file as one epoch learns them, with one target of each task.

    What is drawn depends on the seed, the epoch, the question's id and the task alone. So it is the same in any order, in
    every process, and in a training that goes on.

    Args:
        tasks: their names, by index
        epoch: tells the epoch that runs, from 0
    """

    def __init__(self, samples: SampleFile, tasks: Sequence[str], seed: int, epoch: Callable[[], int]) -> None:
        self.samples, self.tasks, self.seed, self.epoch = samples, tasks, seed, epoch

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> TrainingSample:
        sample = self.samples[index]
        if not any(example.alternatives for example in sample.examples):
            return sample
        return replace(sample, examples=[self._drawn(example, sample.id) for example in sample.examples])

    def _drawn(self, example: Example, id_: str) -> Example:
        targets = (example.labels, *example.alternatives)
        place = draw(len(targets), self.seed, self.epoch(), id_, self.tasks[example.task])
        return replace(example, labels=targets[place], alternatives=())


def draw(count: int, seed: int, epoch: int, id_: str, task: str) -> int:
    """Return which of `count` targets, from 0, an epoch learns of a question's task.

    They are drawn without putting back: in `count` epochs each comes up once, in an order that the digests of their names
    give, and then all of them again in another order.
    """
    if count == 1:
        return 0
    turn, place = divmod(epoch, count)

    def lot(number: int) -> bytes:
        return hashlib.sha256(json.dumps([seed, turn, id_, task, number]).encode()).digest()

    return sorted(range(count), key=lot)[place]
