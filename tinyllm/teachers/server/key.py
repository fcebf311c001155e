"""The key of an endpoint, and every trace of it in what a server sends: masked in messages, refused in answers.

A trace is a run of the key's characters, however it is written. Case does not matter, nor do white space and invisible
characters in between. Escapes are read (`\\u0073`, `%73`, `&#115;`, `=73`), also those of escapes. So are base64 from any byte
on, hex, lists of character codes, and the key from its end. The text is searched as it came, before anything is cut off it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from tinyllm.teachers.server.readings import Reading, base64_inside, codes_of, readings, visible

SHOWN = 4  # characters of a key in a row that a message may show
HELD = 8  # characters in a row that make an answer one that repeats the key
WORD = re.compile(r"[A-Za-z]?(?:[a-z]{0,11}|[A-Z]{0,11})")
NO_WORD = re.compile(
    r"[A-Za-z][0-9]|[0-9][A-Za-z]|[a-z][A-Z]"
)  # in five characters: no text of a language has them by chance
USERINFO = re.compile(r"(?<=//)[^/\s@]+@")  # name and password of an address


class Secret:
    """A key, or the password of a proxy. Its `repr` does not show it.

    A key of fewer than eight characters, or one word of up to twelve letters in one case (`none`, `EMPTY`, `placeholder`), is a
    placeholder: an answer may hold it. In a message such a word is masked where it stands whole, and a key of up to four
    characters where it is a word of its own. Of any other key a message shows four characters in a row at most. An answer is
    refused for eight in a row, and for five exact ones that are no word: letters next to digits, or a change of case.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        word = WORD.fullmatch(text) is not None
        self._placeholder = len(text) < HELD or word
        self._whole = (
            re.compile(rf"(?<![A-Za-z0-9]){re.escape(text)}(?![A-Za-z0-9])") if 0 < len(text) <= SHOWN else None
        )
        self._masks = _Needles(text, len(text) if word else SHOWN + 1, 1)
        self._held = _Needles(text, HELD, HELD // 2)
        self._exact = {run for run in _pieces(text, SHOWN + 1, 1) if NO_WORD.search(run)}

    def __repr__(self) -> str:
        return "Secret(***)"

    def masked(self, text: str) -> str:
        """Return a text as it came with every trace of the key masked."""
        if not self.text:
            return text
        if self._whole:
            return self._whole.sub("***", text)
        spans = sorted(span for reading in readings(text) for span in self._masks.spans(reading))
        return _without(text, spans)

    def in_reply(self, body: str) -> bool:
        """Return whether a reply repeats the key, escapes aside: this is quick, and what is kept of it is looked at again."""
        return not self._placeholder and self._held.found(body)

    def in_answer(self, text: str) -> bool:
        """Return whether a text that would be kept repeats the key, or a part of it that no word is."""
        if self._placeholder or not text:
            return False
        return _any_in(self._exact, text) or any(self._held.found(reading.characters) for reading in readings(text))


class _Needles:
    """What to look for: pieces of the key as each reading has it.

    Args:
        run: characters of the key in a row that have to be found
        step: between two pieces; with more there are fewer and shorter ones, so one that is found is looked at again
    """

    def __init__(self, key: str, run: int, step: int) -> None:
        plain = key.lower()
        letters = (run * 8 - 4) // 6  # of base64 that such a run fills for certain
        self._whole = {*_pieces(plain, run, 1), *_pieces(plain[::-1], run, 1)}
        self._plain = {*_pieces(plain, run, step), *_pieces(plain[::-1], run, step)}
        self._base64 = {piece for text in base64_inside(key) for piece in _pieces(codes_of(text)[0], letters, step)}
        self._hex = set(_pieces(key.encode().hex(), 2 * run, step))

    def found(self, characters: str) -> bool:
        """Return whether a reading has one of them."""
        seen = visible(characters)
        coded, digits = codes_of(seen)
        lower = seen.lower()
        if _any_in(self._plain, lower) and _any_in(self._whole, lower):
            return True
        return _any_in(self._base64, coded) or _any_in(self._hex, digits)

    def spans(self, reading: Reading) -> Iterator[tuple[int, int]]:
        """Yield where in the text they begin and end."""
        if not self.found(reading.characters):
            return
        seen = reading.seen()
        digits, coded = seen.digits(), codes_of(seen.characters)[0]
        views = (
            (seen.characters.lower(), self._whole, seen),
            (coded, self._base64, seen),
            (digits.characters, self._hex, digits),
        )
        for text, pieces, view in views:
            for piece in pieces:
                at = text.find(piece)
                while at >= 0:
                    yield view.starts[at], view.ends[at + len(piece) - 1]
                    at = text.find(piece, at + 1)


def read_key(variable: str | None) -> str:
    """Return the key in an environment variable; "" where the settings name none.

    Raises:
        ValueError: it is not set, empty, or nothing that a header can hold.
    """
    if variable is None:
        return ""
    key = os.environ.get(variable, "")
    if not key:
        raise ValueError(f"key_variable: environment variable {variable} is not set or empty; export the key in it")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(
            f"key_variable: environment variable {variable} holds white space or signs that no key has; export it anew"
        )
    return key


def mask_userinfo(text: str) -> str:
    """Return a text without the names and passwords of its addresses."""
    return USERINFO.sub("***@", text)


def _any_in(pieces: set[str], text: str) -> bool:
    return any(map(text.__contains__, pieces))


def _pieces(text: str, run: int, step: int) -> list[str]:
    """Return pieces of a text, one of which is in every run of so many characters of it."""
    length = run - step + 1
    return [text[at : at + length] for at in range(0, len(text) - length + 1, step)]


def _without(text: str, spans: list[tuple[int, int]]) -> str:
    """Return the text with *** for what the spans cover, once where they touch."""
    parts: list[str] = []
    done = 0
    for start, end in spans:
        if start > done or not parts:
            parts += [text[done:start], "***"]
        done = max(done, end)
    return "".join([*parts, text[done:]])
