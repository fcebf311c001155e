"""Exact match of free-text answers: two texts are one answer if they are equal once both are normalised."""

from __future__ import annotations

import re

from tinyllm.records.questions import collapse_whitespace

CURRENCY = "[$€£¥]"
DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"  # 1,250.50
_NUMBER = re.compile(rf"(?P<sign>[-+]?)(?:{CURRENCY} ?)?(?P<digits>{DIGITS})")


def matches(text: str, gold: str) -> bool:
    """Tell whether a text is the gold answer."""
    return normal_answer(text) == normal_answer(gold)


def normal_answer(text: str) -> str:
    """Return the text as it is compared; only a text without a character becomes "".

    Case and white space are folded, and full stops at the end go. A number also loses its thousands separators, a plus or a
    currency sign before it, and the zeros at the end of its fraction: `$1,250.50`, `1250.5` and `1,250.5.` are one answer.
    Nothing else is: `18 apples` is not `18`, and `eighteen` is not.
    """
    plain = collapse_whitespace(text).casefold()
    plain = plain.rstrip(" .") or plain  # `...` stays what it is, for nothing must equal a student's empty text
    number = _NUMBER.fullmatch(plain)
    if not number:
        return plain
    digits = number["digits"].replace(",", "")
    if "." in digits:
        digits = digits.rstrip("0").rstrip(".")
    return number["sign"].removeprefix("+") + digits


def is_number(text: str) -> bool:
    """Tell whether the whole text is one number."""
    return bool(_NUMBER.fullmatch(collapse_whitespace(text).rstrip(" .")))
