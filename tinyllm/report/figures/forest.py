"""A forest plot: differences to a control, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from tinyllm.evaluation.wording import points
from tinyllm.report.figures.svg import WIDTH, circle, drawing, line, linear, shorten, text, ticks

TALL = 42  # pixels of a row
NUMBERS = 164  # pixels at a row's end for the difference and its interval
LETTER = 7.0  # pixels, of a wide one


class Estimate(NamedTuple):
    """A difference of two accuracies, in shares."""

    label: str
    value: float
    low: float
    high: float
    shown: bool  # whether it is told from nothing, after any correction


def forest(estimates: Sequence[Estimate], control: str, width: float = WIDTH) -> Markup:
    """Draw differences in percentage points: to the right of the line what is better than the control.

    A full dot is a difference that is told from nothing, a ring one that is not.

    Args:
        control: its name
        width: in pixels
    """
    grid = _grid(estimates)
    x = linear(grid[0], grid[-1], 14, width - 14)
    bottom = TALL * len(estimates)
    parts = [text(x(tick), bottom + 20, f"{tick:+g}" if tick else "0", "muted", "middle") for tick in grid]
    for place, (label, value, low, high, shown) in enumerate(estimates):
        y = TALL * place + 30
        parts.append(text(0, y - 14, shorten(label, int((width - NUMBERS) / LETTER)), "strong" if shown else ""))
        numbers = f"{points(value)} ({points(low)} to {points(high)})"
        parts.append(text(width, y - 14, numbers, "", "end"))
        parts += [line(x(tick), y - 8, x(tick), y + 8, "rule") for tick in grid if tick]
        parts += [line(0, y, width, y, "rule"), line(x(0), y - 9, x(0), y + 9, "axis")]
        parts.append(line(x(100 * low), y, x(100 * high), y, "interval"))
        parts.append(circle(x(100 * value), y, 5, "dot" if shown else "ring"))
    against = shorten(control, int((width - 120) / LETTER) - len("points against "))
    parts += [
        text(0, bottom + 42, "← worse", "muted"),
        text(width / 2, bottom + 42, f"points against {against}", "muted", "middle"),
        text(width, bottom + 42, "better →", "muted", "end"),
    ]
    told = [f"{e.label} {points(e.value)} ({points(e.low)} to {points(e.high)})" for e in estimates]
    return drawing(width, bottom + 50, f"Difference to {control} in points, 95% interval: " + "; ".join(told), parts)


def _grid(estimates: Sequence[Estimate]) -> list[float]:
    """Round values, in points, from the lowest end of an interval or below to the highest or above; 0 is one of them."""
    low = min(0.0, *(100 * estimate.low for estimate in estimates))
    high = max(0.0, *(100 * estimate.high for estimate in estimates))
    step = ticks(max(high - low, 1.0), 5)[1]
    return [round(step * place, 9) for place in range(math.floor(low / step), math.ceil(high / step) + 1)]
