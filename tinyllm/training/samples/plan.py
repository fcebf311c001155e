"""What a training takes of its corpus, as the params have it: how many rationales of a teacher, which, and for how long."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tinyllm.models.device import choose_device
from tinyllm.models.loaded import LoadedModel, move
from tinyllm.params.schema import Params, most_rationales
from tinyllm.student.encoding import InputEncoder, TruncationCounts
from tinyllm.training.examples import Example, Task, encode_corpus
from tinyllm.training.samples.learnable import LearnableSelection
from tinyllm.training.samples.match import Match, left_out


class SamplePlan:
    """Encodes the corpus block by block, and then knows how many steps to train.

    Args:
        tasks: with their weights in this training
        arm: with those of the training that learns every rationale, which this one may have to match
    """

    def __init__(self, params: Params, seed: int, tasks: Sequence[Task], arm: Sequence[Task]) -> None:
        self.params, self.tasks, self.arm = params, tasks, arm
        self.most = most_rationales(params.corpus)
        self.several = self.most != 1
        settings = params.train
        self.match = Match(settings.epochs, settings.batch_size, seed) if settings.match != "none" else None
        self.learnable: LearnableSelection | None = None
        self.rationales = 0  # that may be drawn

    @property
    def vocabulary_tasks(self) -> Sequence[Task]:
        """The tasks whose texts a scratch student's vocabulary is learnt from.

        Where a training is to match another one they are that one's, so that a token is the same for both.
        """
        return self.arm if self.match else self.tasks

    def prepare(self, model: LoadedModel, likelihoods: Path | None) -> None:
        """Take the student as it begins, which is asked what it finds likely where `learnable` is selected."""
        if self.params.corpus.selection != "learnable":
            return
        assert self.most is not None  # params refuse `all` of them
        device = choose_device(self.params.runtime)
        move(model, f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" else device)
        self.learnable = LearnableSelection(model, self.most, self.params.runtime.batch_tokens, likelihoods)

    def encode(self, rows: Sequence[dict], reader: InputEncoder) -> tuple[list[list[Example]], TruncationCounts]:
        """Return the examples of each row, and what did not fit."""
        examples, cuts = self._encoded(rows, self.tasks, reader)
        if self.match:
            not_learnt, _ = self._encoded(rows, left_out(self.tasks, self.arm), reader)
            self.match.add(examples, not_learnt)
        self.rationales += sum(
            1 + len(example.alternatives) for question in examples for example in question if example.task
        )
        return examples, cuts

    def _encoded(
        self, rows: Sequence[dict], tasks: Sequence[Task], reader: InputEncoder
    ) -> tuple[list[list[Example]], TruncationCounts]:
        if self.params.corpus.selection != "learnable":
            return encode_corpus(rows, tasks, reader, self.most)
        assert self.learnable is not None  # see `prepare`
        examples, cuts = encode_corpus(rows, tasks, reader, None)
        return self.learnable(examples), cuts

    def steps(self) -> int | None:
        """Return the optimizer steps to take in all; None is as many as the epochs have."""
        settings = self.params.train
        if self.match is None or settings.match == "none":
            return None
        steps = self.match.steps(settings.match)
        return None if steps == settings.epochs * self.match.steps_per_epoch else steps

    def metrics(self, steps: int) -> dict[str, float | int]:
        """Return what there is to say of a training that took so many steps; nothing of one as in the paper."""
        metrics: dict[str, float | int] = {}
        if self.several or self.learnable:
            metrics["rationales"] = self.rationales
        if self.learnable:
            metrics["rationales_measured"] = self.learnable.measured
        if self.match:
            metrics["tokens"] = self.match.tokens(steps)
        return metrics
