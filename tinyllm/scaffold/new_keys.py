"""An older params.yaml with the keys that a new version has besides: their lines are put in, and no other line changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ruamel.yaml.comments import CommentedMap

from tinyllm.params.yaml_file import parse_yaml

NAME = "params.yaml"


def with_new_keys(text: str, template: str) -> tuple[str, list[str]]:
    """Return the text with the keys that it lacks, as the template has them, and their dotted names.

    The registry of teachers is the user's own: nothing is added to it.

    Raises:
        ValueError: the file is laid out so that no line can be put into it, such as in braces.
    """
    here, there = parse_yaml(text, NAME, "rt"), parse_yaml(template, NAME, "rt")
    lines, own = text.splitlines(keepends=True), template.splitlines(keepends=True)
    added: list[str] = []
    for key, before, at in reversed(list(_missing(here, there, ""))):
        end = 0 if before is None else _block_end(lines, before)
        lines[end:end] = own[_with_comment(own, at) : _block_end(own, at)]
        added.insert(0, key)
    made = "".join(lines)
    if list(_missing(_parsed(made), there, "")):
        raise ValueError(
            f"{NAME}: lacks {', '.join(added)}; add them by hand, as `tinyllm init` writes them in a new project"
        )
    return made, added


def _missing(
    here: Any, there: CommentedMap, prefix: str, above: int | None = None
) -> Iterator[tuple[str, int | None, int]]:
    """Yield (dotted name, line of the key before it in `here`, line in `there`) of every missing key, in order."""
    for key, value in there.items():
        if key not in here:
            yield f"{prefix}{key}", above, there.lc.key(key)[0]
            continue
        above = here.lc.key(key)[0]
        if f"{prefix}{key}" != "teachers" and isinstance(value, CommentedMap) and isinstance(here[key], CommentedMap):
            yield from _missing(here[key], value, f"{prefix}{key}.", above)


def _parsed(text: str) -> Any:
    try:
        return parse_yaml(text, NAME, "rt")
    except ValueError:
        return {}


def _block_end(lines: Sequence[str], at: int) -> int:
    """Return the line behind a key and all that is below it."""
    depth, end = _depth(lines[at]), at + 1
    for number in range(at + 1, len(lines)):
        text = lines[number].strip()
        if not text or text.startswith("#"):
            continue
        if _depth(lines[number]) < depth or (_depth(lines[number]) == depth and not text.startswith("- ")):
            break
        end = number + 1
    return end


def _with_comment(lines: Sequence[str], at: int) -> int:
    """Return the first line of a key's block: that of the comment right above it, and of the blank line above a section."""
    start = at
    while start and lines[start - 1].lstrip().startswith("#") and _depth(lines[start - 1]) == _depth(lines[at]):
        start -= 1
    return start - 1 if start and not lines[start - 1].strip() else start


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
