"""Sequences laid end to end: every token has its place, and no other grouping would cost less."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyllm.training.packed_layout import GROUP_TOKENS, match_sources, pack

lengths_of = st.lists(st.integers(1, 40), min_size=1, max_size=9)


def cost(lengths: list[int], cuts: tuple[int, ...]) -> int:
    """Places and groups' fixed costs where the sorted lengths are cut so."""
    bounds = [0, *cuts, len(lengths)]
    groups = [sorted(lengths)[first:last] for first, last in zip(bounds, bounds[1:], strict=False)]
    return sum(len(group) * max(group) + GROUP_TOKENS for group in groups)


@settings(max_examples=100, deadline=None)
@given(lengths=lengths_of)
def test_no_way_to_cut_into_groups_costs_less(lengths: list[int]) -> None:
    inner = range(1, len(lengths))
    best = min(cost(lengths, cuts) for n in range(len(lengths)) for cuts in combinations(inner, n))
    layout = pack(lengths)
    assert layout.places + GROUP_TOKENS * len(layout.groups) == best


@settings(max_examples=100, deadline=None)
@given(lengths=lengths_of)
def test_every_token_has_a_place_of_its_own_and_the_rest_is_marked_as_padding(lengths: list[int]) -> None:
    layout = pack(lengths)
    arrays = [np.arange(length) + 100 * (i + 1) for i, length in enumerate(lengths)]
    filled = layout.fill(arrays, -1).tolist()
    for start, array in zip(layout.starts, arrays, strict=True):
        assert filled[start : start + len(array)] == array.tolist()
    padded = [
        bool(place)
        for group in layout.groups
        for place in (group.padded.flatten() if group.padded is not None else [False] * group.places)
    ]
    assert padded == [value == -1 for value in filled]


def test_like_lengths_share_a_group_and_a_few_tokens_of_padding_are_cheaper_than_a_group() -> None:
    assert [(group.count, group.length) for group in pack([30, 5, 5, 6, 90]).groups] == [(3, 6), (1, 30), (1, 90)]


@settings(max_examples=100, deadline=None)
@given(data=st.data(), sources=lengths_of)
def test_every_target_finds_its_own_source_word_for_word(data: st.DataObject, sources: list[int]) -> None:
    of = data.draw(st.lists(st.integers(0, len(sources) - 1), min_size=1, max_size=9))
    targets = [data.draw(st.integers(1, 40)) for _ in of]
    source, target = pack(sources), pack(targets)
    words = source.fill([np.arange(n) + 100 * (i + 1) for i, n in enumerate(sources)], -1)
    matched = match_sources(target, source, of, sources)
    found = iter(words[matched.places].tolist())
    which = iter(target.order)
    for group, seen in zip(target.groups, matched.groups, strict=True):
        assert group.count == seen.count
        for row in range(seen.count):
            own = of[next(which)]
            read = [next(found) for _ in range(seen.length)]
            kept = (
                read
                if seen.padded is None
                else [r for r, p in zip(read, seen.padded[row].tolist(), strict=True) if not p]
            )
            assert kept == [100 * (own + 1) + i for i in range(sources[own])]
