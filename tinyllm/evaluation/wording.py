"""How the numbers of a judgement are written: one format for shares, differences, intervals and p values."""

from __future__ import annotations

# What `majority` is, in words, wherever it is shown.
MAJORITY = (
    "the text, or the place among the options, that is right most often in the test set (known only in hindsight)"
)
MAJORITY_TEXT = "the text that is right most often in the test set (known only in hindsight)"  # of free text
LEAST_P = 0.0001  # a smaller p value is only said to be smaller


def percent(share: float) -> str:
    """Return a share in percent with one decimal, without the sign; one that metrics round to four digits reads the same."""
    return f"{100 * round(share, 4):.1f}"


def points(share: float) -> str:
    """Return a difference of two shares in percentage points, always with its sign; rounded as in `percent`."""
    return f"{100 * round(share, 4):+.1f}"


def p_value(p: float) -> str:
    return f"< {LEAST_P}" if p < LEAST_P else f"{p:.4f}"
