"""Texts that go on from a common beginning, which is read once: the voices of one question, the samples of one voice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinyllm.models.decoding import ByRow, EndOfSequence, decode, decoder_arguments
from tinyllm.models.finite import FiniteLogits
from tinyllm.models.likelihood import (
    EncodedInput,
    left_padded,
    positions_of,
    select_rows,
    shares_prefix,
)
from tinyllm.models.loaded import LoadedModel, embedded, filled, pad
from tinyllm.models.sampling import GivenTokens, SeededSampling


@dataclass(frozen=True)
class Draws:
    """How rows are drawn: each from its own seed, whatever stands beside it in a batch."""

    temperature: float
    seeds: Sequence[str]  # by row


@dataclass(frozen=True)
class Begun:
    """N rows, as far as they were read before the first token is generated."""

    arguments: dict[str, Any]  # of `decode`
    given: list[list[int]]  # by row, the rest of its prompt: what it is made to generate first


@torch.no_grad()
def generate_behind(
    model: LoadedModel,
    inputs: Sequence[EncodedInput],
    max_new_tokens: int,
    refuse: Callable[[int], object],
    draws: Draws | None = None,
) -> list[list[int]]:
    """Return the tokens that go on from each input, the end-of-sequence included; greedy, or drawn.

    Inputs that begin alike are read once, see `begin`. Each row's tokens are those that it would have alone.

    Args:
        refuse: told the index of a row whose next token's likelihoods are no finite numbers
    """
    begun = begin(model, inputs)
    waits = list(map(len, begun.given))
    processors: list[ByRow] = [FiniteLogits(refuse, len(inputs))]
    if draws is not None:
        processors.append(SeededSampling(draws.temperature, draws.seeds, waits))
    processors.append(GivenTokens(begun.given))
    ending = EndOfSequence(int(model.tokenizer.eos_token_id))
    rows = decode(model, begun.arguments, max_new_tokens + max(waits), ending, processors)
    return [row.tokens[wait : wait + max_new_tokens] for row, wait in zip(rows, waits, strict=True)]


def begin(model: LoadedModel, inputs: Sequence[EncodedInput]) -> Begun:
    """Read inputs as far as several of them are the same.

    An encoder reads each source once. A causal model reads each head once, and what it computed is copied for all rows behind
    it: the head is the question, where the voice's prefix comes last, and else all but the prompt's last token. Where no two
    heads are the same, or the model cannot go on from a copy, each prompt is read whole.
    """
    if not model.causal:
        return _begin_decoder(model, inputs)
    sizes = [encoded.shared or len(encoded.prompt) - 1 for encoded in inputs]
    heads = [encoded.prompt[:size] for encoded, size in zip(inputs, sizes, strict=True)]
    different, rows = _without_doubles(heads)
    if len(different) == len(heads) or not min(sizes) or not shares_prefix(model):
        return Begun(left_padded(model, inputs), [[] for _ in inputs])
    rest = [encoded.prompt[size:] for encoded, size in zip(inputs, sizes, strict=True)]
    return _begin_behind(model, different, rows, rest)


def _begin_decoder(model: LoadedModel, inputs: Sequence[EncodedInput]) -> Begun:
    different, rows = _without_doubles([encoded.source for encoded in inputs])
    read = embedded(model, pad(different, model.pad_id).to(model.device), filled(different).to(model.device))
    prompts, given = _in_step(model, [encoded.prompt for encoded in inputs])
    return Begun(decoder_arguments(model, read, prompts, rows), given)


def _begin_behind(model: LoadedModel, heads: list[np.ndarray], rows: list[int], rest: Sequence[np.ndarray]) -> Begun:
    """Read each head once, and let the rows go on with the rest of their prompts."""
    read = left_padded(model, [EncodedInput(head[:0], head) for head in heads])
    places = positions_of(read["attention_mask"])
    cache = model.plain(**read, position_ids=places, use_cache=True, logits_to_keep=1).past_key_values
    mask = read["attention_mask"][rows]  # (N, S)
    prompts, given = _in_step(model, rest)
    unread = mask.new_full(mask.shape, model.pad_id)  # the library skips as many columns as the cache holds
    arguments: dict[str, Any] = {
        "input_ids": torch.cat([unread, prompts], dim=1),
        "attention_mask": torch.cat([mask, torch.ones_like(prompts)], dim=1),
        "past_key_values": select_rows(cache, torch.tensor(rows, device=model.device)),
    }
    return Begun(arguments, given)


def _in_step(model: LoadedModel, prompts: Sequence[np.ndarray]) -> tuple[Tensor, list[list[int]]]:
    """Return as many tokens of each prompt as the shortest has (N, P), and what each has beyond: no row is padded."""
    least = min(map(len, prompts))
    first = torch.from_numpy(np.stack([prompt[:least] for prompt in prompts])).long().to(model.device)
    return first, [prompt[least:].tolist() for prompt in prompts]


def _without_doubles(arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list[int]]:
    """Return the arrays that differ, in order, and which of them each array is."""
    places: dict[bytes, int] = {}
    rows = [places.setdefault(array.tobytes(), len(places)) for array in arrays]
    first = {row: array for row, array in reversed(list(zip(rows, arrays, strict=True)))}
    return [first[row] for row in range(len(first))], rows
