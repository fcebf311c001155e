"""The words of a text that carry meaning."""

from __future__ import annotations

from tinyllm.records.questions import normalise

STEM = 5  # letters
_STOP_TEXT = (
    "about all also an and any are as at be because been but by can could did do does each for from had has have he"
    " her his how if in into is it its let may more most must no not of on one only or other our she should so some"
    " such than that the their them then there therefore these they this thus to was we were what when where which"
    " who why will with would yes you your answer correct option"
)
STOP_WORDS = frozenset(_STOP_TEXT.split())


def content_words(text: str) -> frozenset[str]:
    """Return the different words that carry meaning, cut to five letters so that plural and tense match."""
    words = set(normalise(text).split()) - STOP_WORDS
    return frozenset([word.rstrip("s")[:STEM] for word in words if len(word) > 1])
