"""The objective: `answer * L_A + sum over teachers of alpha_m * L_m`, each term a mean over the tokens of one step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

IGNORED = -100  # label of a padded position


def row_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return each row's summed token cross-entropy, in nats.

    Args:
        logits: (B, T, V)
        labels: (B, T), IGNORED where padded
    """
    losses = cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORED, reduction="none")
    return losses.view(labels.shape).sum(dim=1)  # (B,)


def task_sums(row_values: Tensor, tasks: Tensor, n_tasks: int) -> Tensor:
    """Sum row values by task.

    Args:
        row_values: (B,)
        tasks: (B,), each row's task index
    """
    return torch.zeros(n_tasks, dtype=row_values.dtype, device=row_values.device).index_add(
        0, tasks, row_values
    )  # (K,)


def weighted_loss(sums: Tensor, counts: Tensor, weights: Tensor) -> Tensor:
    """Return this part's share of the step's objective; the parts of a step add up to it however it was split.

    Args:
        sums: (K,) summed token losses of this part, by task
        counts: (K,) target tokens of the whole step, by task; a task without any adds nothing
        weights: (K,) 1 for the answer, alpha for a teacher

    Source: arXiv 2402.04616, equation for L; the mean runs over tokens, as in the authors' code, but over the whole step.
    """
    return (weights * sums / counts.clamp(min=1)).sum()
