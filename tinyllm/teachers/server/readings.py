"""The ways in which a text can be read: as it is, with its escapes undone, as base64, as hex, as a list of character codes."""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DEPTH = 4  # escapes of escapes of escapes
_HEX = "[0-9a-fA-F]"
_ESCAPE = re.compile(  # from the first of several backslashes on, and never back: else a long row of them takes for ever
    rf"(?<!\\)\\++(?:u(?P<u>{_HEX}{{4}})|u\{{(?P<braces>{_HEX}{{1,6}})\}}|[xX](?P<x>{_HEX}{{2}})|(?P<octal>[0-7]{{3}})"
    rf"|(?P<sign>[^\w\s])|[nrtbf])"
    rf"|%(?:25)*(?P<percent>{_HEX}{{2}})|%(?:25)*u(?P<percent_u>{_HEX}{{4}})|=(?P<quoted>{_HEX}{{2}})|=\r?\n"
    rf"|&(?:amp;)*\#[xX]0*(?P<entity_x>{_HEX}{{1,6}});?|&(?:amp;)*\#0*(?P<entity>[0-9]{{1,7}});?"
    r"|&(?:amp;)*(?P<name>[A-Za-z]{2,12});"
)
_BEGINNING = re.compile(r"[\\%=&]")  # of an escape; found much faster
_BASE = {"octal": 8, "entity": 10}  # of the other groups 16
_CODES = re.compile(r"[0-9]{2,3}(?:\W{1,3}[0-9]{2,3}){4,}")
_HIDDEN = bytes([*range(33), 127])
_NO_HEX = bytes(set(range(128)) - set(b"0123456789abcdef"))
_PLAIN_BASE64 = bytes.maketrans(b"-_", b"+/")
_DIGITS = re.compile("[0-9]{2}")  # found much faster than a list of codes


@dataclass(frozen=True)
class Reading:
    """The characters of a text in one of these ways, and where in the text each begins and ends."""

    characters: str
    starts: Sequence[int]
    ends: Sequence[int]

    def seen(self) -> Reading:
        """Return it without white space and what cannot be seen; wide letters and the like become plain ones."""
        kept = [(sign, place) for place, letter in enumerate(self.characters) for sign in visible(letter)]
        return self._chosen("".join(sign for sign, _ in kept), [place for _, place in kept])

    def digits(self) -> Reading:
        """Return its hex digits alone, without the `0x` before a number."""
        lower = self.characters.lower().replace("0x", "  ")
        places = [place for place, letter in enumerate(lower) if letter in "0123456789abcdef"]
        return self._chosen("".join(lower[place] for place in places), places)

    def _chosen(self, characters: str, places: list[int]) -> Reading:
        return Reading(characters, [self.starts[place] for place in places], [self.ends[place] for place in places])


def readings(text: str) -> Iterator[Reading]:
    """Yield the text as it is, then with its escapes undone again and again, then what its lists of numbers spell."""
    reading = Reading(text, range(len(text)), range(1, len(text) + 1))
    yield reading
    if spelt := _spelt(reading):
        yield spelt
    for _ in range(DEPTH):
        if not _BEGINNING.search(reading.characters) or not _ESCAPE.search(reading.characters):
            return
        reading = _undone(reading)
        yield reading


def visible(text: str) -> str:
    """Return the ASCII signs of a text, without white space; wide letters and the like become plain ones."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return plain.encode("ascii", "ignore").translate(None, _HIDDEN).decode()


def codes_of(seen: str) -> tuple[str, str]:
    """Return what could be base64, in its first alphabet, and what could be hex."""
    data = seen.encode()
    return data.translate(_PLAIN_BASE64).decode(), seen.lower().replace("0x", "").encode().translate(
        None, _NO_HEX
    ).decode()


def base64_inside(text: str) -> list[str]:
    """Return the base64 of a text that stands behind 0, 1 or 2 bytes, without the letters that also hold what is around it."""
    found = []
    for before in range(3):
        data = b"\0" * before + text.encode()
        first, last = -(-before * 8 // 6), len(data) * 8 // 6
        found.append(base64.b64encode(data).decode()[first:last])
    return found


def _undone(reading: Reading) -> Reading:
    """Return the reading with one layer of escapes undone."""
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for match in _ESCAPE.finditer(reading.characters):
        parts.append(reading.characters[done : match.start()])
        starts += reading.starts[done : match.start()]
        ends += reading.ends[done : match.start()]
        done = match.end()
        if letter := _letter(match):
            parts.append(letter)
            starts.append(reading.starts[match.start()])
            ends.append(reading.ends[done - 1])
    parts.append(reading.characters[done:])
    return Reading("".join(parts), [*starts, *reading.starts[done:]], [*ends, *reading.ends[done:]])


def _letter(match: re.Match[str]) -> str:
    """Return the one character that an escape stands for, "" where it stands for none."""
    kind = match.lastgroup
    if kind is None:  # a line break
        return ""
    if kind == "sign":
        return match["sign"]
    if kind == "name":
        return html.unescape(f"&{match['name']};")[:1]
    number = int(match[kind], _BASE.get(kind, 16))
    return chr(number) if number < 0x110000 else ""


def _spelt(reading: Reading) -> Reading | None:
    """Return the characters whose codes stand in lists of numbers, such as `[115, 107, 45]`."""
    if not _DIGITS.search(reading.characters):
        return None
    numbers = [
        (match.start() + number.start(), match.start() + number.end(), int(number[0]))
        for match in _CODES.finditer(reading.characters)
        for number in re.finditer(r"\d+", match[0])
    ]
    if not numbers:
        return None
    starts, ends, codes = zip(*numbers, strict=True)
    return Reading(
        "".join(map(chr, codes)),
        [reading.starts[place] for place in starts],
        [reading.ends[place - 1] for place in ends],
    )
