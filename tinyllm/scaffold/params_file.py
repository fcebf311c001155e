"""A project's params.yaml: the repository's own with the user's questions and teachers in it, all comments kept."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from ruamel.yaml import YAML

from tinyllm.params.checks import name_fault
from tinyllm.params.load import check_values
from tinyllm.params.yaml_file import parse_yaml

PATTERNS = {
    "server": "endpoint",
    "local": "flan_t5_xl_live",
}  # the entry that a new teacher of this backend is a copy of
OPTION = "--teacher"
FORMS = "NAME of params.yaml or of recorded rationales, NAME=URL,MODEL or NAME=local,MODEL"


def project_params(text: str, folder: str, teachers: Sequence[str], entries: Mapping[str, str]) -> str:
    """Return a project's params.yaml.

    Args:
        text: of the repository's own
        folder: of the questions, in the project
        teachers: names, in the order of `corpus.teachers`
        entries: by name the lines of the teachers that are to be added

    Raises:
        ValueError: a teacher cannot be asked these questions; a line each, without a place in the file, which is not written.
    """
    text = _replaced(r"^  dataset: \w+ *", "  dataset: jsonl", text)
    text = _replaced(r"^  folder: \S+ *", f"  folder: {folder}", text)
    listed = "".join(f"\n  - {name}" for name in teachers) or " []"
    text = _replaced(r"^  teachers:(\n  - \S+)+", f"  teachers:{listed}", text)
    text = _replaced(r"^teachers:\n", f"teachers:\n{''.join(entries.values())}", text)
    params, mistakes = check_values(parse_yaml(text, "params.yaml"))
    if params is None:
        raise ValueError("\n".join(f"{'.'.join(map(str, keys))}: {fault}" for keys, fault in mistakes))
    return text


def new_teacher(asked: str, text: str) -> tuple[str, str]:
    """Return name and entry of a teacher that `--teacher NAME=URL,MODEL` or `NAME=local,MODEL` asks for.

    Args:
        text: of the repository's params.yaml, whose entry it is a copy of

    Raises:
        ValueError: it has not one of these forms; one line.
    """
    name, _, place = asked.partition("=")
    address, _, model = place.partition(",")
    if not model or not (address == "local" or re.match("https?://", address)):
        raise ValueError(f"{OPTION} {asked}: allowed are {FORMS}; a URL begins with http:// or https://")
    if fault := name_fault(name):
        raise ValueError(f"{OPTION} {asked}: {name!r:.80} {fault}")
    backend = "local" if address == "local" else "server"
    pattern = PATTERNS[backend]
    entry = re.search(rf"^  {pattern}:.*\n((?:    .*\n)+)", text, re.MULTILINE)
    assert entry, f"params.yaml has no teacher {pattern}"
    values = {"model": model, "parameters": None} | ({"url": address} if backend == "server" else {})
    lines = entry[1]
    for key, value in values.items():
        lines = _replaced(
            rf"^    {key}: *[^\s#]+ *", f"    {key}:{'' if value is None else ' ' + _scalar(value)}", lines
        )
    return name, f"  {name}:\n{lines}"


def recorded_teacher(name: str) -> str:
    """Return the entry of a teacher whose rationales the questions came with."""
    return f"  {name}:\n    backend: recorded  # its rationales came with the questions\n    parameters:\n"


def _replaced(pattern: str, new: str, text: str) -> str:
    """Replace the first match; blanks that the pattern ends in are filled up again, so that comments keep their column."""

    def fill(old: re.Match[str]) -> str:
        return new.ljust(len(old[0])) if old[0].endswith(" ") else new

    changed, count = re.subn(pattern, fill, text, count=1, flags=re.MULTILINE)
    assert count, f"params.yaml: nothing is {pattern}"
    return changed


def _scalar(text: str) -> str:
    """A text as YAML has it: plain where that reads the same."""
    plain = re.fullmatch(r"[A-Za-z][\w./:@+-]*[\w/]", text) and YAML(typ="safe").load(text) == text
    return text if plain else json.dumps(text)
