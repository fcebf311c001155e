"""One row a question for a causal student that reads it once: the question, then each task's prefix and text as a branch.

A branch sees the question and itself, and counts its positions from the question's end, so that every number is that of a row
by itself. Source: the tree attention of speculative decoding, arXiv 2305.09781, section 4.2; here it serves training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tinyllm.models.loaded import IGNORED, LoadedModel, pad
from tinyllm.training.examples import Example

# Causal models whose logits are their output layer's product with the states, and nothing else; they take positions and a mask.
PLAIN_HEADS = ("llama", "mistral", "qwen2", "qwen3", "smollm3", "olmo2", "gpt_neox")
QUESTION, PADDING = 0, -1  # numbers of branches: what all of a row see, and what sees itself alone
UNSEEN = torch.finfo(torch.bfloat16).min  # added to a score; finite, lest a row without anything to see turn into NaN


def has_plain_head(model: LoadedModel) -> bool:
    """Whether a student's logits can be had from its hidden states, and it has no vectors before what it reads."""
    return model.plain.config.model_type in PLAIN_HEADS and model.soft_prompt is None


def tree_length(examples: Sequence[Example]) -> int:
    """Tokens of a question's row."""
    return examples[0].shared + sum(example.decoder_length - example.shared for example in examples)


def split_trees(questions: Sequence[Sequence[Example]], max_tokens: int) -> list[list[Sequence[Example]]]:
    """Split a step's questions, those of like length together, into parts of at most `max_tokens` padded tokens."""
    parts: list[list[Sequence[Example]]] = []
    for examples in sorted(questions, key=tree_length):
        if parts and tree_length(examples) * (len(parts[-1]) + 1) <= max_tokens:
            parts[-1].append(examples)
        else:
            parts.append([examples])
    return parts


def build_tree_batch(questions: Sequence[Sequence[Example]], pad_id: int) -> dict[str, Tensor]:
    """Return the tensors of one padded forward pass over B questions, of T tokens with their branches.

    They are input_ids, position_ids, labels, tasks, weights (B, T), lengths (B,) and attention_mask (B, 1, T, T), to be added
    to the scores.
    """
    rows = [_row(examples) for examples in questions]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    branch, places = pad(columns["branch"], PADDING), pad(columns["position_ids"], 0)
    common = (branch[:, None, :] == QUESTION) | (branch[:, None, :] == branch[:, :, None])
    seen = common & (places[:, None, :] <= places[:, :, None])  # (B, T, T), whether the row's token sees the column's
    return {
        "input_ids": pad(columns["input_ids"], pad_id),
        "lengths": torch.tensor([len(row["input_ids"]) for row in rows]),
        "position_ids": places,
        "attention_mask": torch.zeros(seen.shape).masked_fill(~seen, UNSEEN)[:, None],
        "labels": pad(columns["labels"], IGNORED),
        "tasks": pad(columns["tasks"], 0),
        "weights": pad_sequence([torch.from_numpy(weights) for weights in columns["weights"]], batch_first=True),
    }


def _row(examples: Sequence[Example]) -> dict[str, np.ndarray]:
    """Return one question's tokens, each with its position, its branch, and where it foretells one, its label."""
    head = examples[0].shared
    lengths = [head, *(example.decoder_length - head for example in examples)]
    nothing = np.full(head, IGNORED, dtype=np.int32)
    return {
        "input_ids": np.concatenate([examples[0].prompt[:head], *(e.decoder_ids()[head:] for e in examples)]),
        "position_ids": np.concatenate([np.arange(head), *(np.arange(head, e.decoder_length) for e in examples)]),
        "branch": np.repeat(np.arange(QUESTION, QUESTION + len(lengths)), lengths),
        "labels": np.concatenate([nothing, *(e.decoder_labels()[head:] for e in examples)]),
        "tasks": np.repeat([0, *(e.task for e in examples)], lengths),
        "weights": np.repeat(np.array([0.0, *(e.weight for e in examples)], dtype=np.float32), lengths),
    }
