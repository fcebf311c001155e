"""Run a T5 over sequences laid end to end, so that no layer computes padding; the same numbers as the model's own forward.

The linear layers, norms and activations see one long row of tokens; only the attention goes group by group. The relative
position bias depends on distances within a sequence alone, so nothing of the model changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, scaled_dot_product_attention, softmax
from transformers import PreTrainedModel, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import (
    T5Attention,
    T5Block,
    T5DenseGatedActDense,
    T5LayerCrossAttention,
    T5LayerFF,
    T5LayerSelfAttention,
    T5Stack,
)

GROUP_TOKENS = 6  # the padding for which an attention call of its own is not worth its fixed cost


def can_run(model: PreTrainedModel) -> bool:
    """Whether this model is a T5 (FLAN-T5 too), the one architecture that is rebuilt here."""
    return model.config.model_type == "t5"


def encode(model: T5ForConditionalGeneration, ids: Tensor, layout: PackedLayout) -> Tensor:
    """Return the encoder's states of tokens (N,) laid out so: (N, D)."""
    stack = model.encoder
    biases = _biases(stack, layout, causal=False)
    hidden = stack.dropout(stack.embed_tokens(ids))  # (N, D)
    for block in stack.block:
        attention, feed_forward = _layers(block)
        hidden = _self_attention(attention, hidden, layout, biases)
        hidden = _feed_forward(feed_forward, hidden)
    return stack.dropout(stack.final_layer_norm(hidden))


def decode(
    model: T5ForConditionalGeneration, ids: Tensor, layout: PackedLayout, states: Tensor, sources: Sources
) -> Tensor:
    """Return what the output layer is given for decoder tokens (M,) laid out so: (M, D).

    Args:
        states: (N, D), of `encode`
        sources: where in them each sequence's own encoder states are
    """
    stack = model.decoder
    biases = _biases(stack, layout, causal=True)
    hidden = stack.dropout(stack.embed_tokens(ids))
    for block in stack.block:
        attention, cross_attention, feed_forward = _layers(block)
        hidden = _self_attention(attention, hidden, layout, biases)
        hidden = _cross_attention(cross_attention, hidden, layout, states, sources)
        hidden = _feed_forward(feed_forward, hidden)
    hidden = stack.dropout(stack.final_layer_norm(hidden))
    return hidden * model.config.d_model**-0.5 if model.config.scale_decoder_outputs else hidden


def _layers(block: nn.Module) -> list[nn.Module]:
    assert isinstance(block, T5Block)
    return list(block.layer)


def _biases(stack: T5Stack, layout: PackedLayout, causal: bool) -> list[Tensor]:
    """Return what is added to each group's scores, in every layer: the position bias, and -inf where a token may not look.

    Each is (H, L, L), or (n, H, L, L) where sequences of the group are padded; a causal one needs no padding masked, since
    that lies ahead of every token.
    """
    longest = max(group.length for group in layout.groups)
    first = _layers(stack.block[0])[0]
    assert isinstance(first, T5LayerSelfAttention)
    whole = first.SelfAttention.compute_bias(longest, longest)[0]  # (H, L, L)
    if causal:
        ahead = torch.ones(longest, longest, dtype=torch.bool, device=whole.device).triu(1)
        whole = whole.masked_fill(ahead, float("-inf"))
    biases = []
    for group in layout.groups:
        bias = whole[:, : group.length, : group.length]
        if not causal and group.padded is not None:
            bias = bias.masked_fill(group.padded[:, None, None, :], float("-inf"))
        biases.append(bias)
    return biases


def _self_attention(layer: nn.Module, hidden: Tensor, layout: PackedLayout, biases: list[Tensor]) -> Tensor:
    assert isinstance(layer, T5LayerSelfAttention)
    attention = layer.SelfAttention
    normed = layer.layer_norm(hidden)
    q, k, v = (project(normed).split(layout.sizes) for project in (attention.q, attention.k, attention.v))
    out = []
    for i, (group, bias) in enumerate(zip(layout.groups, biases, strict=True)):
        query, key, value = (_heads(x[i], group, attention) for x in (q, k, v))  # (n, H, L, d)
        scores = torch.matmul(query, key.transpose(2, 3)) + bias  # (n, H, L, L); T5 does not scale them
        weights = dropout(softmax(scores, dim=-1), attention.dropout, attention.training).to(value.dtype)
        out.append(torch.matmul(weights, value).transpose(1, 2).reshape(group.places, -1))
    return hidden + layer.dropout(attention.o(torch.cat(out)))


