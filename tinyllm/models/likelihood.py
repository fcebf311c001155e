"""How likely a model finds texts behind a prompt: the prompt is read once, and each of a question's options goes on from it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax
from transformers.cache_utils import (
    Cache,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    EncoderDecoderCache,
)

from tinyllm.models.loaded import IGNORED, LoadedModel, embedded, filled, pad

PADDING = 0.2  # the most of a batch that is padding


@dataclass(frozen=True)
class EncodedInput:
    """A question under one task: what the encoder reads, and what the decoder has before its first own token."""

    source: np.ndarray  # (S,) int32; empty for a causal student
    prompt: np.ndarray  # (P,) int32, at least one
    shared: int = 0  # of a causal student's prompt, the tokens before the prefix, where that comes last


@dataclass(frozen=True)
class Prefilled:
    """A model's state after B inputs."""

    logits: Tensor  # (B, V), of the token that comes next
    cache: Cache
    mask: Tensor  # (B, S), 1 where the encoder or, of a causal model, the cache holds a token
    states: Tensor | None  # (B, S, D), the encoder's; None of a causal model


def option_likelihoods(
    model: LoadedModel,
    inputs: Sequence[EncodedInput],
    options: Sequence[Sequence[np.ndarray]],
    batch_tokens: int | None = None,
) -> list[list[float]]:
    """Return the log-likelihood of every option behind its input, in nats.

    An input is read once, and its options go on from there; where the model cannot share what it read, the whole is read anew
    for each option.

    Args:
        options: by input, token ids, each at least one
        batch_tokens: the most in one pass over options, padding counted; None is no limit
    """
    if shares_prefix(model):
        likelihoods = iter(_behind(model, inputs, options, batch_tokens))
    else:
        likelihoods = iter([value for i, texts in enumerate(options) for value in _apart(model, inputs[i], texts)])
    return [[next(likelihoods) for _ in texts] for texts in options]


def _behind(
    model: LoadedModel,
    inputs: Sequence[EncodedInput],
    options: Sequence[Sequence[np.ndarray]],
    batch_tokens: int | None,
) -> list[float]:
    """Return the likelihoods of all options of these inputs, one input's after another's."""
    prefilled = prefill(model, inputs)
    rows = [row for row, texts in enumerate(options) for _ in texts]
    texts = [text for row in options for text in row]
    first = log_softmax(prefilled.logits.float(), dim=-1)  # (B, V)
    likelihoods = first[rows, [int(text[0]) for text in texts]].tolist()
    longer = [i for i, text in enumerate(texts) if len(text) > 1]
    for chosen in by_length([prefilled.mask.shape[1] + len(texts[i]) for i in longer], batch_tokens):
        group = [longer[i] for i in chosen]
        logits = extend(model, prefilled, [rows[i] for i in group], [texts[i][:-1] for i in group])  # (N, T - 1, V)
        rest = _log_likelihoods(logits, pad([texts[i][1:] for i in group], IGNORED).to(logits.device))
        for i, value in zip(group, rest, strict=True):
            likelihoods[i] += value
    return likelihoods


def _apart(model: LoadedModel, encoded: EncodedInput, options: Sequence[np.ndarray]) -> list[float]:
    """Return the likelihoods of one input's options, the whole of it read anew for each."""
    labels = pad(options, IGNORED).to(model.device)  # (N, T)
    whole = [np.concatenate([encoded.prompt, text[:-1]]) for text in options]
    arguments = embedded(model, pad(whole, 0).to(labels), filled(whole).to(labels))
    logits = model.plain(**arguments, use_cache=False).logits[:, -labels.shape[1] :]  # (N, T, V)
    return _log_likelihoods(logits, labels)


def _log_likelihoods(logits: Tensor, labels: Tensor) -> list[float]:
    """Return each row's log-likelihood of its labels (B, T), IGNORED where padded, by logits (B, T, V)."""
    tokens = log_softmax(logits.float(), dim=-1).gather(2, labels.clamp(min=0)[:, :, None]).squeeze(2)  # (B, T)
    return (tokens * (labels != IGNORED)).sum(dim=1).tolist()


