"""Where the sequences of one forward pass lie when they are laid end to end, the like-sized ones together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

GROUP_TOKENS = 6  # the padding for which an attention call of its own is not worth its fixed cost


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
