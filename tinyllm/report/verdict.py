"""The page's first sentence: are the students better than guessing, and better than the control?"""

from __future__ import annotations

from typing import TypedDict

from tinyllm.evaluation.guessing import beats_guessing, best_guess
from tinyllm.evaluation.wording import percent, points
from tinyllm.records.surroundings import Control
from tinyllm.report.gathered import Report


class Verdict(TypedDict):
    """Two halves of a sentence behind `84.2% of 600 test questions right: `, and what to type for what is missing."""

    guessing: str
    control: str
    command: str  # "" where nothing is missing


def verdict(report: Report, control: Control | None) -> Verdict:
    """Return the verdict on a run.

    Args:
        control: of `experiments.find_control`; None where nobody looked for one
    """
    score = report["score"]
    beaten = "better than guessing" if beats_guessing(score) else "not shown to be better than guessing"
    said, command = _against_control(control)
    return {"guessing": f"{beaten} ({percent(best_guess(score))}%)", "control": said, "command": command}


def _against_control(control: Control | None) -> tuple[str, str]:
    if control is None or control["state"] == "none":
        return "no control yet", control["command"] if control else "dvc exp run --temp -n answers -S loss.alpha=0.0"
    interval = f"({points(control['low'])} to {points(control['high'])})"
    than = f"than the control ({control['name']}), which learnt from answers alone"
    match control["state"]:
        case "better":
            return f"better {than}, by {percent(control['value'])} points {interval}", ""
        case "worse":
            return f"worse {than}, by {percent(-control['value'])} points {interval}", ""
        case "open":
            return f"not shown to be better or worse {than}: {points(control['value'])} points {interval}", ""
        case "itself":
            return "itself a control: it learnt from answers alone", ""
        case _:
            return f"no control that can be read ({control['why']})", control["command"]
