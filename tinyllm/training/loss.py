"""The objective: `answer * L_A + sum over teachers of alpha_m * L_m`, each term a mean over the tokens of one step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from tinyllm.models.loaded import IGNORED

CHUNK = 512  # tokens whose logits are in memory at once


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


def output_loss(hidden: Tensor, weight: Tensor, labels: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sum of scaled token losses, and each token's own loss without a gradient.

    The output layer's logits are the largest thing in a small model's training. They are made a few hundred tokens at a time,
    and the gradient is taken on the spot, while they are in the processor's cache.

    Args:
        hidden: (M, D), what the output layer is given
        weight: (V, D), the output layer's
        labels: (M,)
        scale: (M,), each token's factor in the sum
    """
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    return _OutputLoss.apply(hidden, weight, labels, scale)


class _OutputLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        for_hidden, for_weight = ctx.needs_input_grad[:2]  # adapters and upper layers leave the weight frozen
        losses = torch.empty(len(labels), dtype=torch.float32, device=hidden.device)
        d_hidden = torch.empty_like(hidden) if for_hidden else None
        d_weight = torch.zeros_like(weight, dtype=torch.float32) if for_weight else None
        for start in range(0, len(labels), CHUNK):
            part = slice(start, start + CHUNK)
            logits = torch.mm(hidden[part], weight.T).float()  # (CHUNK, V)
            logits -= logits.amax(dim=1, keepdim=True)
            own = logits.gather(1, labels[part, None])
            total = logits.exp_().sum(dim=1, keepdim=True)
            losses[part] = (total.log() - own).squeeze(1)
            if d_hidden is None and d_weight is None:
                continue
            logits *= scale[part, None] / total  # from here on the gradient of the logits
            logits.scatter_add_(1, labels[part, None], -scale[part, None])
            gradient = logits.to(hidden.dtype)
            if d_hidden is not None:
                torch.mm(gradient, weight, out=d_hidden[part])
            if d_weight is None:
                continue
            if hidden.dtype == torch.float32:
                d_weight.addmm_(gradient.T, hidden[part])
            else:
                d_weight += torch.mm(gradient.T, hidden[part])
        ctx.save_for_backward(d_hidden, d_weight)
        ctx.dtype = weight.dtype
        ctx.mark_non_differentiable(losses)
        return (losses * scale).sum(), losses

    @staticmethod
    def backward(ctx: Any, outer: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        d_hidden, d_weight = ctx.saved_tensors
        return (
            None if d_hidden is None else d_hidden * outer.to(d_hidden.dtype),
            None if d_weight is None else d_weight.mul_(outer).to(ctx.dtype),
            None,
            None,
        )
