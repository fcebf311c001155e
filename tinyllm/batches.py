"""From corpus rows to token batches: every task of a question under its prefix, rows of like length together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tinyllm.layout import Layout, Sources, lay_out, match_sources
from tinyllm.loss import IGNORED
from tinyllm.reading import Cuts, Reader

AT_ONCE = 1000  # rows whose texts the tokenizer is given together
PASS_TOKENS = 500  # the padding for which a forward and backward pass of its own is not worth its fixed cost


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

    @property
    def decoder_length(self) -> int:
        return len(self.prompt) + len(self.labels) - 1

    def decoder_ids(self) -> np.ndarray:
        """What the decoder reads: (P + T - 1,); the last label is only ever foretold."""
        return np.concatenate([self.prompt, self.labels[:-1]])

    def decoder_labels(self) -> np.ndarray:
        """What is to be foretold at each of these places: (P + T - 1,), IGNORED within the prompt."""
        return np.concatenate([np.full(len(self.prompt) - 1, IGNORED, dtype=np.int32), self.labels])


def encode_corpus(rows: Sequence[dict], tasks: Sequence[Task], reader: Reader) -> tuple[list[list[Example]], Cuts]:
    """Tokenise every row once: a list of examples a question, one for each task it has a target for.

    A task of weight 0 is left out altogether, so that `loss.alpha=0.0` costs no more than a corpus without teachers.
    """
    cuts = Cuts()
    questions: list[list[Example]] = [[] for _ in rows]
    for first in range(0, len(rows), AT_ONCE):
        part = range(first, min(first + AT_ONCE, len(rows)))
        for index, task in enumerate(tasks):
            own = [i for i in part if task.weight > 0 and task.name in rows[i]["targets"]]
            readings = reader.questions(task.prefix, [(rows[i]["context"], rows[i]["input"]) for i in own], cuts)
            targets = reader.targets([rows[i]["targets"][task.name] for i in own], cuts)
            for i, reading, target in zip(own, readings, targets, strict=True):
                # with a shared encoder all tasks read the same, and keep it once
                source = questions[i][0].source if reader.shared and questions[i] else reading.source
                weight = rows[i].get("weights", {}).get(task.name, 1.0)
                questions[i].append(Example(index, source, reading.prompt, target, weight, reading.shared))
    return questions, cuts


def split_step(examples: Sequence[Example], max_tokens: int) -> list[list[Example]]:
    """Split the examples of one step into parts of like shape, each of at most `max_tokens` padded tokens.

    Answers and rationales go apart, so a one-word answer is not padded to a rationale's length, unless that costs less than a
    pass of its own. A single example over the limit makes a part of its own.
    """
    merged: list[list[Example]] = []
    for part in _parts_of_like_shape(examples, max_tokens):
        both = [*merged[-1], *part] if merged else part
        if merged and padded_tokens(both) <= min(
            max_tokens, padded_tokens(merged[-1]) + padded_tokens(part) + PASS_TOKENS
        ):
            merged[-1] = both
        else:
            merged.append(part)
    return merged


def padded_tokens(examples: Sequence[Example]) -> int:
    """Tokens of inputs and targets in one forward pass, padding counted."""
    return len(examples) * (max(len(e.source) for e in examples) + max(e.decoder_length for e in examples))


def _parts_of_like_shape(examples: Sequence[Example], max_tokens: int) -> list[list[Example]]:
    parts: list[list[Example]] = []
    longest = (0, 0)
    for example in sorted(examples, key=lambda e: (_is_rationale(e), len(e.source), e.decoder_length)):
        size = (len(example.source), example.decoder_length)
        grown = (
            max(longest[0], size[0]),
            max(longest[1], size[1]),
        )  # the longest input need not have the longest target
        alike = parts and _is_rationale(parts[-1][0]) == _is_rationale(example)
        if alike and sum(grown) * (len(parts[-1]) + 1) <= max_tokens:
            parts[-1].append(example)
            longest = grown
        else:
            parts.append([example])
            longest = size
    return parts


def _is_rationale(example: Example) -> bool:
    """A causal student's answer is as long as its rationale, but for a few tokens: the question stands before both."""
    return example.task > 0 and len(example.source) > 0


