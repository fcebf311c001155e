"""Read once what several texts have before them in common, and go on from there with each: a question's options share it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import (
    Cache,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    EncoderDecoderCache,
)

from tinyllm.models.loaded import embedded, filled, pad, plain


@dataclass(frozen=True)
class EncodedInput:
    """A question under one task: what the encoder reads, and what the decoder has before its first own token."""

    source: np.ndarray  # (S,) int32; empty for a causal student
    prompt: np.ndarray  # (P,) int32, at least one
    shared: int = 0  # of a causal student's prompt, the tokens before the prefix, where that comes last


@dataclass(frozen=True)
class Prefilled:
    """A model's state after B readings."""

    logits: Tensor  # (B, V), of the token that comes next
    cache: Cache
    mask: Tensor  # (B, S), 1 where the encoder or, of a causal model, the cache holds a token
    encoded: Tensor | None  # (B, S, D); None of a causal model


def prefill(model: Any, readings: Sequence[EncodedInput]) -> Prefilled:
    """Compute a model's state after each reading; their prompts must be of one length if the model has an encoder."""
    base: Any = plain(model)
    if not base.config.is_encoder_decoder:
        given = left_padded(model, readings)
        mask = given["attention_mask"]
        out = base(**given, position_ids=_positions(mask), use_cache=True, logits_to_keep=1)
        return Prefilled(out.logits[:, -1], out.past_key_values, mask, None)
    given, prompts = right_padded(model, readings)
    mask = given["attention_mask"]
    encoded = base.get_encoder()(**given).last_hidden_state
    out = base(encoder_outputs=(encoded,), attention_mask=mask, decoder_input_ids=prompts, use_cache=True)
    return Prefilled(out.logits[:, -1], out.past_key_values, mask, encoded)


def extend(model: Any, state: Prefilled, rows: Sequence[int], texts: Sequence[np.ndarray]) -> Tensor:
    """Return the logits (N, T, V) behind every token of N texts.

    Args:
        rows: the reading, one of the B, that each text follows; several may follow one
        texts: token ids, each at least one
    """
    base: Any = plain(model)
    chosen = torch.tensor(rows, device=base.device)
    ids = pad(texts, 0).to(base.device)  # (N, T); what fills a row stands behind its text, where no decoder looks
    cache, mask = _select(state.cache, chosen), state.mask[chosen]
    if state.encoded is not None:
        encoded = (state.encoded[chosen],)
        return base(
            encoder_outputs=encoded, attention_mask=mask, decoder_input_ids=ids, past_key_values=cache, use_cache=True
        ).logits
    whole = torch.cat([mask, filled(texts).to(mask)], dim=1)
    positions = _positions(whole)[:, mask.shape[1] :]
    return base(
        input_ids=ids, attention_mask=whole, position_ids=positions, past_key_values=cache, use_cache=True
    ).logits


def shares_prefix(model: Any) -> bool:
    """Whether a model's state can be gone on from with several tokens of several texts.

    A causal one must keep keys and values alone, not a recurrent state, and be told where in the text a token stands, and which
    logits are wanted.
    """
    base: Any = plain(model)
    if base.config.is_encoder_decoder:
        return True
    layers = {type(layer) for layer in DynamicCache(config=base.config).layers}
    told = {"position_ids", "logits_to_keep"} <= set(inspect.signature(base.forward).parameters)
    return told and layers <= {DynamicLayer, DynamicSlidingWindowLayer}


def right_padded(model: Any, readings: Sequence[EncodedInput]) -> tuple[dict[str, Tensor], Tensor]:
    """Return what the encoder is given, and the decoder's prompts (B, P)."""
    sources = [reading.source for reading in readings]
    on = plain(model).device
    ids, mask = pad(sources, plain(model).config.pad_token_id).to(on), filled(sources).to(on)
    prompts = np.stack([reading.prompt for reading in readings])
    return embedded(model, ids, mask), torch.from_numpy(prompts).long().to(on)


def left_padded(model: Any, readings: Sequence[EncodedInput]) -> dict[str, Tensor]:
    """Return what a causal model is given so that all prompts end in the same column, where their texts go on."""
    backwards = [reading.prompt[::-1] for reading in readings]
    on = plain(model).device
    return embedded(model, pad(backwards, 0).flip(1).to(on), filled(backwards).flip(1).to(on))


def _positions(mask: Tensor) -> Tensor:
    """Number the tokens of each row (B, S) from 0, padding left out."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def _select(cache: Cache, rows: Tensor) -> Cache:
    """Return a cache of these rows, which can be gone on with while the old one stays as it is."""
    if isinstance(cache, EncoderDecoderCache):
        return EncoderDecoderCache(
            _select(cache.self_attention_cache, rows), _select(cache.cross_attention_cache, rows)
        )
    own = copy.copy(cache)
    own.layers = [copy.copy(layer) for layer in cache.layers]
    own.batch_select_indices(rows)
    return own