def prefill(model: LoadedModel, inputs: Sequence[EncodedInput]) -> Prefilled:
    """Compute a model's state after each input; their prompts must be of one length if the model has an encoder."""
    if model.causal:
        arguments = left_padded(model, inputs)
        mask = arguments["attention_mask"]
        out = model.plain(**arguments, position_ids=positions_of(mask), use_cache=True, logits_to_keep=1)
        return Prefilled(out.logits[:, -1], out.past_key_values, mask, None)
    arguments, prompts = right_padded(model, inputs)
    mask = arguments["attention_mask"]
    states = model.plain.get_encoder()(**arguments).last_hidden_state
    out = model.plain(encoder_outputs=(states,), attention_mask=mask, decoder_input_ids=prompts, use_cache=True)
    return Prefilled(out.logits[:, -1], out.past_key_values, mask, states)


def extend(model: LoadedModel, prefilled: Prefilled, rows: Sequence[int], texts: Sequence[np.ndarray]) -> Tensor:
    """Return the logits (N, T, V) behind every token of N texts.

    Args:
        rows: the input, one of the B, that each text follows; several may follow one
        texts: token ids, each at least one
    """
    chosen = torch.tensor(rows, device=model.device)
    ids = pad(texts, 0).to(model.device)  # (N, T); what fills a row stands behind its text, where no decoder looks
    cache, mask = select_rows(prefilled.cache, chosen), prefilled.mask[chosen]
    if prefilled.states is not None:
        states = (prefilled.states[chosen],)
        return model.plain(
            encoder_outputs=states, attention_mask=mask, decoder_input_ids=ids, past_key_values=cache, use_cache=True
        ).logits
    whole = torch.cat([mask, filled(texts).to(mask)], dim=1)
    positions = positions_of(whole)[:, mask.shape[1] :]
    return model.plain(
        input_ids=ids, attention_mask=whole, position_ids=positions, past_key_values=cache, use_cache=True
    ).logits


def shares_prefix(model: LoadedModel) -> bool:
    """Whether several texts can go on from a model's state, each with several tokens.

    A causal one must keep keys and values alone, not a recurrent state. It must take positions, and say which logits it keeps.
    """
    if not model.causal:
        return True
    layers = {type(layer) for layer in DynamicCache(config=model.plain.config).layers}
    placed = {"position_ids", "logits_to_keep"} <= set(inspect.signature(model.plain.forward).parameters)
    return placed and layers <= {DynamicLayer, DynamicSlidingWindowLayer}


def right_padded(model: LoadedModel, inputs: Sequence[EncodedInput]) -> tuple[dict[str, Tensor], Tensor]:
    """Return the encoder's arguments, and the decoder's prompts (B, P)."""
    sources = [encoded.source for encoded in inputs]
    ids, mask = pad(sources, model.pad_id).to(model.device), filled(sources).to(model.device)
    prompts = np.stack([encoded.prompt for encoded in inputs])
    return embedded(model, ids, mask), torch.from_numpy(prompts).long().to(model.device)


def left_padded(model: LoadedModel, inputs: Sequence[EncodedInput]) -> dict[str, Tensor]:
    """Return a causal model's arguments so that all prompts end in the same column, where their texts go on."""
    backwards = [encoded.prompt[::-1] for encoded in inputs]
    ids, mask = pad(backwards, 0).flip(1).to(model.device), filled(backwards).flip(1).to(model.device)
    return embedded(model, ids, mask)


def by_length(sizes: Sequence[int], batch_tokens: int | None) -> Iterator[list[int]]:
    """Yield indices in batches of like size: of at most `batch_tokens` with the padding, or of one alone."""
    batch: list[int] = []
    unpadded = 0
    for i in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        padded = sizes[i] * (len(batch) + 1)
        over = batch_tokens is not None and padded > batch_tokens
        if batch and (over or padded - unpadded - sizes[i] > PADDING * padded):
            yield batch
            batch, unpadded = [], 0
        batch.append(i)
        unpadded += sizes[i]
    if batch:
        yield batch


def positions_of(mask: Tensor) -> Tensor:
    """Number the tokens of each row (B, S) from 0, padding left out."""
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def select_rows(cache: Cache, rows: Tensor) -> Cache:
    """Return a cache of these rows, which can be gone on with while the old one stays as it is."""
    if isinstance(cache, EncoderDecoderCache):
        return EncoderDecoderCache(
            select_rows(cache.self_attention_cache, rows), select_rows(cache.cross_attention_cache, rows)
        )
    chosen = copy.copy(cache)
    chosen.layers = [copy.copy(layer) for layer in cache.layers]
    chosen.batch_select_indices(rows)
    return chosen
