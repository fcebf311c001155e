"""Drawing in SVG: the marks, axes and colours that the figures are made of. What is written into a drawing is escaped."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from markupsafe import Markup

from tinyllm.console import printable

PALETTE = {  # of page and figures; every ink has a contrast of 4.5 or more on its paper, every series colour of 3
    "light": {
        "paper": "#fdfdfb",
        "panel": "#f4f4ef",
        "ink": "#1d1d1b",
        "muted": "#5b5b56",
        "rule": "#dcdcd4",
        "accent": "#0b5f86",
        "soft": "#a9cadb",
        "cell": "#7fb2cc",
        "right": "#1c6e43",
        "wrong": "#a8322a",
        "mark": "#ffe9a8",
        "s0": "#0b5f86",
        "s1": "#b8500f",
        "s2": "#3f7a2e",
        "s3": "#8a3f8f",
        "s4": "#6d6a14",
    },
    "dark": {
        "paper": "#16181b",
        "panel": "#1f2226",
        "ink": "#e9e8e3",
        "muted": "#a3a29b",
        "rule": "#363a40",
        "accent": "#7cc0e2",
        "soft": "#2f5f78",
        "cell": "#2b6a8c",
        "right": "#7fcf9f",
        "wrong": "#f0958a",
        "mark": "#5c4a12",
        "s0": "#7cc0e2",
        "s1": "#f0a065",
        "s2": "#94cc7e",
        "s3": "#d69ada",
        "s4": "#cfc863",
    },
}
STYLE = Path(__file__).parents[1] / "figures.css"
SERIES = 5  # colours; further series take them again
WIDTH = 340  # pixels of a figure; a phone's screen

Scale = Callable[[float], float]


def linear(low: float, high: float, start: float, end: float) -> Scale:
    """Return what maps low to start and high to end."""
    return lambda value: start + (value - low) / (high - low) * (end - start)


def logarithmic(low: float, high: float, start: float, end: float) -> Scale:
    scale = linear(math.log10(low), math.log10(high), start, end)
    return lambda value: scale(math.log10(value))


def ticks(high: float, most: int) -> list[float]:
    """Return round values from 0 up to `high`, at most so many above 0: steps of 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(high / most))
    step = next(step for factor in (1, 2, 5, 10) if (step := factor * power) * most >= high * (1 - 1e-9))
    return [round(i * step, 9) for i in range(int(high / step + 1e-9) + 1)]


def powers(low: float, high: float) -> list[float]:
    """Return round values for a logarithmic axis, from `low` or below to `high` or above: four, where that can be."""
    for factors in ((1,), (1, 2, 5), range(1, 10)):
        values = [float(f"{factor}e{power}") for power in range(-9, 9) for factor in factors]
        first = max(place for place, value in enumerate(values) if value <= low)
        last = min(place for place, value in enumerate(values) if value >= high and place > first)
        if last - first >= 3:
            break
    return values[first : last + 1]


def text(x: float, y: float, content: object, style: str = "", anchor: str = "start") -> Markup:
    return Markup('<text x="{}" y="{}" class="{}" text-anchor="{}">{}</text>').format(
        number(x),
        number(y),
        style,
        anchor,
        printable(str(content)),  # XML takes no control characters, not even escaped
    )


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> Markup:
    return Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="{}"/>').format(*map(number, (x1, y1, x2, y2)), style)


def rectangle(x: float, y: float, width: float, height: float, style: str, opacity: float = 1) -> Markup:
    faint = Markup(' fill-opacity="{}"').format(f"{opacity:.2f}".rstrip("0")) if opacity < 1 else ""
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" class="{}"{}/>').format(
        *map(number, (x, y, width, height)), style, faint
    )


def circle(x: float, y: float, radius: float, style: str) -> Markup:
    return Markup('<circle cx="{}" cy="{}" r="{}" class="{}"/>').format(*map(number, (x, y, radius)), style)


def path(points: Sequence[tuple[float, float]], style: str) -> Markup:
    way = " ".join(f"{number(x)},{number(y)}" for x, y in points)
    return Markup('<polyline points="{}" class="{}"/>').format(way, style)


def number(value: float) -> str:
    """One decimal is finer than any screen; trailing zeros and a negative zero are left out."""
    return f"{round(value, 1) + 0.0:g}" if abs(value) < 1e5 else f"{value:.0f}"


def shorten(label: str, most: int) -> str:
    return label if len(label) <= most else label[: most - 1].rstrip() + "…"


def drawing(width: float, height: float, says: str, parts: Sequence[Markup]) -> Markup:
    """Put marks together.

    Args:
        says: what is to be seen, in words, for those who do not see it
    """
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        number(width), number(height), printable(says), Markup("").join(parts)
    )


def stylesheet() -> str:
    """The figures' own rules, in terms of the palette's variables."""
    return STYLE.read_text(encoding="utf-8")