def _cross_attention(
    layer: nn.Module, hidden: Tensor, layout: PackedLayout, states: Tensor, sources: Sources
) -> Tensor:
    assert isinstance(layer, T5LayerCrossAttention)
    attention = layer.EncDecAttention
    q = attention.q(layer.layer_norm(hidden)).split(layout.sizes)
    sizes = [group.places for group in sources.groups]
    k, v = (project(states).index_select(0, sources.places).split(sizes) for project in (attention.k, attention.v))
    out = []
    for i, (group, source) in enumerate(zip(layout.groups, sources.groups, strict=True)):
        seen = None if source.padded is None else ~source.padded[:, None, None, :]
        attended = scaled_dot_product_attention(
            _heads(q[i], group, attention),
            _heads(k[i], source, attention),
            _heads(v[i], source, attention),
            attn_mask=seen,
            dropout_p=attention.dropout if attention.training else 0.0,
            scale=1.0,
        )
        out.append(attended.transpose(1, 2).reshape(group.places, -1))
    return hidden + layer.dropout(attention.o(torch.cat(out)))


def _feed_forward(layer: nn.Module, hidden: Tensor) -> Tensor:
    assert isinstance(layer, T5LayerFF)
    inner = layer.DenseReluDense
    normed = layer.layer_norm(hidden)
    if isinstance(inner, T5DenseGatedActDense):
        activated = inner.act(inner.wi_0(normed)) * inner.wi_1(normed)
    else:
        activated = inner.act(inner.wi(normed))
    return hidden + layer.dropout(inner.wo(inner.dropout(activated)))


def _heads(x: Tensor, group: Group, attention: T5Attention) -> Tensor:
    return x.view(group.count, group.length, attention.n_heads, -1).transpose(1, 2)  # (n, H, L, d)


@dataclass(frozen=True)
class Group:
    """Sequences that share one attention call: `count` of them, each given `length` places."""

    count: int
    length: int
    padded: Tensor | None  # (count, length) bool, true where a place is empty; None where none is

    @property
    def places(self) -> int:
        return self.count * self.length


@dataclass(frozen=True)
class PackedLayout:
    """Sequences of different length in one row of places: groups one after another, in a group sequence after sequence."""

    order: list[int]  # the sequences by index, in the order in which they lie
    starts: list[int]  # by sequence, its first place
    groups: list[Group]

    @property
    def places(self) -> int:
        return sum(group.places for group in self.groups)

    @property
    def sizes(self) -> list[int]:
        return [group.places for group in self.groups]

    def fill(self, arrays: Sequence[np.ndarray], value: int) -> Tensor:
        """Lay the arrays out: (places,), empty places hold `value`."""
        out = np.full(self.places, value, dtype=np.int64)
        for start, array in zip(self.starts, arrays, strict=True):
            out[start : start + len(array)] = array
        return torch.from_numpy(out)


def pack(lengths: Sequence[int]) -> PackedLayout:
    """Sort sequences by length and group them so that padding and the number of groups together cost least."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    groups, starts, place = [], [0] * len(lengths), 0
    for first, last in _cheapest_cuts([lengths[i] for i in order]):
        members = order[first:last]
        longest = lengths[members[-1]]
        for i in members:
            starts[i] = place
            place += longest
        filled = torch.tensor([lengths[i] for i in members])
        padded = torch.arange(longest)[None, :] >= filled[:, None]  # (count, length)
        groups.append(Group(len(members), longest, padded if bool(padded.any()) else None))
    return PackedLayout(order, starts, groups)


def _cheapest_cuts(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Cut sorted lengths into stretches (first, last) of the least total of places + GROUP_TOKENS a stretch.

    A cut is only worth considering where the length changes, so this is quadratic in the number of distinct lengths.
    """
    ends = [i for i in range(1, len(lengths) + 1) if i == len(lengths) or lengths[i] != lengths[i - 1]]
    best: list[tuple[int, int]] = [(0, 0)]  # by stretches' end: (cost, where the last stretch starts in `bounds`)
    bounds = [0, *ends]
    for e, end in enumerate(ends, start=1):
        best.append(min((best[s][0] + (end - bounds[s]) * lengths[end - 1] + GROUP_TOKENS, s) for s in range(e)))
    cuts, e = [], len(ends)
    while e:
        cuts.append((bounds[best[e][1]], bounds[e]))
        e = best[e][1]
    return cuts[::-1]


@dataclass(frozen=True)
class Sources:
    """What each group of target sequences attends to: for every target the places of its source, padded in a group."""

    places: Tensor  # (sum over groups of count * length,) int64, into the source's layout
    groups: list[Group]  # one for every group of the target's layout


def match_sources(target: PackedLayout, source: PackedLayout, of: Sequence[int], lengths: Sequence[int]) -> Sources:
    """Return where the sources of the target's groups lie.

    Args:
        of: by target sequence, which source sequence it attends to; several may share one
        lengths: of the source sequences
    """
    places, groups, first = [], [], 0
    for group in target.groups:
        members = [of[i] for i in target.order[first : first + group.count]]
        first += group.count
        filled = torch.tensor([lengths[i] for i in members])
        longest = int(filled.max())
        offsets = torch.arange(longest)[None, :]
        padded = offsets >= filled[:, None]
        begin = torch.tensor([source.starts[i] for i in members])[:, None]
        places.append((begin + offsets.masked_fill(padded, 0)).flatten())
        groups.append(Group(group.count, longest, padded if bool(padded.any()) else None))
    return Sources(torch.cat(places), groups)
