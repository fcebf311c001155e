"""Whether a model computes with numbers: its weights, and the logits of the next token, may be nan or infinite."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tinyllm.console import one_line

SHOWN = 80  # characters of the names of weights that a message lists


def broken_weights(model: nn.Module) -> str | None:
    """Return which of a model's weights are no finite numbers, in a few words; None where all are."""
    with torch.no_grad():
        names = [
            name
            for name, weight in model.named_parameters()
            # a sum is quick; that of finite numbers may be infinite, so then each is looked at
            if not torch.isfinite(weight.sum()) and not torch.isfinite(weight).all()
        ]
    return (
        f"nan or infinite numbers in {len(names)} of its weights, {one_line(', '.join(names), SHOWN)}"
        if names
        else None
    )


class FiniteLogits:
    """A logits processor that tells of rows without a most likely token: one is nan, one is infinite, or none is possible.

    Args:
        broken: told the index of each such row, at every token; the row goes on with logits of 0
        rows: how many there are
    """

    def __init__(self, broken: Callable[[int], object], rows: int) -> None:
        self.broken, self.rows = broken, list(range(rows))

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        rows = ~torch.isfinite(scores.amax(dim=-1))  # (B,); the largest of numbers and a nan is nan
        if not rows.any():
            return scores
        for row in rows.nonzero().flatten().tolist():
            self.broken(self.rows[row])
        return scores.masked_fill(rows[:, None], 0.0)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows; each keeps its first index."""
        self.rows = [self.rows[row] for row in rows]