def pad(arrays: Sequence[np.ndarray], value: int) -> Tensor:
    """Stack arrays of different length into one (B, longest) tensor, filled at the right."""
    out = np.full((len(arrays), max(len(array) for array in arrays)), value, dtype=np.int64)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(out)


def filled(arrays: Sequence[np.ndarray]) -> Tensor:
    """The attention mask of `pad`: 1 where an array has a value, 0 behind its end."""
    lengths = torch.tensor([len(array) for array in arrays])
    return (torch.arange(int(lengths.max()))[None, :] < lengths[:, None]).long()


def collate(examples: Sequence[Example], pad_id: int) -> dict[str, Tensor]:
    """Return the tensors of one padded forward pass.

    They are input_ids, attention_mask (B, S), decoder_input_ids, labels (B, T), tasks, weights (B,). A causal student has no
    decoder's: its input_ids are (B, T). Where examples share a source, that stands once; `sources` (B,) says which is whose.
    """
    decoder_ids = [example.decoder_ids() for example in examples]
    batch = {
        "labels": pad([example.decoder_labels() for example in examples], IGNORED),
        "tasks": torch.tensor([example.task for example in examples]),
        "weights": torch.tensor([example.weight for example in examples]),
    }
    sources, rows = _distinct_sources(examples)
    if not len(examples[0].source):
        return batch | {"input_ids": pad(decoder_ids, pad_id), "attention_mask": filled(decoder_ids)}
    batch |= {"input_ids": pad(sources, pad_id), "attention_mask": filled(sources)}
    batch["decoder_input_ids"] = pad(decoder_ids, pad_id)
    return batch | ({"sources": torch.tensor(rows)} if len(sources) < len(rows) else {})


def _distinct_sources(examples: Sequence[Example]) -> tuple[list[np.ndarray], list[int]]:
    """Return the arrays that examples read, each once, and by example which it is."""
    places: dict[int, int] = {}
    rows = [places.setdefault(id(example.source), len(places)) for example in examples]
    found = {id(example.source): example.source for example in examples}
    return list(found.values()), rows


@dataclass(frozen=True)
class Ragged:
    """One forward pass without padding: sources and targets end to end, and the places at which a label is foretold."""

    source_ids: Tensor  # (N,)
    source_layout: Layout
    target_ids: Tensor  # (M,)
    target_layout: Layout
    sources: Sources
    labelled: Tensor  # (K,) places in the target's layout
    labels: Tensor  # (K,)
    tasks: Tensor  # (K,), the task of each label
    weights: Tensor  # (K,), the weight of each label's loss


def lay_end_to_end(examples: Sequence[Example]) -> Ragged:
    """Lay out the examples of one forward pass for tinyllm/ragged.py; a shared source is laid out once."""
    sources, rows = _distinct_sources(examples)
    lengths = [len(source) for source in sources]
    source_layout = lay_out(lengths)
    target_layout = lay_out([example.decoder_length for example in examples])
    labels = target_layout.fill([example.decoder_labels() for example in examples], IGNORED)
    owners = target_layout.fill([np.full(example.decoder_length, i) for i, example in enumerate(examples)], 0)
    labelled = (labels != IGNORED).nonzero().squeeze(1)
    owner = owners[labelled]
    return Ragged(
        source_layout.fill(sources, 0),
        source_layout,
        target_layout.fill([example.decoder_ids() for example in examples], 0),
        target_layout,
        match_sources(target_layout, source_layout, rows, lengths),
        labelled,
        labels[labelled],
        torch.tensor([example.task for example in examples])[owner],
        torch.tensor([example.weight for example in examples])[owner],
    )


def split_ragged(questions: Sequence[Sequence[Example]], max_tokens: int) -> list[list[Example]]:
    """Split a step's questions into parts of at most `max_tokens` tokens each, one question at least."""
    parts: list[list[Example]] = []
    room = 0
    for examples in questions:
        sources, _ = _distinct_sources(examples)
        tokens = sum(len(source) for source in sources) + sum(example.decoder_length for example in examples)
        if not parts or tokens > room:
            parts.append([])
            room = max_tokens
        parts[-1] += examples
        room -= tokens
    return parts


def target_counts(examples: Sequence[Example], n_tasks: int) -> Tensor:
    """Count target tokens by task: (K,) float."""
    counts = torch.zeros(n_tasks)
    for example in examples:
        counts[example.task] += len(example.labels)
    return counts
