"""Read params.yaml and check it: every mistake is reported at once, with its place, before any work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from tinyllm.params.checks import cross_checks
from tinyllm.params.schema import Params
from tinyllm.params.value_types import Section
from tinyllm.params.yaml_file import in_one_line, read_yaml

PATH = Path("params.yaml")
PATTERNS = {  # what a text has to look like, by its key
    "revision": "a 40-digit commit, or null",
    "key_variable": "the name of an environment variable (letters, digits, _), or null",
}
KINDS = {  # what the library calls by Python's names, by the type of its error
    "too_short": "a list of at least 1 item",
    "tuple_type": "a list",
    "string_too_short": "a text of at least 1 character",
    "invalid_key": "keys that are texts",
}
MOST_LINES = 30  # mistakes that are told
LONGEST = 1000  # characters of what is told of each; every name of a teacher may be listed
QUOTE = "'"  # the library's around a name
REMOVED = {  # what an older params.yaml may still hold, by its place
    ("runtime", "accelerate_config"): "was removed; delete it, and set runtime.processes, which torchrun starts",
}


def load_params(path: Path = PATH) -> Params:
    """Return the checked values of params.yaml.

    Raises:
        ValueError: one line a mistake: file, line, key, value found, what is allowed.
    """
    return read_params(path)[0]


def read_params(path: Path = PATH) -> tuple[Params, dict[str, Any]]:
    """Return the checked values of params.yaml, and the same as the file has them; it is read once.

    Raises:
        ValueError: as `load_params`.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file; run it in the project's folder")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: holds no sections; expected {', '.join(Params.model_fields)}")
    params, mistakes = check_values(values)
    if params is None:
        raise ValueError(in_lines(path, mistakes))
    return params, values


def in_lines(path: Path, mistakes: Iterable[tuple[tuple, str]]) -> str:
    """Return the mistakes of a YAML file, (keys, sentence) each, in a line each, with their places; none twice."""
    marked = read_yaml(path, "rt")
    found = [
        f"{path}:{_line(marked, keys)}: {'.'.join(map(_as_key, keys))}: {in_one_line(text, LONGEST)}"
        for keys, text in mistakes
    ]
    lines = list(dict.fromkeys(found))
    more = [f"{path}: {len(lines) - MOST_LINES} more mistakes; mend these first"] if len(lines) > MOST_LINES else []
    return "\n".join([*lines[:MOST_LINES], *more])


def check_values(values: dict) -> tuple[Params | None, list[tuple[tuple, str]]]:
    """Return the params of what params.yaml holds, or None and every mistake as (keys, sentence)."""
    try:
        params = Params.model_validate(_tuples(values))
    except ValidationError as error:
        return None, [(_without_tags(e["loc"]), sentence(e)) for e in first_causes(error.errors())]
    mistakes = list(cross_checks(params))
    return None if mistakes else params, mistakes


def first_causes(errors: Sequence[Any]) -> list[Any]:
    """Return pydantic's errors without what only follows from one inside: a list whose one item is bad is not too short."""
    inside = {e["loc"][:length] for e in errors for length in range(len(e["loc"]))}
    return [e for e in errors if e["loc"] not in inside or e["type"] != "too_short"]


def _tuples(value: Any) -> Any:
    """Lists become tuples: frozen values hold frozen values."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def sentence(error: Any, root: type[Section] = Params) -> str:
    """What one of pydantic's errors says of a value below `root`."""
    if error["type"] == "extra_forbidden":
        if error["loc"] in REMOVED:
            return REMOVED[error["loc"]]
        if len(error["loc"]) == 1 and isinstance(error["input"], dict) and "backend" in error["input"]:
            return "unknown section; a teacher stands under `teachers`, two spaces further in"
        return f"unknown key{_did_you_mean(_without_tags(error['loc']), root)}"
    if error["type"] == "missing":
        return "is missing; the file must hold every value"
    if error["type"] == "union_tag_not_found":
        return f"has no {error['ctx']['discriminator'].strip(QUOTE)}; it says what kind of teacher this is"
    if error["type"] == "union_tag_invalid":
        return _wrong_tag(error["ctx"])
    if error["type"] == "string_pattern_mismatch":
        return f"found {error['input']!r}; allowed is {PATTERNS[error['loc'][-1]]}"
    if error["type"] in KINDS:
        return f"found {_shown(error['input'])}; allowed is {KINDS[error['type']]}"
    allowed = error["msg"].replace("Input should be ", "").replace("Input should have ", "")
    return f"found {_shown(error['input'])}; allowed is {allowed}"


def _wrong_tag(context: dict[str, str]) -> str:
    name, allowed = context["discriminator"].strip(QUOTE), context["expected_tags"].replace(QUOTE, "").split(", ")
    close = get_close_matches(context["tag"], allowed, n=1)
    advice = f"; did you mean {close[0]}?" if close else ""
    return f"{name} is {_shown(context['tag'])}; allowed are {', '.join(allowed)}{advice}"


def _as_key(key: object) -> str:
    """A key of the file, which can be any text, as it may stand in a line."""
    text = str(key)
    return text if text.isprintable() and len(text) <= 80 else repr(text)[:80]


def _shown(value: object) -> str:
    return "null" if value is None else repr(list(value) if isinstance(value, tuple) else value)[:80]


def _did_you_mean(keys: tuple, root: type[Section]) -> str:
    model: Any = root
    for key in keys[:-1]:
        field = model.model_fields.get(key) if isinstance(model, type) and issubclass(model, Section) else None
        candidates = [a for a in (getattr(field.annotation, "__args__", None) or [field.annotation])] if field else []
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, Section)), None)
        if model is None:
            return ""
    close = get_close_matches(str(keys[-1]), list(model.model_fields), n=1)
    return f"; did you mean {close[0]}?" if close else f"; allowed are {', '.join(model.model_fields)}"


def _without_tags(keys: tuple) -> tuple:
    """Drop what pydantic adds to a path: the name of a union's member."""
    if keys[:1] == ("teachers",) and len(keys) > 2:
        return (*keys[:2], *keys[3:]) if keys[2] in ("expert", "recorded", "local", "server") else keys
    return keys


def _line(marked: Any, keys: tuple) -> int:
    """The line of the deepest part of `keys` that the file has."""
    line = 1
    for key in keys:
        if isinstance(marked, CommentedMap) and key in (marked.lc.data or {}):  # not so is a key that `<<` brings in
            line = marked.lc.key(key)[0] + 1
        elif isinstance(marked, CommentedSeq) and isinstance(key, int) and key < len(marked):
            line = marked.lc.item(key)[0] + 1
        else:
            break
        marked = marked[key]
    return line
