"""Students that were asked in voices: how good each voice is by itself, and what it did in the vote."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from tinyllm.evaluation.votes import VoicePart
from tinyllm.report.figures.of_run import percent
from tinyllm.report.figures.svg import WIDTH, circle, drawing, line, linear, rectangle, shorten, text

TALL = 42  # pixels of a row
ROOM = 52  # pixels for a share beside a bar


def voices(answered: float, alone: Mapping[str, float], parts: Mapping[str, VoicePart]) -> Markup:
    """Accuracy of the students' answers, of each voice by itself, and of the vote without it.

    Args:
        answered: accuracy of the students' answers
        alone: by teacher
        parts: of each voice in a vote, by teacher; {} where there was none
    """
    rows = [("the students' answer", answered), *alone.items()]
    x, bottom = linear(0, 1, 8, WIDTH - 8), TALL * len(rows)
    drawn = [text(x(share), bottom + 18, f"{share:.0%}", "muted", "middle") for share in (0.25, 0.5, 0.75)]
    drawn += [text(0, bottom + 18, "0%", "muted"), text(WIDTH, bottom + 18, "100%", "muted", "end")]
    for place, (label, share) in enumerate(rows):
        y, weight = TALL * place + 30, "" if place else "strong"
        drawn += [text(8, y - 15, shorten(label, 36), weight), text(WIDTH - 8, y - 15, percent(share), weight, "end")]
        drawn.append(line(0, y, WIDTH, y, "rule"))
        drawn += [line(x(at), y - 4, x(at), y + 4, "rule") for at in (0, 0.25, 0.5, 0.75, 1)]
        drawn.append(line(x(answered), y - 8, x(answered), y + 8, "seed"))
        if label in parts and place:
            drawn.append(circle(x(parts[label]["without"]), y, 6, "ring"))
        drawn.append(circle(x(share), y, 5 if place else 6, "other" if place else "dot"))
    if parts:
        drawn += [circle(14, bottom + 38, 5, "other"), text(26, bottom + 42, "a voice alone", "muted")]
        drawn += [circle(140, bottom + 38, 6, "ring"), text(152, bottom + 42, "the vote without it", "muted")]
    says = "Accuracy in voices: " + ", ".join(f"{label} {percent(share)}" for label, share in rows)
    if parts:
        says += "; the vote without " + ", ".join(f"{name} {percent(part['without'])}" for name, part in parts.items())
    return drawing(WIDTH, bottom + (52 if parts else 24), says, drawn)


def carried_and_misled(parts: Mapping[str, VoicePart]) -> Markup:
    """Shares of the answers: to the right those that are right by a voice alone, to the left those that are wrong by it."""
    most = max(max(part["carried"], part["misled"]) for part in parts.values()) or 1
    middle, top = WIDTH / 2, 26
    long = linear(0, most, 0, middle - ROOM)
    drawn = [text(middle - 8, 14, "misled", "strong", "end"), text(middle + 8, 14, "carried", "strong")]
    for place, (name, part) in enumerate(parts.items()):
        y = top + TALL * place
        drawn.append(text(middle, y + 13, shorten(name, 36), "", "middle"))
        drawn.append(line(middle, y + 16, middle, y + 35, "axis"))
        for share, way, style in ((part["misled"], -1, "bad"), (part["carried"], 1, "good")):
            width = long(share)
            drawn.append(rectangle(middle if way > 0 else middle - width, y + 18, width, 15, style))
            at, anchor = middle + way * (width + 6), "start" if way > 0 else "end"
            drawn.append(text(at, y + 30, percent(share), "muted", anchor))
    told = [
        f"{name} carried {percent(part['carried'])}, misled {percent(part['misled'])}" for name, part in parts.items()
    ]
    return drawing(WIDTH, top + TALL * len(parts), "Of all answers, by voice: " + "; ".join(told), drawn)
