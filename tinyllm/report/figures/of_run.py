"""What a run has whatever its teachers are: accuracy, what was kept, lengths, confusion, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from tinyllm.evaluation.calibration import Calibration
from tinyllm.report.figures.svg import WIDTH, circle, drawing, line, linear, rectangle, shorten, text, ticks
from tinyllm.report.gathered import Kept, Lengths, Report


class Mark(NamedTuple):
    """A line of the accuracies' figure."""

    label: str
    accuracy: float
    interval: tuple[float, float] | None = None
    is_student: bool = False


def accuracy(report: Report) -> Markup:
    """Accuracy with its interval: the student and its seeds, the teachers that sat the exam, what guessing scores."""
    marks = _marks(report)
    x = linear(0, 1, 8, WIDTH - 8)
    bottom = 42 * len(marks)
    parts = [text(x(share), bottom + 18, f"{share:.0%}", "muted", "middle") for share in (0.25, 0.5, 0.75)]
    parts += [text(0, bottom + 18, "0%", "muted"), text(WIDTH, bottom + 18, "100%", "muted", "end")]
    for place, mark in enumerate(marks):
        y, weight, style = 42 * place + 30, "strong" if mark.is_student else "", "dot" if mark.is_student else "other"
        parts.append(line(0, y, WIDTH, y, "rule"))  # as wide as a dot at 0% or 100%
        parts += [line(x(share), y - 4, x(share), y + 4, "rule") for share in (0, 0.25, 0.5, 0.75, 1)]
        if not report["free"]:
            chance = x(report["score"]["chance"])
            parts.append(line(chance, y - 11, chance, y + 11, "guess"))
        parts.append(text(8, y - 15, shorten(mark.label, 36), weight))
        parts.append(text(WIDTH - 8, y - 15, percent(mark.accuracy), weight, "end"))
        if mark.interval:
            low, high = (min(max(end, 0), 1) for end in mark.interval)
            parts.append(line(x(low), y, x(high), y, "interval"))
        if mark.is_student:
            parts += [line(x(share), y - 5, x(share), y + 5, "seed") for share in report["by_seed"].values()]
        parts.append(circle(x(mark.accuracy), y, 6 if mark.is_student else 5, style))
    says = "Accuracy: " + ", ".join(f"{mark.label} {percent(mark.accuracy)}" for mark in marks)
    return drawing(WIDTH, bottom + 24, says, parts)


def _marks(report: Report) -> list[Mark]:
    score = report["score"]
    marks = [Mark("student", score["accuracy"], (score["accuracy_low"], score["accuracy_high"]), True)]
    for row in report["teacher_rows"]:
        if "accuracy" in row:  # none of a teacher that could not be read
            interval = (row["accuracy_low"], row["accuracy_high"]) if "accuracy_low" in row else None
            marks.append(Mark(row["name"], row["accuracy"], interval))
    what = "place" if "place" in report["majority"] else "answer"
    marks.append(Mark(f"most frequent {what}, in hindsight", score["majority"]))
    if not report["free"]:  # nobody guesses a free text
        marks.append(Mark("chance", score["chance"]))
    return marks


def kept(teacher: str, counts: Kept) -> Markup:
    """How many train rationales were kept, and for what reason the others were not."""
    rows = [("kept", counts["kept"], "bar"), *((reason, n, "rest") for reason, n in counts["reasons"].items())]
    total = max(counts["kept"] + counts["quarantined"], 1)
    left = 16 + 6.5 * max(min(len(label), 22) for label, _, _ in rows)
    x = linear(0, total, 0, WIDTH - left - 92)
    parts = [text(0, 14, teacher, "strong")]
    for place, (label, n, style) in enumerate(rows):
        y = 24 + 22 * place
        parts.append(text(left - 8, y + 13, shorten(label.replace("_", " "), 22), "", "end"))
        if n:
            parts.append(rectangle(left, y + 2, max(x(n), 1), 15, style))
        parts.append(text(left + x(n) + 6, y + 13, f"{n:,} · {percent(n / total)}", "muted"))
    says = f"{teacher}, of {total} train rationales: " + ", ".join(f"{label} {n}" for label, n, _ in rows)
    return drawing(WIDTH, 28 + 22 * len(rows), says, parts)


