"""Every figure of a run, by name."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from tinyllm.records.surroundings import Attribution
from tinyllm.report.figures.curves import loss_curves, valid_curves
from tinyllm.report.figures.forest import Estimate, forest
from tinyllm.report.figures.heat_map import Shares, heat_map
from tinyllm.report.figures.of_run import accuracy, calibration, confusion, kept, words
from tinyllm.report.figures.voices import carried_and_misled, voices
from tinyllm.report.gathered import Report


def draw(report: Report) -> dict[str, Markup]:
    """Return every figure of a gathered report by name; a name is also a file's, without its ending."""
    figures = {"accuracy": accuracy(report)}
    if any(report["looks"].values()):
        figures["valid"] = valid_curves(report["looks"], report["curves"])
    losses = [loss for curve in report["curves"].values() for points in curve.values() for _, loss in points]
    for task in ["answer", *report["teachers"]]:
        curves = {seed: curve[task] for seed, curve in report["curves"].items() if task in curve}
        if curves:  # a rationale of weight 0 is not learnt
            figures[f"loss_{task}"] = loss_curves(task, curves, losses)
    for teacher in report["teachers"]:
        figures[f"kept_{teacher}"] = kept(teacher, report["corpus"]["teachers"][teacher]["train"])
        figures[f"words_{teacher}"] = words(teacher, report["lengths"])
    if report["confusion"]:
        figures["confusion"] = confusion(**report["confusion"])
    if report["calibration"]:
        figures["calibration"] = calibration(report["calibration"])
    return figures | _agreements(report) | _voices(report)


def attribution_figure(attribution: Attribution) -> Markup:
    """What students lose without a teacher, and what those of one teacher alone have."""
    arms = attribution["arms"]
    return forest([Estimate(a["name"], a["value"], a["low"], a["high"], a["shown"]) for a in arms], "all teachers")


def _agreements(report: Report) -> dict[str, Markup]:
    """How alike teachers are: in the answers that they state, and in their words."""
    teachers, found = report["teachers"], report["corpus"]["agreement"]
    pairs = {(a, b): found[f"{a}+{b}"] for a in teachers for b in teachers if f"{a}+{b}" in found}
    figures = {}
    for name, key, what in (
        ("agreement", "same_answer", "the same stated answer"),
        ("shared_words", "overlap", "shared words"),
    ):
        shares: Shares = {pair: both[key] for pair, both in pairs.items() if key in both}
        if shares:
            figures[name] = heat_map(_named(teachers, shares), shares, what)
    return figures


def _voices(report: Report) -> dict[str, Markup]:
    """What voices said, and what they did in a vote."""
    score, votes = report["score"], report["votes"]
    if "voices" not in score:
        return {}
    figures = {"voices": voices(score["accuracy"], score["voices"], votes["voices"] if votes else {})}
    if votes:
        figures["voices_carried"] = carried_and_misled(votes["voices"])
        same = votes["agreement"]
        shares: Shares = {(a, b): share for a, others in same.items() for b, share in others.items()}
        figures["voices_agreement"] = heat_map(list(same), shares, "the same answer of two voices")
    return figures


def _named(teachers: Sequence[str], shares: Shares) -> list[str]:
    """The teachers that something is known of, in their order."""
    return [teacher for teacher in teachers if any(teacher in pair for pair in shares)]
