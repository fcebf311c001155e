"""Cleaning: what a teacher says about the question, without the trigger before it and the next question behind it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tinyllm.parsing.sentences import LABEL, NUMBER, is_finished, split_sentences
from tinyllm.parsing.words import holds
from tinyllm.records.questions import normalise

# A teacher that has finished goes on with the next exam question, another's turn, a chapter heading, code or LaTeX.
_NEXT_LINE = re.compile(
    r"""
    [ \t]*(?:
        [#*_>\ \t]{0,9}(?:(?:next|new|another)\ )?(?:questions?|problem|exercise|Q)[ \t]*\.?[ \t]*\#?\d*[ \t]*[*_]*[:.]
      | [#*_>\ \t]{0,9}(?:options|answer\ choices|choices|rationale|comment|input|instruction)[*_]*:
      | [#*_>\ \t]{0,9}(?:user|human|student|assistant|system|me)[*_]*:
      | (?<=\n)\#(?:[ \t]++|\n)(?!\#)(?!\**(?:step|hint|explanation|rationale|reasoning|analysis|answer|final|conclusion)\b)
      | (?!\#{4}[ \t]*[^\s\#][^\n\#]{0,80}\s*\Z)\#{2,}[ \t]*+\**(?:next\ |new\ )?(?:questions?|q\b|problem|exercise|chapter
            |example\ \d|instruction|input|user|human|options|choices|\d+\W*\n\s*\S)
      | (?:answer:\s*)?(?:```|\\(?:begin|end)\{)
      | (?<=\n)</?(?:code|pre)\b
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WITHIN = re.compile(
    r"""\b(?:Answer\ [Cc]hoices|ANSWER\ CHOICES)\s*:
      | ```
      | (?<![\w(])\*{0,2}(?:Q|Question|QUESTION|Next\ question|New\ question)[ ]?\#?\d{0,3}(?:\*\*)?[ ]?:
      | (?<=[.!?)\]"'”’*。！？।])\s*\*{0,2}(?:User|Human|USER|HUMAN|Student)(?:\*\*)?[ ]?:
    """,
    re.VERBOSE,
)
_WITHIN_SIGNS = ("Q", "```", "nswer ", "ANSWER", "Next", "New", "User", "Human", "USER", "HUMAN", "Student")
_HEADING_MARK = re.compile(  # but for `#### 7` at the end, which is an answer
    r"^[ \t]*+(?!####[ \t]*[^\s#][^\n#]{0,80}\s*\Z)(?:#++[ \t]*+)++", re.MULTILINE
)
_TITLE = re.compile(  # Explanation: | # Overview; the rationale's own, for a question's is a run-on
    r"""
    \s*(?: (?:rationale|explanation)\s*:
      | \#+[ \t]*(?!(?:q|questions?|options|problem)\b)
        (?![^\n]*(?:\b(?:answer|conclusion|solution|option|choice)\b|\d\W*\n|\([a-z]\)))     # but for what may be the answer
        [a-z][^\n:]*\n(?=\s*\S) )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TAG = re.compile(r"</?(?:br|p|div|li|ul|ol)\s*/?>", re.IGNORECASE)
_FENCE = re.compile(r"\s*```[a-z]*\s*\n(?P<inside>.*?)\n?\s*```\s*", re.DOTALL | re.IGNORECASE)  # all of the text

_TRIGGER = (
    re.compile(  # Let's think step by step. | Hint: let us think about this in steps: | any spelling seen of these
        r"""
    \s*(?:\w{1,40}\s*:\s*)?
    let\s?.?\s?s\s+think\s+(?:about\s+(?:this|it)\s+)?
    (?:step[ -]by[ -]step|in\s+steps)
    \s*[.:,;!]*
    """,
        re.IGNORECASE | re.VERBOSE,
    )
)
# What Llama 2 writes between the trigger and its first sentence, which is English: a word of another language, a sign.
_SIGNS = re.compile(r"[ \t]*(?:➖+|\(\);`\S*)[,:;.!]*(?=\s|$|[A-Z(])")
_FOREIGN_WORD = re.compile(
    r"""[ \t]*(?:[\u0400-\u04ff]+|ϊ\w*|(?:sierp|kwiet|paździer|stycz|listopad
          |einzeln|begriff|unterscheidung|geprüft|prüfen|hinweis|nahm)[\w']*)[,:;.!]*(?=\s|$|[A-Z(])""",
    re.IGNORECASE | re.VERBOSE,
)
_GERMAN_TRIGGER = re.compile(  # Denken Sie Schritt für Schritt. | Schritt für Schritt: | Lass uns in Schritten denken.
    r"""\s*(?:(?:lassen?|lasst|denken?|gehen|wir|sie|uns|du|das|es|darüber|in|nun|bitte)\ ){0,6}
        (?:schritt\ (?:für|um|nach)\ schritt|schritten|schrittweise)
        (?:\ (?:nach)?(?:denken|überlegen|vorgehen|durchgehen))?\s*[.:!]""",
    re.IGNORECASE | re.VERBOSE,
)
_ENGLISH = re.compile(r"\b(?:the|of|is|are|was|and|that|this|with|for|can|it|would|not)\b", re.IGNORECASE)
_FIRST_END = re.compile(r"[.!?\n]\s*")
_PUNCTUATION = " .,;:!?…\"'”’)]*_。！？।"
ENDING = 3  # characters
NEAR = 200  # characters behind a foreign word in which English shows


def clean(text: str) -> str:
    """Return what the teacher says about this question, on one line; cleaning twice changes nothing."""
    return " ".join(clean_sentences(text))


def clean_sentences(text: str) -> tuple[str, ...]:
    """Return what the teacher says about this question; joined by spaces, its sentences are what `clean` returns.

    Taken off: the trigger and the junk behind it, everything from a new question on, sentences said before, and an
    unfinished last sentence where a finished one remains. The result may be empty and is never longer than the text.
    """
    return finished_part(settled(text, clean_once(text)))


def settled(text: str, sentences: Sequence[str]) -> tuple[str, ...]:
    """Return the sentences of a text, once cleaned, as they are when cleaning changes nothing more."""
    if " ".join(sentences) == text:
        return tuple(sentences)
    text = " ".join(sentences)
    while (shorter := " ".join(sentences := clean_once(text))) != text:
        text = shorter
    return tuple(sentences)


def finished_part(sentences: tuple[str, ...]) -> tuple[str, ...]:
    """Return the sentences up to the last finished one, or all where none is; no label stays without its sentence."""
    finished = [place for place, sentence in enumerate(sentences, start=1) if is_finished(sentence)]
    kept = sentences[: finished[-1]] if finished else sentences
    return kept[:-1] if len(kept) > 1 and LABEL.fullmatch(kept[-1]) else kept


def clean_once(text: str) -> list[str]:
    """Return the sentences that are about the question; line ends, which still part them, are lost to a second pass."""
    fence = _FENCE.fullmatch(text)
    text = fence["inside"] if fence else text
    text = _without_trigger(_TAG.sub("\n", text) if "<" in text else text)
    end = _end_of_rationale(text)
    body = _HEADING_MARK.sub("", text[:end]) if "#" in text else text[:end]
    sentences = [sentence for sentence in split_sentences(body) if not _TRIGGER.fullmatch(sentence)]
    sentences = _without_repeats(sentences)
    if end < len(text) and sentences and re.search(r"[\w)\]'\"]$", sentences[-1]):
        sentences[-1] += "."  # the teacher ended this line itself, so it is whole: else the next pass would cut it
    return sentences


def _end_of_rationale(text: str) -> int:
    """Return where the text goes on with something else, its length where it does not."""
    within = _WITHIN.search(text) if holds(text, _WITHIN_SIGNS) else None
    end = within.start() if within else len(text)
    start = 0
    while start < end and not _NEXT_LINE.match(text, start):
        start = text.find("\n", start) + 1 or end
    return min(start, end)


def _without_trigger(text: str) -> str:
    start = _end_of(_TITLE, text, 0)
    if not _TRIGGER.match(text, start):
        return text[start:]
    while (end := _end_of(_TRIGGER, text, _end_of(_TITLE, text, start))) > start:  # some repeat it, by the thousand
        start = end
    start = _end_of(_GERMAN_TRIGGER, text, start)
    start = _end_of(_SIGNS, text, start)
    word = _FOREIGN_WORD.match(text, start)
    if not word or not _ENGLISH.search(text, word.end(), word.end() + NEAR):
        return text[start:]
    start = word.end()
    if re.match(
        r"[ \t]+[a-z=]", text[start : start + 80]
    ):  # it took the place of a word of the sentence, which is lost
        first = _FIRST_END.search(text, start)
        start = first.end() if first else len(text)
    return text[_end_of(_GERMAN_TRIGGER, text, start) :]


def _end_of(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def _without_repeats(sentences: list[str]) -> list[str]:
    """Drop a sentence said before, but short ones (`Yes.`) only right behind themselves; loops often have two beats."""
    if len({sentence.rstrip(_PUNCTUATION)[-ENDING:].lower() for sentence in sentences}) == len(sentences):
        return sentences  # two that are equal end alike
    kept: list[str] = []
    seen: set[str] = set()
    previous = None
    for sentence in sentences:
        key = normalise(NUMBER.sub("", sentence))
        if key != previous and (key not in seen or key.count(" ") < 2):
            kept.append(sentence)
        seen.add(key)
        previous = key
    return kept
