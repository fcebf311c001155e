"""How the numbers of a judgement are written: one format for shares, differences, intervals and p values."""

from __future__ import annotations

from collections.abc import Mapping

# What `majority` is, in words, wherever it is shown.
MAJORITY = (
    "the text, or the place among the options, that is right most often in the test set (known only in hindsight)"
)
MAJORITY_TEXT = "the text that is right most often in the test set (known only in hindsight)"  # of free text
LEAST_P = 0.0001  # a smaller p value is only said to be smaller
CONTROLS = {  # by corpus.control
    "shuffled": "each rationale learnt is another question's, by the same teacher",
    "length": "in place of each rationale, as many words of other questions' rationales were learnt",
}


def percent(share: float) -> str:
    """Return a share in percent with one decimal, without the sign; one that metrics round to four digits reads the same."""
    return f"{100 * round(share, 4):.1f}"


def points(share: float) -> str:
    """Return a difference of two shares in percentage points, always with its sign; rounded as in `percent`."""
    return f"{100 * round(share, 4):+.1f}"


def p_value(p: float) -> str:
    return f"< {LEAST_P}" if p < LEAST_P else f"{p:.4f}"


def corpus_notes(corpus: Mapping) -> list[str]:
    """Return what a reader has to know of an unusual corpus: that the run is a control, and that gold answers were few.

    Args:
        corpus: metrics/corpus.json
    """
    notes = []
    if "control" in corpus:
        notes.append(f"This run is a control of what rationales teach: {CONTROLS[corpus['control']]}.")
    if "answers" in corpus:
        counts = corpus["answers"]
        notes.append(f"Of train, {counts['labelled']:,} questions kept their gold answers.")
        if counts["made"]:
            right = f"{percent(counts['made_right'])}% of these are right"
            notes.append(f"{counts['made']:,} others have the answer that the teachers voted for; {right}.")
        if counts["left_out"]:
            notes.append(f"{counts['left_out']:,} others were left out.")
    return notes
