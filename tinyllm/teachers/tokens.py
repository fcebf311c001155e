"""How many tokens a text has, about, and which count of a server can be believed."""

from __future__ import annotations

import re

MOST_TOKENS = 10_000_000  # of one request; no server takes as many
BEYOND = 100_000  # tokens more than asked: some servers add a text of their own, or do not hold thinking to a limit
FEWEST = 1 / 32  # of our estimate; fewer tokens no tokenizer makes of a text

_LETTERS = re.compile("[A-Za-z]{1,4}")
_TOKENS = re.compile("[A-Za-z]{1,4}|[^A-Za-z ]")


def estimate_tokens(text: str) -> int:
    """Return an estimate of a text's tokens, rather too high than too low.

    It counts a token for each four letters of an English word, for each digit and sign, and for each byte of anything else.
    """
    if text.isascii():
        return len(_TOKENS.findall(text))
    rest = re.sub("[A-Za-z ]+", "", text)
    return len(_LETTERS.findall(text)) + len(rest.encode(errors="replace"))


def believed(value: object, estimate: int, most: int) -> int | None:
    """Return a server's count of tokens, None where it is no whole number that a text of so many tokens, about, can have.

    Args:
        most: what the model's context and the limit of an answer allow
    """
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if FEWEST * estimate <= value <= most else None


def most_tokens(asked: int, context_tokens: int | None) -> int:
    """Return the most tokens that a server can count for a prompt or an answer.

    Args:
        asked: tokens that the prompt has, or that the answer may have
    """
    return min(asked + BEYOND, MOST_TOKENS if context_tokens is None else context_tokens)


def counted(column: str) -> str:
    """Return the SQL of a column's count as it may be summed: 0 for one that no request has, as older versions kept some."""
    return f"CASE WHEN typeof({column}) = 'integer' AND {column} BETWEEN 0 AND {MOST_TOKENS} THEN {column} ELSE 0 END"


def summable(count: object) -> int:
    """Return a count from the cache as it may be summed, as `counted` does."""
    return count if isinstance(count, int) and 0 <= count <= MOST_TOKENS else 0
