"""What decoding is told of its next tokens: to draw them at a temperature, or which they have to be."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor


class SeededSampling:
    """A logits processor that draws each row's next token at a temperature, from a stream that its seed alone decides.

    What is drawn is left as the only possible token, so that greedy decoding takes it.

    Args:
        seeds: of each row's stream
        waits: by row, first steps at which nothing is drawn, since the token is given; none where left out
    """

    def __init__(self, temperature: float, seeds: Sequence[str], waits: Sequence[int] = ()) -> None:
        self.temperature = temperature
        self.streams = [Random(seed) for seed in seeds]
        self.waits, self.step = list(waits) or [0] * len(seeds), 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        sums = torch.softmax(scores.double() / self.temperature, dim=-1).cumsum(dim=-1)  # (B, V)
        drawing = zip(self.streams, self.waits, strict=True)
        draws = [[stream.random() if wait <= self.step else 0.0] for stream, wait in drawing]
        self.step += 1
        points = torch.tensor(draws, dtype=sums.dtype, device=sums.device)
        drawn = torch.searchsorted(sums, points * sums[:, -1:], right=True)  # (B, 1); right: never a token of share 0
        drawn = drawn.clamp(max=sums.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, drawn, 0.0)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with the streams of these rows."""
        self.streams, self.waits = [self.streams[row] for row in rows], [self.waits[row] for row in rows]


class GivenTokens:
    """A logits processor that leaves each row, at its first steps, one possible token: the next of those that it is given."""

    def __init__(self, tokens: Sequence[Sequence[int]]) -> None:
        self.tokens, self.step = tokens, 0

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        given = {row: tokens[self.step] for row, tokens in enumerate(self.tokens) if self.step < len(tokens)}
        self.step += 1
        if given:
            rows = torch.tensor(list(given), device=scores.device)
            scores = scores.clone()
            scores[rows] = -torch.inf
            scores[rows, torch.tensor(list(given.values()), device=scores.device)] = 0.0
        return scores

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with what these rows are given."""
        self.tokens = [self.tokens[row] for row in rows]
