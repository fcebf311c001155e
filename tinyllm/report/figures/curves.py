"""Learning curves by optimizer step, a line a seed: the loss of each task, and the accuracy on valid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from markupsafe import Markup

from tinyllm.report.figures.of_run import percent
from tinyllm.report.figures.svg import (
    SERIES,
    WIDTH,
    Scale,
    circle,
    drawing,
    line,
    linear,
    logarithmic,
    path,
    powers,
    shorten,
    text,
    ticks,
)
from tinyllm.report.gathered import Curve

Points = Sequence[tuple[int, float]]  # pairs of step and value

MOST_NAMED = 6  # seeds in a figure's legend; there is no room for more
LEFT, TOP, BOTTOM = 40, 30, 168  # of the axes, in pixels


def loss_curves(task: str, curves: Mapping[int, Points], losses: Sequence[float]) -> Markup:
    """Training loss of one task by step, a line a seed.

    Args:
        losses: of all tasks, for axes that can be compared
    """
    grid = powers(max(min(losses, default=0.1), 1e-4), max(max(losses, default=1), 1e-3))  # 0 has no logarithm
    x, y = _steps(curves.values()), logarithmic(grid[0], grid[-1], BOTTOM, TOP)
    parts = [text(0, 14, task, "strong"), *_axes(x, y, grid, [f"{tick:g}" for tick in grid], _last(curves.values()))]
    for place, points in enumerate(curves.values()):
        parts.append(path([(x(step), y(max(loss, grid[0]))) for step, loss in points], f"s{place % SERIES}"))
    ends = ", ".join(f"seed {seed} ends at {points[-1][1]:g}" for seed, points in curves.items())
    says = f"Training loss of {task} by step: {ends}"
    return drawing(WIDTH, BOTTOM + 22, says, [*parts, *_legend(curves)])


def valid_curves(looks: Mapping[int, Points], losses: Mapping[int, Curve]) -> Markup:
    """Accuracy on valid by step, a line a seed; a dot is the look whose student is kept, of equal ones the first.

    Args:
        looks: by seed; one look alone is a dot
        losses: by seed, for an axis of steps as long as that of the losses
    """
    seen = {seed: points for seed, points in looks.items() if points}
    every = [*seen.values(), *(points for curve in losses.values() for points in curve.values())]
    grid = _percents([accuracy for points in seen.values() for _, accuracy in points])
    x, y = _steps(every), linear(grid[0], grid[-1], BOTTOM, TOP)
    parts = [text(0, 14, "accuracy on valid", "strong")]
    parts += _axes(x, y, grid, [f"{tick:.0%}" for tick in grid], _last(every))
    told = []
    for place, (seed, points) in enumerate(seen.items()):
        style, best = f"s{place % SERIES}", max(points, key=lambda point: point[1])
        if len(points) > 1:
            parts.append(path([(x(step), y(accuracy)) for step, accuracy in points], style))
        parts.append(circle(x(best[0]), y(best[1]), 4.5, f"kept {style}"))
        told.append(f"seed {seed} is best at step {best[0]} with {percent(best[1])}")
    return drawing(WIDTH, BOTTOM + 22, f"Accuracy on valid by step: {', '.join(told)}", [*parts, *_legend(seen)])


def _last(curves: Iterable[Points]) -> int:
    return max((step for points in curves for step, _ in points), default=1) or 1


def _steps(curves: Iterable[Points]) -> Scale:
    return linear(0, _last(curves), LEFT, WIDTH - 8)


def _axes(x: Scale, y: Scale, grid: Sequence[float], labels: Sequence[str], last: int) -> list[Markup]:
    parts = []
    for tick, label in zip(grid, labels, strict=True):
        parts += [line(LEFT, y(tick), WIDTH - 8, y(tick), "rule"), text(LEFT - 6, y(tick) + 4, label, "muted", "end")]
    parts.append(line(LEFT, BOTTOM, WIDTH - 8, BOTTOM, "axis"))
    return [*parts, *(text(x(tick), BOTTOM + 16, f"{tick:g}", "muted", "middle") for tick in ticks(last, 4))]


def _legend(curves: Mapping[int, object]) -> list[Markup]:
    """The first seeds, each with its colour, at the upper right."""
    parts = []
    for place, seed in enumerate(list(curves)[:MOST_NAMED]):
        at = WIDTH - 36 * (min(len(curves), MOST_NAMED) - place)
        parts += [line(at, 10, at + 14, 10, f"series s{place % SERIES}")]
        parts.append(text(at + 18, 14, shorten(str(seed), 3), "muted"))
    return parts


def _percents(shares: Sequence[float]) -> list[float]:
    """Round shares from the lowest or below to the highest or above, at least 20 points apart, four steps or fewer."""
    low, high = min(shares), max(shares)
    for step in (5, 10, 20, 25):
        first, last = math.floor(100 * low / step + 1e-9), math.ceil(100 * high / step - 1e-9)
        while (last - first) * step < 20:
            first, last = max(first - 1, 0), min(last + 1, 100 // step)
        if last - first <= 4:
            break
    return [step * place / 100 for place in range(first, last + 1)]
