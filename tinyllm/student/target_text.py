"""What a student writes under a teacher's prefix, by `student.target`: the rationale alone, or with the answer as one text."""

from __future__ import annotations

import re

LEAD = "The answer is"

_LEAD = re.compile(rf"(?:^|(?<=\s)){LEAD}(?=\s|$)", re.IGNORECASE)  # a student's tokenizer may fold case
_CONCLUSION = re.compile(  # the last sentence, where it does what LEAD does
    r"(?:^|(?<=[.!?]\s))\s*(?:(?:so|thus|therefore|hence)\b,?\s+)?the\s+(?:(?:correct|final|right|best)\s+)?answer\s+is\b"
    r"(?:(?![.!?]\s)[^\n])*\Z",
    re.IGNORECASE | re.MULTILINE,
)
_STOP = re.compile(r"[.!?](?=\s|$)")


def join(target: str, rationale: str, answer: str) -> str:
    """Return the text that is learnt under a teacher's prefix.

    Args:
        target: of `student.target`
        answer: what the answer's own task learns, such as the gold option's full text
    """
    if target == "rationale_then_answer":
        return f"{without_conclusion(rationale)} {LEAD} {answer}".lstrip()
    if target == "answer_then_rationale":
        stop = "" if answer.endswith((".", "!", "?")) else "."
        return f"{LEAD} {answer}{stop} {rationale}".rstrip()
    return rationale


def split(target: str, text: str) -> tuple[str, str | None]:
    """Return the rationale and the answer of a text that a student wrote; None where it has no answer.

    With `rationale_then_answer` that is what follows the last LEAD. With `answer_then_rationale` it is what follows LEAD at
    the head, up to the first full stop before white space: an answer that has one within is not told from the rationale.
    """
    if target == "rationale_then_answer":
        leads = list(_LEAD.finditer(text))
        if not leads:
            return text, None
        return text[: leads[-1].start()].rstrip(), text[leads[-1].end() :].strip() or None
    if target == "answer_then_rationale":
        lead = _LEAD.match(text)
        if lead is None:
            return text, None
        said = text[lead.end() :].strip()
        stop = _STOP.search(said)
        if stop is None:
            return "", said or None
        return said[stop.end() :].strip(), said[: stop.start()].strip() or None
    return text, None


def without_conclusion(rationale: str) -> str:
    """Return a rationale without a last sentence such as `So the correct answer is ...`."""
    return _CONCLUSION.sub("", rationale.rstrip()).rstrip()
