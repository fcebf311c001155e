"""From corpus rows to token batches: every task of a question under its prefix, rows of like length together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tinyllm.models.loaded import IGNORED, filled, pad
from tinyllm.training.examples import Example
from tinyllm.training.passes.packed_t5 import PackedLayout, Sources, match_sources, pack

PASS_TOKENS = 500  # the padding for which a forward and backward pass of its own is not worth its fixed cost


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
    distinct = {id(example.source): example.source for example in examples}
    return list(distinct.values()), rows


@dataclass(frozen=True)
class PackedBatch:
    """One forward pass without padding: sources and targets end to end, and the places at which a label is foretold."""

    source_ids: Tensor  # (N,)
    source_layout: PackedLayout
    target_ids: Tensor  # (M,)
    target_layout: PackedLayout
    sources: Sources
    labelled: Tensor  # (K,) places in the target's layout
    labels: Tensor  # (K,)
    tasks: Tensor  # (K,), the task of each label
    weights: Tensor  # (K,), the weight of each label's loss


def pack_examples(examples: Sequence[Example]) -> PackedBatch:
    """Lay out the examples of one forward pass for tinyllm/training/passes/packed_t5.py; a shared source is laid out once."""
    sources, rows = _distinct_sources(examples)
    lengths = [len(source) for source in sources]
    source_layout = pack(lengths)
    target_layout = pack([example.decoder_length for example in examples])
    labels = target_layout.fill([example.decoder_labels() for example in examples], IGNORED)
    owners = target_layout.fill([np.full(example.decoder_length, i) for i, example in enumerate(examples)], 0)
    labelled = (labels != IGNORED).nonzero().squeeze(1)
    owner = owners[labelled]
    return PackedBatch(
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


def split_packed(questions: Sequence[Sequence[Example]], max_tokens: int) -> list[list[Example]]:
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
