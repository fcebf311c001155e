"""The loss curve of a training: the mean token loss of every task, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

CURVE_POINTS = 60  # rows of the loss curve, whatever the run's length


class LossCurve:
    """Collects each step's summed losses and counts by task, kept on the device until they are read."""

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks = tasks
        self.steps: list[tuple[int, Tensor, Tensor]] = []

    def add(self, step: int, sums: Tensor, counts: Tensor) -> None:
        self.steps.append((step, sums, counts))

    def state(self) -> list[tuple[int, list[float], list[float]]]:
        """Return everything as JSON values, for a checkpoint."""
        return [(step, sums.tolist(), counts.tolist()) for step, sums, counts in self.steps]

    def restore(self, state: Sequence[tuple[int, list[float], list[float]]]) -> None:
        self.steps = [(step, torch.tensor(sums), torch.tensor(counts)) for step, sums, counts in state]

    def rows(self, last: int) -> list[dict]:
        """Return `step`, `task`, `loss` (nats a token), averaged over about CURVE_POINTS stretches of the run."""
        stretch = max(1, -(-last // CURVE_POINTS))
        out = []
        for start in range(0, len(self.steps), stretch):
            part = self.steps[start : start + stretch]
            sums = torch.stack([sums.cpu() for _, sums, _ in part]).sum(dim=0)
            counts = torch.stack([counts.cpu() for _, _, counts in part]).sum(dim=0)
            for task, total, count in zip(self.tasks, sums.tolist(), counts.tolist(), strict=True):
                if count:
                    out.append({"step": part[-1][0], "task": task, "loss": round(total / count, 4)})
        return out
