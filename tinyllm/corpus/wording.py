"""What the stage prints of metrics/corpus.json."""

from __future__ import annotations

from collections.abc import Mapping


def corpus_in_words(summary: Mapping, selection: str) -> str:
    """Return the lines that a person reads of the counts in metrics/corpus.json."""
    splits, teachers = summary["rows"], summary["teachers"].values()
    refused = sum(counts[split]["quarantined"] for counts in teachers for split in splits)
    kept = sum(counts["train"]["kept"] for counts in teachers)
    lines = [f"{splits['train']} rows of train with {kept} rationales; {refused} quarantined, see metrics/corpus.json"]
    if "answers" in summary:
        lines.append(_answers_in_words(summary["answers"]))
    if selection != "all" and not kept:
        lines.append(f"corpus.selection: {selection} leaves no rationale, so the student learns from answers alone")
    if "control" in summary:
        lines.append(f"corpus.control: {summary['control']}, so a row's rationales are of other questions")
    return "\n".join(lines)


def _answers_in_words(counts: Mapping) -> str:
    beyond = f"{counts['unlabelled']} questions of train beyond data.labelled ({counts['labelled']})"
    if "reasons" not in counts:
        return f"{beyond} are left out"
    right = f", {counts['made_right']:.1%} of them right" if counts["made"] else ""
    return f"{beyond}: the teachers answer {counts['made']}{right}; {counts['left_out']} are left out"
