"""Which questions are the same one: the key that finds leaks between splits, and doubles.

Case, white space, quotes and closing punctuation do not tell two questions apart. Signs, digits, operators, emoji and the vowel
signs of any script do: `12 + 4` is not `12 - 4`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

import regex

from tinyllm.records.questions import Question, ascii_words

_PROSE = re.compile(r"[A-Za-z\s.,?!:;'\"()-]*")  # ASCII without digits, operators and other signs
_SPACED_HYPHEN = re.compile(r"(?<![A-Za-z])-|-(?![A-Za-z])")  # may be a minus: x - y
_DASHES = str.maketrans(dict.fromkeys("−‐‑‒–—﹣－", "-"))
_POWERS = str.maketrans({sign: f"^{digit}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")})  # 10² is not 102
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_INVISIBLE = regex.compile(r"[\p{Cf}\uFE00-\uFE0F]+")  # joiners and variation selectors
_TOKEN = regex.compile(
    r"""
      (?<![\w.])\.?\p{Nd}+(?:[.:]\p{Nd}+)*(?![\p{L}\p{M}])   # 12 | 1.5 | .5 | 3:30
    | _+
    | [\p{L}\p{M}\p{N}]+                                    # a word, or x2
    | [\p{S}--[`´]]                                         # an operator, a currency, an emoji
    | [%&@\#*/\\!^(){}\[\]-]                                # some of these are kept, see `_kept`
    """,
    regex.VERBOSE | regex.VERSION1,
)
_SIGN = regex.compile(r"[\p{S}%*/^-]")
_MEANING = frozenset("%&@#\\^")  # punctuation that tells questions apart wherever it is


def question_key(question: Question) -> str:
    """Return the key of context and question, options left out: equal keys mean the same question."""
    return same_text_key(f"{question.context} {question.question}")


def same_text_key(text: str) -> str:
    """Return what is left of a text when all goes that does not tell it apart from another."""
    if _PROSE.fullmatch(text) and not _SPACED_HYPHEN.search(text):
        return " ".join(ascii_words(text))
    folded = unicodedata.normalize("NFKC", text.translate(_POWERS)).casefold().translate(_DASHES)
    folded = _THOUSANDS.sub("", _INVISIBLE.sub("", folded))
    tokens = ["_" if token[0] == "_" else token for token in _TOKEN.findall(folded)]
    return " ".join(token for place, token in enumerate(tokens) if _kept(tokens, place))


def drop_leaks(train: Sequence[Question], held_out: Iterable[Question]) -> list[Question]:
    """Return the questions of train whose key is that of no held-out question."""
    leaked = {question_key(question) for question in held_out}
    return [question for question in train if question_key(question) not in leaked]


def _kept(tokens: Sequence[str], place: int) -> bool:
    """Tell whether a token counts; a hyphen, a slash, a bracket or an exclamation mark does in a formula alone."""
    token = tokens[place]
    if token.isalnum() or len(token) > 1 or token in _MEANING or token not in "*/!-(){}[]":
        return True
    before = tokens[place - 1] if place else ""
    behind = tokens[place + 1] if place + 1 < len(tokens) else ""
    if token == "!":
        return before[-1:].isdecimal() or before == ")"
    if token == "-":
        left = not before or _is_operand(before) or bool(_SIGN.match(before))
        return left and (_is_operand(behind) or bool(behind and _SIGN.match(behind)))
    if token in "*/":
        return (_is_operand(before) or before in ")]}") and (_is_operand(behind) or behind in "([{")
    return any(side[:1].isdecimal() or bool(_SIGN.match(side)) for side in (before, behind) if side)


def _is_operand(token: str) -> bool:
    """Tell whether a token is a number, a variable such as `x`, or a bracket of a formula."""
    return token[:1].isdecimal() or token[:1] == "." or (len(token) == 1 and (token.isalpha() or token in "()[]{}"))
