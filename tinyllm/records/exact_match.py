"""Exact match of free-text answers: two texts are one answer if they are equal once both are normalised."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction

from tinyllm.records.questions import collapse_whitespace
from tinyllm.records.seen_text import composed, seen_text

LONGEST = 400  # characters of a number
CURRENCY = "[$€£¥₹]"
DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}|[0-9]+)(?:\.[0-9]+)?"  # 1,250.50, and India's 1,00,000
PLAIN = rf"(?:{DIGITS}|\.[0-9]+)(?:e[-+]?[0-9]{{1,2}})?(?![0-9])"  # also .5 and 1e3
FRACTION = r"(?:[0-9]{1,9} )?[0-9]{1,9} ?/ ?0{0,8}[1-9][0-9]{0,8}"  # 3/4 and 1 3/4
NUMBER = rf"[-+]?(?:{CURRENCY} ?)?(?:{FRACTION}|{PLAIN})(?: ?%| ?{CURRENCY})?"  # of a text in lower case

_NUMBER = re.compile(
    rf"([-+]?)(?:{CURRENCY} ?)?(?:(?P<fraction>{FRACTION})|(?P<plain>{PLAIN}))(?: ?(?P<percent>%)| ?{CURRENCY})?"
)
_MINUS = str.maketrans("−﹣－⁄", "---/")
_VULGAR = re.compile(r"(?<=[0-9])(?=[¼-¾⅐-⅞])")  # 1½ is 1 1/2


def matches(text: str, gold: str) -> bool:
    """Tell whether a text is the gold answer."""
    return normal_answer(text) == normal_answer(gold)


def normal_answer(text: str) -> str:
    """Return the text as it is compared; only a text without a character becomes "".

    Case and white space are folded; what is not seen goes, and full stops at the end. An accent may be a character of its own.
    A number becomes its value: `$1,250.50`, `1250.5` and `1.2505e3` are one answer, and so are `3/4`, `.75` and `75%`. Nothing
    else is: `18 apples` is not `18`, nor is `eighteen`.
    """
    plain = composed(seen_text(collapse_whitespace(text)).casefold())
    plain = plain.rstrip(" .") or plain  # `...` stays what it is, for nothing must equal a student's empty text
    value = _value(plain)
    return plain if value is None else _written(value)


def heaviest(answers: Sequence[str | None], weights: Sequence[float]) -> int | None:
    """Return the first place of the free-text answer with the greatest weight together; of equal ones the earlier.

    Texts that match are one answer. None has no vote.
    """
    shares: dict[str, list[float]] = {}
    first: dict[str, int] = {}
    for place, (answer, weight) in enumerate(zip(answers, weights, strict=True)):
        if answer is not None:
            same = normal_answer(answer)
            first.setdefault(same, place)
            shares.setdefault(same, []).append(weight)
    # rounded, so that 0.1 and 0.2 are no more than 0.3
    totals = {same: round(math.fsum(parts), 9) for same, parts in shares.items()}
    return first[max(totals, key=lambda same: totals[same])] if totals else None


def is_number(text: str) -> bool:
    """Tell whether the whole text is one number."""
    return number_value(text) is not None


def number_value(text: str) -> Fraction | None:
    """Return the exact value of a text that is one number, None of any other."""
    return _value(collapse_whitespace(text).casefold().rstrip(" ."))


def ascii_numbers(text: str) -> str:
    """Return the text with the digits of all scripts, `½` and Unicode's minus signs as ASCII; the rest as NFKC has it."""
    if text.isascii():
        return text
    folded = unicodedata.normalize("NFKC", _VULGAR.sub(" ", text)).translate(_MINUS)
    return "".join([str(unicodedata.decimal(char)) if char.isdecimal() else char for char in folded])


def _value(plain: str) -> Fraction | None:
    if not plain or len(plain) > LONGEST or not (plain[-1] in "%$€£¥₹" or plain[-1].isnumeric()):
        return None
    number = _NUMBER.fullmatch(collapse_whitespace(ascii_numbers(plain)))
    if not number:
        return None
    if number["fraction"]:
        whole, _, rest = number["fraction"].replace(" /", "/").replace("/ ", "/").rpartition(" ")
        value = Fraction(int(whole or 0)) + Fraction(rest)
    else:
        value = Fraction(number["plain"].replace(",", ""))
    value = value / 100 if number["percent"] else value
    return -value if number[1] == "-" else value


def _written(value: Fraction) -> str:
    """Return the value as a decimal number, or as a fraction where that would never end."""
    bottom, places = value.denominator, 0
    for prime in (2, 5):
        power = 0
        while bottom % prime == 0:
            bottom //= prime
            power += 1
        places = max(places, power)
    if bottom > 1:
        return f"{value.numerator}/{value.denominator}"
    digits = str(abs(value.numerator) * 10**places // value.denominator).zfill(places + 1)
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)