def words(teacher: str, lengths: Lengths) -> Markup:
    """How long a teacher's kept rationales are."""
    found, width = lengths["teachers"][teacher], lengths["width"]
    parts = [text(0, 14, teacher, "strong")]
    if found is None:
        return drawing(
            WIDTH, 44, f"{teacher} has no rationale that was kept", [*parts, text(0, 36, "none kept", "muted")]
        )
    counts, bottom = found["counts"], 112
    x = linear(0, len(counts), 8, WIDTH - 8)
    y = linear(0, max(counts), bottom, 34)
    parts.append(text(WIDTH - 8, 14, f"median {found['median']:g} words", "muted", "end"))
    for place, n in enumerate(counts):
        if n:
            parts.append(
                rectangle(x(place) + 0.5, min(y(n), bottom - 1), x(1) - x(0) - 1, max(bottom - y(n), 1), "bar")
            )
    parts.append(line(8, bottom, WIDTH - 8, bottom, "axis"))
    for tick in ticks(width * (len(counts) - 1) or 1, 5):
        parts.append(
            text(x(tick / width) + (x(0.5) - x(0) if width == 1 else 0), bottom + 16, f"{tick:g}", "muted", "middle")
        )
    return drawing(WIDTH, bottom + 22, f"Words of {teacher}'s rationales: median {found['median']:g}", parts)


def confusion(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """Chosen option by gold option, shaded by the share of its row."""
    left, top = 96, 62
    size = (WIDTH - left - 4) / len(labels)
    height = min(size, 48)
    parts = [
        text((left + WIDTH) / 2, 14, "chosen", "muted", "middle"),
        text(left - 8, top - 10, "gold", "muted", "end"),
    ]
    narrow = max(map(len, labels)) > size / 7
    for place, label in enumerate(labels):
        up = 16 * (place % 2) * narrow  # neighbours take turns, so that a long name has the width of two cells
        short = shorten(label, max(int(size / 3.6), 3))
        parts.append(text(left + size * (place + 0.5), top - 10 - up, short, "", "middle"))
        parts.append(text(left - 8, top + height * (place + 0.5) + 4, shorten(label, 14), "", "end"))
        for column, n in enumerate(counts[place]):
            share = n / max(sum(counts[place]), 1)
            x, y = left + size * column, top + height * place
            parts.append(rectangle(x + 1, y + 1, size - 2, height - 2, "cell", max(share, 0.04)))
            if not sum(counts[place]):  # no question has this gold answer: nothing is a share of it
                parts.append(text(x + size / 2, y + height / 2 + 4, "–", "muted", "middle"))
            elif size >= 36:
                style = "plain strong" if column == place else "plain"
                parts.append(text(x + size / 2, y + height / 2 + 4, f"{share:.0%}", style, "middle"))
    right = sum(counts[i][i] for i in range(len(labels)))
    says = f"Chosen option by gold option, {len(labels)} options: {right} of {sum(map(sum, counts))} on the diagonal"
    return drawing(WIDTH, top + height * len(labels) + 4, says, parts)


def calibration(found: Calibration) -> Markup:
    """How often the student is right by how sure it is; below, how often it is that sure."""
    left, top, bottom, floor = 42, 26, 222, 272
    x, y = linear(0, 1, left, WIDTH - 8), linear(0, 1, bottom, top)
    most = max(one["count"] for one in found["bins"])
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts += [
            line(left, y(share), WIDTH - 8, y(share), "rule"),
            text(left - 6, y(share) + 4, f"{share:.0%}", "muted", "end"),
        ]
        parts.append(text(x(share), floor + 16, f"{share:.0%}", "muted", "end" if share == 1 else "middle"))
    parts.append(line(x(0), y(0), x(1), y(1), "guess"))
    for one in found["bins"]:
        at, tall = x(one["confidence"]), max(40 * one["count"] / most, 1)
        parts.append(line(at, y(one["confidence"]), at, y(one["accuracy"]), "gap"))
        parts.append(circle(at, y(one["accuracy"]), 5, "dot"))
        parts.append(rectangle(x(one["low"]) + 1, floor - tall, x(0.1) - x(0) - 2, tall, "rest"))
    parts.append(line(left, floor, WIDTH - 8, floor, "axis"))
    parts += [
        text(WIDTH - 8, floor + 34, "probability of the chosen option", "muted", "end"),
        text(0, 12, "answers right", "muted"),
    ]
    says = f"Right by probability of the chosen option; expected calibration error {percent(found['error'])}"
    return drawing(WIDTH, floor + 40, says, parts)


def percent(share: float) -> str:
    """One decimal, but 0% and 100% only of nothing and all."""
    if share in (0, 1):
        return f"{share:.0%}"
    return "<0.1%" if share < 0.0005 else ">99.9%" if share >= 0.9995 else f"{share:.1%}"
