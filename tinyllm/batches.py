"""From corpus rows to token batches: every task of a question under its prefix, rows of like length together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinyllm.loss import IGNORED

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
    input_ids: np.ndarray  # (S,) int32
    labels: np.ndarray  # (T,) int32


@dataclass
class Cuts:
    """How many texts did not fit."""

    inputs_cut: int = 0  # lost the head of their context
    inputs_over_limit: int = 0  # question and options alone are longer than the limit, and were kept whole
    targets_cut: int = 0


def encode_input(tokenizer: Any, prefix: str, context: str, text: str, limit: int, cuts: Cuts) -> np.ndarray:
    """Return the ids of prefix, context and text; what exceeds `limit` tokens is taken from the head of the context.

    The whole is tokenised in one piece, so an input that fits has exactly the ids the tokenizer gives it.
    """
    head = prefix
    body = f"{context}\n{text}" if context else text
    encoded = tokenizer(head + body, return_offsets_mapping=True, verbose=False)
    ids = encoded["input_ids"]
    excess = len(ids) - limit
    if excess > 0:
        start, end = len(head), len(head) + len(context)
        inside = [i for i, (left, right) in enumerate(encoded["offset_mapping"]) if start <= left < right <= end]
        dropped = set(inside[:excess])
        ids = [token for i, token in enumerate(ids) if i not in dropped]
        cuts.inputs_cut += bool(dropped)
        cuts.inputs_over_limit += len(ids) > limit
    return np.asarray(ids, dtype=np.int32)


def encode_target(tokenizer: Any, text: str, limit: int, cuts: Cuts) -> np.ndarray:
    """Return the ids of a target, end-of-sequence included; a longer one is cut and then has no end."""
    ids = tokenizer(text_target=text, verbose=False)["input_ids"]
    cuts.targets_cut += len(ids) > limit
    return np.asarray(ids[:limit], dtype=np.int32)


def encode_corpus(
    rows: Sequence[dict], tasks: Sequence[Task], tokenizer: Any, max_input: int, max_target: int
) -> tuple[list[list[Example]], Cuts]:
    """Tokenise every row once: a list of examples a question, one for each task it has a target for.

    A task of weight 0 is left out altogether, so that `loss.alpha=0.0` costs no more than a corpus without teachers.
    """
    cuts = Cuts()
    questions = []
    for row in rows:
        questions.append(
            [
                Example(
                    index,
                    encode_input(tokenizer, task.prefix, row["context"], row["input"], max_input, cuts),
                    encode_target(tokenizer, row["targets"][task.name], max_target, cuts),
                )
                for index, task in enumerate(tasks)
                if task.weight > 0 and task.name in row["targets"]
            ]
        )
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
    return len(examples) * (max(len(e.input_ids) for e in examples) + max(len(e.labels) for e in examples))


def _parts_of_like_shape(examples: Sequence[Example], max_tokens: int) -> list[list[Example]]:
    parts: list[list[Example]] = []
    longest = (0, 0)
    for example in sorted(examples, key=lambda e: (e.task > 0, len(e.input_ids), len(e.labels))):
        size = (len(example.input_ids), len(example.labels))
        grown = (
            max(longest[0], size[0]),
            max(longest[1], size[1]),
        )  # the longest input need not have the longest target
        alike = parts and (parts[-1][0].task > 0) == (example.task > 0)
        if alike and sum(grown) * (len(parts[-1]) + 1) <= max_tokens:
            parts[-1].append(example)
            longest = grown
        else:
            parts.append([example])
            longest = size
    return parts


def pad(arrays: Sequence[np.ndarray], value: int) -> Tensor:
    """Stack arrays of different length into one (B, longest) tensor, filled at the right."""
    out = np.full((len(arrays), max(len(array) for array in arrays)), value, dtype=np.int64)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(out)


def collate(examples: Sequence[Example], pad_id: int) -> dict[str, Tensor]:
    """Return the tensors of one forward pass: input_ids, attention_mask (B, S), labels (B, T), tasks (B,)."""
    input_ids = pad([example.input_ids for example in examples], pad_id)
    lengths = torch.tensor([len(example.input_ids) for example in examples])
    return {
        "input_ids": input_ids,
        "attention_mask": (torch.arange(input_ids.shape[1])[None, :] < lengths[:, None]).long(),
        "labels": pad([example.labels for example in examples], IGNORED),
        "tasks": torch.tensor([example.task for example in examples]),
    }


def target_counts(examples: Sequence[Example], n_tasks: int) -> Tensor:
    """Count target tokens by task: (K,) float."""
    counts = torch.zeros(n_tasks)
    for example in examples:
        counts[example.task] += len(example.labels)
    return counts
