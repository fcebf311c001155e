"""Which questions are the same one: the key that finds leaks between splits, and doubles.

Case, white space, quotes and closing punctuation do not tell two questions apart. Signs, digits, operators, emoji and the vowel
signs of any script do: `12 + 4` is not `12 - 4`.
"""

from __future__ import annotations

import re
import unicodedata

import regex

from tinyllm.records.questions import Question, ascii_words

_PROSE = re.compile(r"[A-Za-z\s.,?:;'\"-]*")  # ASCII without digits, brackets, operators and other signs
_MINUS = re.compile(r"(?<![A-Za-z])-|-(?![A-Za-z])|\b[A-Za-z]-[A-Za-z]\b")  # a hyphen that may be one: x - y, x-y
_DASHES = str.maketrans(
    {**dict.fromkeys("−‐‑‒–﹣－", "-"), "—": " - ", "≠": "!=", "≤": "<=", "≥": ">=", "⁄": "/", "∕": "/"}
)
_ACCENT = re.compile("[´ʼ]")  # typed for an apostrophe
_POWER = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")  # 10² is not 102
_MIXED = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")  # 1½ is not 11/2
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_BLANK = re.compile("__+")
# Joiners, marks of direction and variation selectors are not seen. Between two emoji a joiner makes another one, and the
# letters of a flag, U+E0020 to U+E007F, name its country.
_INVISIBLE = regex.compile(
    r"(?!(?<=[\p{S}\uFE0F])\u200D(?=\p{S}))[\p{Cf}\uFE00-\uFE0F--[\U000E0020-\U000E007F]]", regex.V1
)
_TOKEN = r"""
    [ ]?(                                                       # taken along: a search that starts at a space is slow
      [{L}][{W}]*                                               # a word
    | (?<![{W}_.])\.?[{N}]+(?:[.:][{N}]+)*(?![{L}])             # 12 | 1.5 | .5 | 3:30
    | [{W}]+                                                    # 2nd
    | [{S}%&@\#\\/_]                                            # an operator, a currency, an emoji
    | !(?==) | (?<=[{N})])!                                     # != | 5! but not Ice!
    | (?<=[{W})\]}}])\*+(?=[{W}(\[{{-]) | (?<=[ ])\*+(?=[ ]?[{N}(]|[ ][{W}]) | (?<=[{N})])\*+(?=[ ][{W}(])  # 2*3
    | (?<=[ ])-(?=[ ][^\s.?!])                                  # x - y
    | (?<![{W}])-(?=\.?[{N}] | [{L}](?![{L}]) | [(\[{{])        # -3 | -x | -(x + y)
    | (?<=[{N})\]}}])-(?=[ ]?(?:\.?[{N}]|[(\[{{-]) | [{L}](?![{L}]))  # 3-2 | )-x but not 3-year
    | (?<=(?<![{W}])[{L}])-(?=\.?[{N}] | [(\[{{] | [{L}](?![{L}]))  # x-3 | x-y but not e-mail
    | (?<=(?<![{W}])[{L}])-- | --(?=[{L}](?![{L}]))             # i-- | --i
    | (?<=[{W}])[(\[{{]                                         # f(x)
    | [(){{}}\[\]](?=[ ]?(?:\.?[{N}]|[{S}%*/-])) | (?<=[{S}{N}%*/-])[(){{}}\[\]] | (?<=[{S}{N}%*/-][ ])[(){{}}\[\]]
    )
"""
_ASCII_TOKEN = re.compile(_TOKEN.format(L="a-z", W="a-z0-9", N="0-9", S="$+<=>^|~"), re.VERBOSE)
_ANY_TOKEN = regex.compile(
    _TOKEN.format(
        L=r"\p{L}\p{M}", W=r"\p{L}\p{M}\p{N}", N=r"\p{Nd}", S=r"\$+<=>\^|~[\p{S}--[`´]]\u200D\U000E0020-\U000E007F"
    ),
    regex.VERBOSE | regex.V1,
)


def question_key(question: Question) -> str:
    """Return the key of context and question, options left out: equal keys mean the same question."""
    return same_text_key(f"{question.context} {question.question}")


def same_text_key(text: str) -> str:
    """Return what is left of a text when all goes that does not tell it apart from another."""
    if _PROSE.fullmatch(text) and not _MINUS.search(text):
        return " ".join(ascii_words(text))
    token, folded = (_ASCII_TOKEN, text.lower()) if text.isascii() else (_ANY_TOKEN, _fold(text))
    folded = _THOUSANDS.sub("", _BLANK.sub("_", " ".join(folded.split())))
    return " ".join(token.findall(folded))


def _fold(text: str) -> str:
    """Return the text in lower case, each sign in one form, without what is not seen."""
    apart = _MIXED.sub(" ", _POWER.sub(r"^\g<0>", _ACCENT.sub("'", text)))
    seen = _INVISIBLE.sub("", unicodedata.normalize("NFKC", apart).casefold().translate(_DASHES))
    return unicodedata.normalize("NFKC", seen)  # casefold may take a letter apart
