"""A YAML file, read only as far as a file of params can sensibly go: its size, depth and aliases have limits.

A few lines of aliases of aliases can stand for gigabytes, and a few thousand brackets take a reader minutes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    NodeEvent,
    ScalarEvent,
)
from ruamel.yaml.reader import ReaderError

from tinyllm.records.reading import open_binary, read_text

LARGEST = 131_072  # bytes; the project's own params.yaml has 17,000
DEEPEST = 40  # levels; the project's own has 5
MOST_VALUES = 10_000  # each counted as often as aliases repeat it; the project's own has 650
TOO_DEEP = f"nested deeper than {DEEPEST} levels; allowed are as many"
PILE = re.compile(rf"(?:[\[{{]\s*){{{DEEPEST + 1}}}")  # opened one after another, which the library is slow to read


def read_yaml(path: Path, kind: Literal["safe", "rt"] = "safe") -> Any:
    """Return what a YAML file holds: in plain values, or in ruamel's own that know their lines.

    Raises:
        ValueError: it is no plain file, too large, or not YAML; the message names file and line.
    """
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe waits for ever, some devices never end
        raise ValueError(f"{path}: is no plain file; give one that holds YAML")
    with open_binary(path) as file:
        if len(file.read(LARGEST + 1)) > LARGEST:
            raise ValueError(f"{path}: has more than {LARGEST} bytes; allowed are as many, and comments count")
    return parse_yaml(read_text(path), str(path), kind)


def parse_yaml(text: str, where: str, kind: Literal["safe", "rt"] = "safe") -> Any:
    """Return what a YAML text holds.

    Args:
        where: what a message names as its file

    Raises:
        ValueError: it is not YAML, or goes beyond the limits.
    """
    try:
        _check_structure(text, where)
        return YAML(typ=kind).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ValueError(f"{where}:{line}: not YAML ({in_one_line(error.problem)})") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ValueError(f"{where}:{line}: not YAML (character {error.character:#04x} is not allowed)") from None
    except _Beyond as error:
        raise ValueError(str(error)) from None
    except (ValueError, ArithmeticError, LookupError, TypeError) as error:  # of a value, such as a date in month 13
        raise ValueError(f"{where}: holds a value that cannot be read ({in_one_line(error)})") from None


class _Beyond(ValueError):
    """A text goes beyond a limit; the message is whole."""


def _check_structure(text: str, where: str) -> None:
    """Go through the text without building anything of it, and stop where it passes a limit."""
    sizes: dict[str, int] = {}  # of what each anchor stands for
    opened: list[tuple[str | None, int]] = []  # anchor and values before it, of every list and mapping that is open
    values = 0
    if pile := PILE.search(text):
        raise _Beyond(f"{where}:{text.count(chr(10), 0, pile.start()) + 1}: {TOO_DEEP}")
    for event in YAML(typ="safe").parse(text):
        if isinstance(event, CollectionStartEvent):
            opened.append((event.anchor, values))
        elif isinstance(event, CollectionEndEvent):
            anchor, before = opened.pop()
            sizes |= {anchor: values - before} if anchor else {}
        elif isinstance(event, AliasEvent):
            if event.anchor not in sizes and event.anchor in [anchor for anchor, _ in opened]:
                raise _Beyond(f"{where}:{_line(event)}: *{in_one_line(event.anchor)} stands inside of what it repeats")
            values += sizes.get(event.anchor, 0)
        elif isinstance(event, ScalarEvent) and event.anchor:
            sizes[event.anchor] = 1
        values += isinstance(event, NodeEvent)
        if len(opened) > DEEPEST:
            raise _Beyond(f"{where}:{_line(event)}: {TOO_DEEP}")
        if values > MOST_VALUES:
            raise _Beyond(
                f"{where}:{_line(event)}: holds more than {MOST_VALUES} values, repeated ones counted each time"
            )


def _line(event: Event) -> int:
    return event.start_mark.line + 1


def in_one_line(fault: object, most: int = 200) -> str:
    """Return what a library says, or a text of the file, as it may stand in one line."""
    line = " ".join(str(fault).split())
    return "".join(c if c.isprintable() else "?" for c in line[:most]) + ("..." if len(line) > most else "")
