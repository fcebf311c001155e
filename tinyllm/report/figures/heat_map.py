"""A square of shares: one row and one column a teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from tinyllm.report.figures.svg import WIDTH, drawing, rectangle, shorten, text

Shares = Mapping[tuple[str, str], float]  # by two names, in either order
MOST_LETTERS = 14  # of a name
MOST_TOLD = 12  # pairs in words
LARGEST, TALLEST = 84, 44  # pixels of a cell
READABLE = 34  # pixels: a narrower cell has no room for its share


def heat_map(names: Sequence[str], shares: Shares, what: str) -> Markup:
    """Draw how alike every two are, shaded from 0% to 100%; a dot is a pair of which nothing is known.

    Args:
        what: the shares are of, in words
    """
    known = {frozenset(pair): share for pair, share in shares.items()}
    numbered = len(names) > 4  # then there is no room for a name above each column
    labels = [f"{place} {name}" if numbered else name for place, name in enumerate(names, start=1)]
    left = 12 + 7 * max(min(len(label), MOST_LETTERS) for label in labels)
    size = min((WIDTH - left - 2) / len(names), LARGEST)
    top, height = 50, min(size, TALLEST)
    parts = [text(0, 14, what, "strong")]
    for row, name in enumerate(names):
        y, head = top + height * row, str(row + 1) if numbered else shorten(name, max(int(size / 7), 3))
        up = 13 * (row % 2) if numbered and size < 18 else 0  # so that two digits have room
        parts.append(text(left + size * (row + 0.5), top - 8 - up, head, "", "middle"))
        parts.append(text(left - 8, y + height / 2 + 4, shorten(labels[row], MOST_LETTERS), "", "end"))
        for column, other in enumerate(names):
            if column != row:
                parts += _cell(left + size * column, y, size, height, known.get(frozenset((name, other))))
    bottom = top + height * len(names)
    if size < READABLE:
        parts += _scale(left, bottom + 12)
        bottom += 34
    return drawing(WIDTH, bottom + 4, f"{what}: {_told(names, known)}", parts)


def _told(names: Sequence[str], known: Mapping[frozenset[str], float]) -> str:
    """Every pair in words; of many how many they are, and from what to what they go."""
    if len(known) > MOST_TOLD:
        return (
            f"{len(known)} pairs of {len(names)} teachers, from {min(known.values()):.0%} to {max(known.values()):.0%}"
        )
    pairs = [(a, b) for place, a in enumerate(names) for b in names[place + 1 :] if frozenset((a, b)) in known]
    return ", ".join(f"{a} and {b} {known[frozenset((a, b))]:.0%}" for a, b in pairs)


def _cell(x: float, y: float, width: float, height: float, share: float | None) -> list[Markup]:
    middle = (x + width / 2, y + height / 2 + 4)
    if share is None:
        return [text(*middle, "·", "muted", "middle")]
    box = rectangle(x + 1, y + 1, width - 2, height - 2, "cell", max(share, 0.04))
    return [box, text(*middle, f"{share:.0%}", "plain", "middle")] if width >= READABLE else [box]


def _scale(x: float, y: float) -> list[Markup]:
    """What the shades mean, where no cell says so."""
    steps = 5
    parts = [rectangle(x + 36 + 24 * step, y, 24, 12, "cell", max(step / (steps - 1), 0.04)) for step in range(steps)]
    return [text(x, y + 11, "0%", "muted"), *parts, text(x + 36 + 24 * steps + 6, y + 11, "100%", "muted")]
