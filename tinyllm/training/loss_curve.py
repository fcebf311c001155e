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
        self._fetched = 0  # steps that have left the device

    def add(self, step: int, sums: Tensor, counts: Tensor) -> None:
        self.steps.append((step, sums, counts))

    def state(self) -> list[tuple[int, list[float], list[float]]]:
        """Return everything as JSON values, for a checkpoint."""
        self._fetch()
        return [(step, sums.tolist(), counts.tolist()) for step, sums, counts in self.steps]

    def restore(self, state: Sequence[tuple[int, list[float], list[float]]]) -> None:
        self.steps = [(step, torch.tensor(sums), torch.tensor(counts)) for step, sums, counts in state]
        self._fetched = len(self.steps)

    def rows(self, last: int) -> list[dict]:
        """Return `step`, `task`, `loss` (nats a token), averaged over about CURVE_POINTS stretches of the run."""
        self._fetch()
        out = []
        for start in range(0, len(self.steps), stretch(last)):
            part = self.steps[start : start + stretch(last)]
            out += [{"step": part[-1][0], "task": task, "loss": loss} for task, loss in self._mean(part).items()]
        return out

    def mean(self, after: int) -> dict[str, float]:
        """Return the loss of each task that was learnt in the steps after this one (nats a token)."""
        self._fetch()
        first = next((i for i in range(len(self.steps), 0, -1) if self.steps[i - 1][0] <= after), 0)
        return self._mean(self.steps[first:])

    def _mean(self, part: Sequence[tuple[int, Tensor, Tensor]]) -> dict[str, float]:
        sums = torch.stack([sums for _, sums, _ in part]).sum(dim=0).tolist()
        counts = torch.stack([counts for _, _, counts in part]).sum(dim=0).tolist()
        trained = zip(self.tasks, sums, counts, strict=True)
        return {task: round(total / count, 4) for task, total, count in trained if count}

    def _fetch(self) -> None:
        """Take the latest steps off the device, all in one go: one by one they would cost it a wait each."""
        new = self.steps[self._fetched :]
        if new:
            sums = torch.stack([sums for _, sums, _ in new]).cpu()
            counts = torch.stack([counts for _, _, counts in new]).cpu()
            numbers = [number for number, _, _ in new]
            self.steps[self._fetched :] = list(zip(numbers, sums.unbind(), counts.unbind(), strict=True))
            self._fetched = len(self.steps)


def stretch(steps: int) -> int:
    """Return how many steps of a run go into one point of its curve."""
    return max(1, -(-steps // CURVE_POINTS))
