"""The words of a text in any script: how many there are, and those that carry meaning.

Chinese, Japanese, Thai and their like put no spaces between words. There, two characters (of Thai and its kin, four) count as
one word, and all pairs of neighbours are compared.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from string import ascii_letters

import regex

from tinyllm.records.questions import ascii_words

STEM = 5  # letters
_STOP_TEXT = (
    "about all also an and any are as at be because been but by can could did do does each for from had has have he"
    " her his how if in into is it its let may more most must no not of on one only or other our she should so some"
    " such than that the their them then there therefore these they this thus to was we were what when where which"
    " who why will with would yes you your answer correct option"
)
STOP_WORDS = frozenset(_STOP_TEXT.split())

_IDEOGRAPHS = r"\p{Han}\p{Hiragana}\p{Katakana}ー"
_ABUGIDAS = r"\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_UNSPACED = regex.compile(rf"[{_IDEOGRAPHS}]+|[{_ABUGIDAS}]+")
_CHUNK = regex.compile(rf"[{_IDEOGRAPHS}]{{1,2}}|[{_ABUGIDAS}]{{1,4}}|[^\s{_IDEOGRAPHS}{_ABUGIDAS}]+")
_WORD = regex.compile(rf"[{_IDEOGRAPHS}{_ABUGIDAS}]+|(?:(?![{_IDEOGRAPHS}{_ABUGIDAS}])[\p{{L}}\p{{M}}\p{{N}}_])+")
_ASCII_LETTERS = ascii_letters.encode()
_LETTER = regex.compile(r"[\p{L}\p{M}]")


def running_words(text: str) -> list[str]:
    """Return the words in order, as white space parts them; the length of the list is the text's length in words."""
    return text.split() if text.isascii() else _CHUNK.findall(text)


def plain_words(text: str) -> list[str]:
    """Return the words in order and in lower case, without punctuation; an unspaced run gives its pairs of characters."""
    if text.isascii():
        return ascii_words(text)
    words: list[str] = []
    for run in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        words += _pairs(run) if _UNSPACED.match(run) else [run]
    return words


def content_words(text: str) -> frozenset[str]:
    """Return the different words that carry meaning, cut to five letters so that plural and tense match."""
    return stems(plain_words(text))


def stems(words: Iterable[str]) -> frozenset[str]:
    """Return of plain words those that carry meaning, as `content_words` has them."""
    return frozenset([word.rstrip("s")[:STEM] for word in set(words) - STOP_WORDS if len(word) > 1])


def count_letters(text: str) -> int:
    """Return how many characters are letters, or marks on letters such as vowel signs."""
    if text.isascii():
        return len(text) - len(text.encode().translate(None, _ASCII_LETTERS))  # a tenth of the time of counting them
    return len(_LETTER.findall(text))


def _pairs(run: str) -> list[str]:
    return [run[place : place + 2] for place in range(len(run) - 1)] or [run]


def holds(text: str, signs: Iterable[str]) -> bool:
    """Tell whether one of the signs is in a text."""
    for sign in signs:  # noqa: SIM110  # `any` over a generator takes three times as long
        if sign in text:
            return True
    return False
