"""Where sentences end, in any script."""

from __future__ import annotations

import re

import regex

from tinyllm.records.questions import collapse_whitespace

NUMBER = re.compile(r"^(?:(?:step|hint)\s*)?[(*_]*\d{1,2}[.):]+[*_]*\s*", re.IGNORECASE)  # 3. | (3) | Step 2:
LABEL = re.compile(NUMBER.pattern + r"|^[(*_]*[a-z][.):]+[*_]*\s*", re.IGNORECASE)  # those, and b. | (b)

_CLOSING = r"[\"'”’»」』)\]*_]*"  # quotes, brackets and Markdown may close behind the stop
_NO_BLANK = r"(?<=[a-z][a-z][a-z)]\.)(?=\d{1,2}\. [A-Z]|[A-Z][a-z]*\ )"  # `an egg.2. An egg`, `an egg.Then it`
_OWN_STOPS = r"[\p{Sentence_Terminal}--[.!?…]]"  # danda, full-width and other stops, which need no blank behind them
_FINISHED = regex.compile(
    rf"(?V1)(?:[\p{{Sentence_Terminal}}…]{_CLOSING}|[\p{{Thai}}\p{{Lao}}\p{{Khmer}}\p{{Myanmar}}\p{{Tibetan}}])$"
)
_BREAK_ASCII = (
    re.compile(  # between two sentences; it starts with what few characters are, so that the others cost little
        rf"[.!?\n](?:(?<=\n)\n*|{_CLOSING}\s+|{_NO_BLANK})"
    )
)
_BREAK = regex.compile(rf"(?V1)[.!?…\n](?:(?<=\n)\n*|{_CLOSING}\s+|{_NO_BLANK})|{_OWN_STOPS}+{_CLOSING}\s*")
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:vs|e\.g|i\.e|al|approx|dr|mrs?|ms|mt|st|fig)\.$", re.IGNORECASE)
_LONGEST = len(" approx.")  # of the abbreviations, with what stands before it


def is_finished(text: str) -> bool:
    """Tell whether a text ends like a sentence; of a script without full stops, such as Thai's, any text does."""
    if text.isascii():
        return text.rstrip("\"')]*_")[-1:] in (".", "!", "?")
    return bool(_FINISHED.search(text))


def split_sentences(text: str) -> tuple[str, ...]:
    """Return the folded sentences; a line's end ends one too, a label (`2.`) or an abbreviation (`e.g.`) does not."""
    sentences: list[str] = []
    start, open_end = 0, False
    breaks = (_BREAK_ASCII if text.isascii() else _BREAK).finditer(text)
    for end in [*(match.end() for match in breaks), len(text)]:
        piece = collapse_whitespace(text[start:end])
        start = end
        if not piece:
            continue
        if open_end:
            sentences[-1] += " " + piece
        else:
            sentences.append(piece)
        open_end = bool(LABEL.fullmatch(sentences[-1]) or _ABBREVIATION.search(piece, max(0, len(piece) - _LONGEST)))
    return tuple(sentences)
