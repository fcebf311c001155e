"""Cleaning: what a teacher says about the question, without the trigger before it and the next question behind it.

The patterns are for what FLAN-T5 and Llama 2 wrote in the release of TinyLLM's authors.
"""

from __future__ import annotations

import re

from tinyllm.records.questions import collapse_whitespace, normalise

FINISHED = re.compile(r"[.!?…。！？][\"'”’)\]*_]*$")  # quotes, brackets and Markdown may close behind the stop
NUMBER = re.compile(r"^(?:(?:step|hint)\s*)?[(*_]*\d{1,2}[.):]+[*_]*\s*", re.IGNORECASE)  # 3. | (3) | Step 2:
LABEL = re.compile(NUMBER.pattern + r"|^[(*_]*[a-z][.):]+[*_]*\s*", re.IGNORECASE)  # those, and b. | (b)

_RUN_ON = (
    re.compile(  # a teacher that has finished goes on with the next exam question, a chapter heading, code or LaTeX
        r"""
    ^[ \t]*(?:
        [#*_>\ \t]{0,9}(?:questions?|Q)[ \t]*\.?[ \t]*\d*[ \t]*[*_]*[:.]   # Question: | Q. | Q: 7 | **Question 3:**
      | [#*_>\ \t]{0,9}(?:options|answer\ choices|choices|rationale|comment)[*_]*:
      | \#++[ \t]*+(?!\**(?:step|hint|explanation|rationale|reasoning|analysis|answer|conclusion)\b) # any other heading
      | (?:answer:\s*)?(?:```|\\(?:begin|end)\{)
      | </?(?:p|div|br|code|pre)\b
    )
    | \bAnswer\ Choices:                                                   # these two also within a line
    | ```
    """,
        re.IGNORECASE | re.MULTILINE | re.VERBOSE,
    )
)
_HEADING_MARK = re.compile(r"^[ \t]*#+[ \t]*", re.MULTILINE)
_TITLE = re.compile(  # Explanation: | # Overview; the rationale's own, for a question's is a run-on
    r"^\s*(?:(?:rationale|explanation)\s*:|#+[ \t]*(?!q\b|(?:questions?|options|problem)\b)[a-z][^\n:]*\n)",
    re.IGNORECASE,
)
_TRIGGER = (
    re.compile(  # Let's think step by step. | Hint: let us think about this in steps: | any spelling seen of these
        r"""
    \s*(?:\w+\s*:\s*)?
    let\s?.?\s?s\s+think\s+(?:about\s+(?:this|it)\s+)?
    (?:step[ -]by[ -]step|in\s+steps)
    \s*[.:,;!]*
    """,
        re.IGNORECASE | re.VERBOSE,
    )
)
_JUNK = re.compile(  # what Llama 2 writes between the trigger and its first sentence: Cyrillic, Polish months, German
    r"""
    [ \t]*
    (?: ➖+ | \(\);`\S* | [\u0400-\u04ff]+ | ϊ\w*
      | (?:sierp|kwiet|paździer|stycz|listopad
          |einzeln|begriff|unterscheidung|geprüft|prüfen|hinweis|nahm)[\w']*
    )
    [,:;.!]*(?=\s|$|[A-Z(])
    """,
    re.IGNORECASE | re.VERBOSE,
)
_GERMAN_TRIGGER = re.compile(r"\s*[^.:\n]{0,60}\b[Ss]chritt(?:en?|weise)?\b[^.:\n]{0,40}[.:]?")  # Schritt für Schritt
_BREAK = re.compile(  # between two sentences; it starts with what few characters are, so that the others cost little
    r"[.!?…\n](?:(?<=\n)\n*|[\"'”’)\]*_]*\s+)"
)
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:vs|e\.g|i\.e|al|approx|dr|mrs?|ms|mt|st|fig)\.$", re.IGNORECASE)
_LONGEST = len(" approx.")  # of the abbreviations, with what stands before it


def clean(text: str) -> str:
    """Return what the teacher says about this question, on one line; cleaning twice changes nothing."""
    return " ".join(clean_sentences(text))


def clean_sentences(text: str) -> tuple[str, ...]:
    """Return what the teacher says about this question; joined by spaces, its sentences are what `clean` returns.

    Taken off: the trigger and the junk behind it, everything from a new question on, sentences said before, and an
    unfinished last sentence where a finished one remains. The result may be empty and is never longer than the text.
    """
    while (shorter := " ".join(sentences := _clean_once(text))) != text:
        text = shorter
    return tuple(sentences)


def split_sentences(text: str) -> tuple[str, ...]:
    """Return the folded sentences; a line's end ends one too, a label (`2.`) or an abbreviation (`e.g.`) does not."""
    sentences: list[str] = []
    start, open_end = 0, False
    for end in [*(match.end() for match in _BREAK.finditer(text)), len(text)]:
        piece = collapse_whitespace(text[start:end])
        start = end
        if not piece:
            continue
        if open_end:
            sentences[-1] += " " + piece
        else:
            sentences.append(piece)
        open_end = bool(LABEL.fullmatch(sentences[-1]) or _ABBREVIATION.search(piece, max(0, len(piece) - _LONGEST)))
    if sentences and LABEL.fullmatch(sentences[-1]) and len(sentences) > 1:
        sentences.pop()  # a label without its sentence
    return tuple(sentences)


def _clean_once(text: str) -> list[str]:
    text = _without_trigger(text)
    run_on = _RUN_ON.search(text)
    body = text[: run_on.start()] if run_on else text
    body = _HEADING_MARK.sub("", body)
    sentences = [sentence for sentence in split_sentences(body) if not _TRIGGER.fullmatch(sentence)]
    sentences = _without_repeats(sentences)
    if run_on and sentences and re.search(r"[\w)\]'\"]$", sentences[-1]):
        sentences[-1] += "."  # the teacher ended this line itself, so it is whole: else the next pass would cut it
    finished = [place for place, sentence in enumerate(sentences, start=1) if FINISHED.search(sentence)]
    return sentences[: finished[-1]] if finished else sentences


def _without_trigger(text: str) -> str:
    text = _TITLE.sub("", text)
    trigger = _TRIGGER.match(text)
    if not trigger:
        return text
    rest = _without_start(_GERMAN_TRIGGER, text[trigger.end() :])
    junk = _JUNK.match(rest)
    if not junk:
        return rest
    rest = rest[junk.end() :]
    if re.match(r"[ \t]+[a-z=]", rest):  # the junk stands for a word of the sentence, which is thereby lost
        end = _BREAK.search(rest)
        rest = rest[end.end() :] if end else ""
    return _without_start(_GERMAN_TRIGGER, rest)


def _without_start(pattern: re.Pattern[str], text: str) -> str:
    start = pattern.match(text)
    return text[start.end() :] if start else text


def _without_repeats(sentences: list[str]) -> list[str]:
    """Drop a sentence said before, but short ones (`Yes.`) only right behind themselves; loops often have two beats."""
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
