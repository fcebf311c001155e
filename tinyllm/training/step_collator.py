"""One optimizer step as forward passes: its examples in parts, and its options where teachers' soft_labels are learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinyllm.models.loaded import IGNORED, LoadedModel
from tinyllm.training.batching import PackedBatch, collate, pack_examples, padded_tokens, split_packed, split_step
from tinyllm.training.examples import Example, target_counts
from tinyllm.training.passes import packed_t5 as packed
from tinyllm.training.passes.tree_attention import build_tree_batch, has_plain_head, split_trees

CPU_NUMBERS = 600_000  # of hidden states in a padded pass on a processor: more do not fit its cache
PACKED_WIDTH = 256  # of a model's hidden states, from which on padding costs more than a call for every length


@dataclass(frozen=True)
class TrainingSample:
    """What one question teaches: an example for each task, and where wanted its options with the teachers' soft labels."""

    id: str
    examples: list[Example]
    options: list[Example] = field(default_factory=list)  # of the task behind the last
    soft_labels: np.ndarray | None = None  # (teachers, options), rows that sum to 1


@dataclass(frozen=True)
class OptionBatch:
    """A padded pass over every option of some questions, for the divergence from the teachers' soft_labels to the student's."""

    batch: dict[str, Tensor]  # of `collate`, B options in all
    question: Tensor  # (B,), which question an option belongs to
    place: Tensor  # (B,), which of its options it is
    tokens: Tensor  # (B,), how many each option has
    soft_labels: Tensor  # (P, C), 0 behind a question's last option
    owner: Tensor  # (P,), the question that each row of soft_labels is about


Part = dict[str, Tensor] | PackedBatch | OptionBatch  # one forward pass; the dict is of `collate`


@dataclass(frozen=True)
class Step:
    """What the collator makes of the samples of one optimizer step."""

    ids: list[str]
    parts: list[Part]
    counts: (
        Tensor  # (K,) target tokens of the step by task; of the last, with soft_labels, how many rows of soft_labels
    )
    tokens: int = 0  # that the student reads and writes in all of the step's examples and options
    nothing: Part | None = (
        None  # of several processes: a pass without a label, for one that has fewer passes than another
    )


class StepCollator:
    """Collator: the samples of one step become its forward passes and the step's counts by task.

    Args:
        n_tasks: with soft_labels one more than the tasks
        rank, world: of this process and how many there are; each takes its share of a step's samples
        by_layer: the model's layers have to be called as they are, and not by what packs them
    """

    def __init__(
        self,
        model: LoadedModel,
        n_tasks: int,
        batch_tokens: int,
        rank: int = 0,
        world: int = 1,
        by_layer: bool = False,
    ) -> None:
        wide = packed.can_run(model.plain) and model.plain.config.d_model >= PACKED_WIDTH and not by_layer
        self.packed = wide and model.soft_prompt is None  # a soft prompt is no token that could be laid out
        self.model, self.trees = model, has_plain_head(model)
        self.n_tasks, self.batch_tokens, self.pad_id = n_tasks, batch_tokens, model.pad_id
        self.rank, self.world = rank, world

    def __call__(self, samples: Sequence[TrainingSample]) -> Step:
        counts = target_counts([example for sample in samples for example in sample.examples], self.n_tasks)
        if any(sample.soft_labels is not None for sample in samples):
            counts[-1] = sum(len(sample.soft_labels) for sample in samples if sample.soft_labels is not None)
        ids, share = [sample.id for sample in samples], samples[self.rank :: self.world]
        tokens = sum(tokens_of(example) for sample in samples for example in [*sample.examples, *sample.options])
        parts = self._parts(share)
        if self.world == 1:
            return Step(ids, parts, counts, tokens)
        nothing = self._nothing(next(example for s in samples for example in [*s.examples, *s.options]))
        # every process has to take part in every step, or the others wait for it for ever
        return Step(ids, parts or [nothing], counts, tokens, nothing)

    def _nothing(self, example: Example) -> dict[str, Tensor]:
        """Return a pass with no label in it."""
        batch = collate([example], self.pad_id)
        return batch | {"labels": torch.full_like(batch["labels"], IGNORED)}

    @property
    def padded_budget(self) -> int:
        """Tokens of a padded pass, by where the model is by now."""
        if self.model.device.type != "cpu":
            return self.batch_tokens
        return min(self.batch_tokens, max(1, CPU_NUMBERS // self.model.plain.config.hidden_size))

    def _parts(self, samples: Sequence[TrainingSample]) -> list[Part]:
        parts: list[Part] = []
        if self.packed:
            split = split_packed([sample.examples for sample in samples], self.batch_tokens)
            parts += [pack_examples(part) for part in split if part]
        elif self.trees and any(example.shared for sample in samples for example in sample.examples):
            questions = [sample.examples for sample in samples if sample.examples]
            parts += [build_tree_batch(part, self.pad_id) for part in split_trees(questions, self.padded_budget)]
        else:
            examples = [example for sample in samples for example in sample.examples]
            parts += [collate(part, self.pad_id) for part in split_step(examples, self.padded_budget)]
        return parts + [
            self._choices(part) for part in self._by_budget([sample for sample in samples if sample.options])
        ]

    def _by_budget(self, samples: Sequence[TrainingSample]) -> list[list[TrainingSample]]:
        """Split samples with options, those of like length together, so that no pass is over the budget."""
        split: list[list[TrainingSample]] = []
        for sample in sorted(samples, key=lambda sample: padded_tokens(sample.options)):
            grown = [option for part in [*split[-1], sample] for option in part.options] if split else []
            if split and padded_tokens(grown) <= self.batch_tokens:
                split[-1].append(sample)
            else:
                split.append([sample])
        return split

    def _choices(self, samples: Sequence[TrainingSample]) -> OptionBatch:
        options = [option for sample in samples for option in sample.options]
        rows = [
            (i, row) for i, sample in enumerate(samples) if sample.soft_labels is not None for row in sample.soft_labels
        ]
        soft_labels = torch.zeros(len(rows), max(len(sample.options) for sample in samples))
        for target, (_, row) in zip(soft_labels, rows, strict=True):
            target[: len(row)] = torch.from_numpy(row)
        return OptionBatch(
            collate(options, self.pad_id),
            torch.tensor([i for i, sample in enumerate(samples) for _ in sample.options]),
            torch.tensor([place for sample in samples for place in range(len(sample.options))]),
            torch.tensor([len(option.labels) for option in options]),
            soft_labels,
            torch.tensor([i for i, _ in rows]),
        )


def tokens_of(example: Example) -> int:
    """Return how many tokens the student reads and writes for an example, each once."""
    return len(example.source) + len(example.prompt) + len(example.labels)


def to_device(part: Any, device: torch.device) -> Any:  # whatever is nested in a Part
    """Return the part with every tensor in it on the device."""
    if isinstance(part, Tensor):
        return part.to(device)
    if isinstance(part, dict):
        return {name: to_device(value, device) for name, value in part.items()}
    if isinstance(part, list):
        return [to_device(value, device) for value in part]
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{field.name: to_device(getattr(part, field.name), device) for field in fields(part)})
    return part
