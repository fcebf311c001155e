"""Decoding a batch of texts of unequal length: a row that has ended is taken out, so that it costs no further pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from tinyllm.models.likelihood import shares_prefix
from tinyllm.models.loaded import LoadedModel

SHARE = 4  # rows are taken out once one in so many has ended ...
FEWEST = 8  # ... and at least so many: of fewer rows a pass costs hardly less


class ByRow(Protocol):
    """A logits processor, or what tells where rows end: it may hold something of each row."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor: ...

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these of the present rows, in this order."""


class Ending(ByRow, Protocol):
    """Tells which rows (N,) end at their newest token."""

    ends: Sequence[int]  # the tokens at which every row ends


class EndOfSequence:
    """A row ends at one token."""

    def __init__(self, token: int) -> None:
        self.ends: Sequence[int] = [token]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        return input_ids[:, -1] == self.ends[0]

    def keep(self, rows: Sequence[int]) -> None:
        """There is nothing of a row to keep."""


@dataclass(frozen=True)
class Decoded:
    """What was generated in one row."""

    tokens: list[int]  # the one at which it ends included
    ended: bool  # or it was cut off


class _Until:
    """Stops all rows once enough of them have ended, and notes after how many columns each did."""

    def __init__(self, ending: Ending, rows: int, enough: int) -> None:
        self.ending, self.enough = ending, enough
        self.columns: list[int | None] = [None] * rows

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: object) -> Tensor:
        for row, ends in enumerate(self.ending(input_ids, scores).tolist()):
            if ends and self.columns[row] is None:
                self.columns[row] = input_ids.shape[1]
        ended = [columns is not None for columns in self.columns]
        stopped = ended if sum(ended) < self.enough else [True] * len(ended)
        return torch.tensor(stopped, device=input_ids.device)


@torch.no_grad()
def decode(
    model: LoadedModel,
    arguments: Mapping[str, Any],
    max_new_tokens: int,
    ending: Ending,
    processors: Sequence[ByRow],
) -> list[Decoded]:
    """Return what is generated in each row: the likeliest of the tokens that the processors leave.

    The library's `generate` makes the passes. Once enough rows have ended, it is stopped, their keys and values are dropped,
    and it goes on with the others. A model whose state is no keys and values goes on with all rows to the end.

    Args:
        arguments: what `generate` is given of N rows. Of a causal model the inputs, with a cache where a part of them is read;
            else the encoder's output and `decoder_input_ids`. `attention_mask` is always among them.
    """
    droppable = shares_prefix(model)
    given, rows = dict(arguments), list(range(len(arguments["attention_mask"])))
    found = [Decoded([], False) for _ in rows]
    while True:
        enough = min(len(rows), max(FEWEST, -(-len(rows) // SHARE))) if droppable else len(rows)
        until = _Until(ending, len(rows), enough)
        before = _columns(given)
        out = model.plain.generate(  # type: ignore[operator]  # its type lacks it
            **given,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            eos_token_id=list(ending.ends),
            pad_token_id=model.pad_id,
            logits_processor=list(processors),
            stopping_criteria=[until],
            return_dict_in_generate=True,
        )
        for row, columns, tokens in zip(rows, until.columns, out.sequences[:, before:].tolist(), strict=True):
            new = tokens if columns is None else tokens[: columns - before]
            found[row] = Decoded(found[row].tokens + new, columns is not None)
        kept = [i for i, columns in enumerate(until.columns) if columns is None]
        generated = out.sequences.shape[1] - before
        max_new_tokens -= generated
        if not kept or not max_new_tokens:
            return found
        given = _behind(given, out, torch.tensor(kept, device=out.sequences.device), generated)
        rows = [rows[i] for i in kept]
        for part in (ending, *processors):
            part.keep(kept)


def decoder_arguments(
    model: LoadedModel, read: Mapping[str, Tensor], prompts: Tensor, rows: Sequence[int]
) -> dict[str, Any]:
    """Return what `decode` is given of an encoder-decoder, which reads each source once.

    Args:
        read: what the encoder is called with, of S sources
        prompts: (N, P), what each row's text begins with
        rows: the source of each row
    """
    states: Tensor = model.plain.get_encoder()(**read).last_hidden_state  # (S, T, D)
    return {
        "encoder_outputs": BaseModelOutput(last_hidden_state=states[list(rows)]),
        "attention_mask": read["attention_mask"][list(rows)],
        "decoder_input_ids": prompts,
    }


def _columns(arguments: Mapping[str, Any]) -> int:
    """Return how many columns of what `generate` gives back are not generated; vectors are not given back."""
    ids = arguments.get("decoder_input_ids", arguments.get("input_ids"))
    return 0 if ids is None else int(ids.shape[1])


def _behind(given: Mapping[str, Any], out: Any, kept: Tensor, generated: int) -> dict[str, Any]:
    """Return the arguments with which `kept` rows go on behind so many generated columns."""
    cache, seen, mask = out.past_key_values, out.sequences[kept], given["attention_mask"][kept]
    cache.batch_select_indices(kept)
    if "decoder_input_ids" in given:
        states = given["encoder_outputs"].last_hidden_state[kept]
        return {
            "encoder_outputs": BaseModelOutput(last_hidden_state=states),
            "attention_mask": mask,
            "decoder_input_ids": seen,
            # as long as they are: without it the library reads all of them again, behind the cache
            "decoder_attention_mask": torch.ones_like(seen),
            "past_key_values": cache,
        }
    mask = torch.cat([mask, mask.new_ones(len(mask), generated)], dim=1)
    # the library skips as many columns as the cache holds, so that what stands there for vectors is never read
    unread = seen.new_zeros(len(mask), mask.shape[1] - seen.shape[1])
    return {"input_ids": torch.cat([unread, seen], dim=1), "attention_mask": mask, "past_key_values": cache}
