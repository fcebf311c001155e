"""What a local teacher's answers are drawn from, and where each of a batch ends: what its model's decoding is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from tinyllm.teachers.protocol import STOP

NOT_FINITE = "not_finite"  # the reason of a prompt for which the model computes no numbers


@dataclass(frozen=True)
class Encoded:
    index: int  # of the prompt
    ids: list[int]
    sample: int = 0  # of the answers that the prompt is asked for


class EndOrStop:
    """Ends each row of a batch at an end-of-sequence token, or where STOP is complete.

    The library's own stop strings cost a table over the whole vocabulary for every call; here only a row whose newest
    token has a colon is decoded, and of it no more than could be STOP.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ends: Sequence[int], start: int, rows: int) -> None:
        self.tokenizer = tokenizer
        self.ends = ends
        self.start = start
        self.rows = list(range(rows))
        self.ended: set[int] = set()
        self.given_up: set[int] = set()

    def give_up(self, row: int) -> None:
        """End a row at its next token; one that has ended is not looked at any more."""
        if row not in self.ended:
            self.given_up.add(row)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        length = input_ids.shape[1] - self.start
        tails = input_ids[:, -min(length, len(STOP)) :].tolist()
        for row, tail in zip(self.rows, tails, strict=True):
            if row not in self.ended and (row in self.given_up or tail[-1] in self.ends or self._stops(tail)):
                self.ended.add(row)
        return torch.tensor([row in self.ended for row in self.rows])

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows; each keeps its first index."""
        self.rows = [self.rows[row] for row in rows]

    def _stops(self, tail: list[int]) -> bool:
        return ":" in self.tokenizer.decode(tail[-1:]) and STOP in self.tokenizer.decode(tail)


def stream_seeds(seed: int, batch: Sequence[Encoded]) -> list[str]:
    """Return what each row's draws come from: its seed, prompt and sample alone."""
    return [_stream_seed(seed, item) for item in batch]


def _stream_seed(seed: int, item: Encoded) -> str:
    start = json.dumps([seed, *item.ids])
    return f"{start} {item.sample}" if item.sample else start  # the first sample keeps the stream that it always had
