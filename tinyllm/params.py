"""Read params.yaml and check it: every mistake is reported at once, with its place, before any work."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from tinyllm.jsonl import read_text
from tinyllm.settings import RELEASED, Hub, Params, Section, Student

PATH = Path("params.yaml")
SCORING = ("expert", "local")  # backends whose teachers tell how likely they find each option
PATTERNS = {  # what a text has to look like, by its key
    "revision": "a 40-digit commit, or null",
    "url": "an address that begins with http:// or https://",
    "key_variable": "the name of an environment variable (letters, digits, _), or null",
}
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")  # a dot would break DVC's params


def load_params(path: Path = PATH) -> Params:
    """Return the checked values of params.yaml.

    Raises:
        ValueError: one line a mistake: file, line, key, value found, what is allowed.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file; run it in the project's folder")
    values = read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: holds no sections; expected {', '.join(Params.model_fields)}")
    params, mistakes = check_values(values)
    if params is None:
        raise ValueError(in_lines(path, mistakes))
    return params


def in_lines(path: Path, mistakes: Iterable[tuple[tuple, str]]) -> str:
    """Return the mistakes of a YAML file, (keys, sentence) each, in a line each, with their places; none twice."""
    marked = read_yaml(path, "rt")
    lines = [f"{path}:{_line(marked, keys)}: {'.'.join(map(str, keys))}: {told}" for keys, told in mistakes]
    return "\n".join(dict.fromkeys(lines))


def read_yaml(path: Path, kind: Literal["safe", "rt"] = "safe") -> Any:
    """Return what a YAML file holds: in plain values, or in ruamel's own that know their lines.

    Raises:
        ValueError: it is not YAML; the message names file and line.
    """
    text = read_text(path)
    try:
        return YAML(typ=kind).load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ValueError(f"{path}:{line}: not YAML ({error.problem})") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ValueError(f"{path}:{line}: not YAML (character {error.character:#04x} is not allowed)") from None


def check_values(values: dict) -> tuple[Params | None, list[tuple[tuple, str]]]:
    """Return the params of what params.yaml holds, or None and every mistake as (keys, sentence)."""
    try:
        params = Params.model_validate(_tuples(values))
    except ValidationError as error:
        return None, [(_without_tags(e["loc"]), sentence(e)) for e in error.errors()]
    mistakes = list(cross_checks(params))
    return None if mistakes else params, mistakes


def cross_checks(params: Params) -> Iterable[tuple[tuple[str, ...], str]]:
    """Yield (keys, sentence) for every value that contradicts another."""
    yield from _check_teachers(params)
    yield from _check_option_probabilities(params)
    for seed, times in Counter(params.train.seeds).items():
        if times > 1:
            yield ("train", "seeds"), f"{seed} stands {times} times; seeds must differ"
    yield from _check_student(params.student)
    yield from _check_tuning(params.student)
    student = params.student
    if "{teacher}" not in student.rationale_prefix and len(params.corpus.teachers) > 1:
        yield ("student", "rationale_prefix"), "lacks {teacher}, so that several teachers would share one prefix"
    if student.rationale_prefix == student.answer_prefix:
        yield ("student", "rationale_prefix"), "equals answer_prefix; every task needs a prefix of its own"
    if params.data.dataset == "casebook" and params.data.casebook.fillers > params.data.casebook.filler_pool:
        yield ("data", "casebook", "fillers"), "is larger than filler_pool"
    if params.data.dataset == "hub":
        yield from _check_hub(params.data.hub)


def _check_hub(hub: Hub) -> Iterable[tuple[tuple[str, ...], str]]:
    if hub.revision is None and not Path(hub.path).is_dir():
        yield ("data", "hub", "revision"), "is null; pin the set to a 40-digit commit, so that the data cannot change"
    columns = hub.columns
    if columns.choices is None and columns.labels is not None:
        where = ("data", "hub", "columns", "labels")
        yield where, f"is {columns.labels}, but choices is null: free text has no labels; set it to null, too"


def _check_teachers(params: Params) -> Iterable[tuple[tuple[str, ...], str]]:
    used, known = params.corpus.teachers, list(params.teachers)
    for name in known:
        if not NAME.fullmatch(name) or name == "answer":
            yield (
                ("teachers", name),
                "is no name; allowed are letters, digits, _ and -, a letter first; `answer` is taken",
            )
    for name, times in Counter(used).items():
        where = ("corpus", "teachers")
        if times > 1:
            yield where, f"{name} stands {times} times; teachers must differ"
        if name not in known:
            yield where, f"{name} is not in the registry `teachers`; it has {', '.join(known)}"
        elif not _can_read(params.teachers[name].backend, params.data.dataset):
            yield (
                where,
                f"{name} (backend {params.teachers[name].backend}) has nothing to say on data.dataset {params.data.dataset}; "
                + _advice(params),
            )
    for name in params.loss.teacher_alpha:
        if name not in known:
            yield ("loss", "teacher_alpha", name), f"is no teacher; the registry has {', '.join(known)}"


def _check_student(student: Student) -> Iterable[tuple[tuple[str, ...], str]]:
    scratch = student.scratch
    if student.origin != "scratch" and student.model is None:
        yield ("student", "model"), f"is null, but student.origin is {student.origin}; give a hub id or a folder"
    if student.origin == "scratch" and scratch is None:
        yield (
            ("student", "scratch"),
            "is null, but student.origin is scratch; give vocabulary, width, layers, heads, ...",
        )
    if scratch is not None and scratch.width % scratch.heads:
        yield ("student", "scratch", "width"), f"{scratch.width} is no multiple of heads ({scratch.heads})"
    elif scratch is not None and scratch.architecture == "causal" and scratch.width // scratch.heads % 2:
        yield (
            ("student", "scratch", "width"),
            f"{scratch.width} over {scratch.heads} heads is {scratch.width // scratch.heads}; a Llama's need an even width",
        )
    if student.origin != "scratch":
        return
    if student.gguf_file is not None:
        yield ("student", "gguf_file"), f"is {student.gguf_file}, but student.origin is scratch; leave it empty"
    if student.chat:
        yield ("student", "chat"), "is true, but a scratch student has no chat template; set it to false"


def _check_tuning(student: Student) -> Iterable[tuple[tuple[str, ...], str]]:
    """An adapter that is saved alone names the model it belongs to, which so has to be one that others can load."""
    where: tuple[str, ...]
    if student.tuning == "prompt":
        where, alone, remedy = ("student", "tuning"), "prompt", "use full or lora"
    elif student.tuning == "lora" and student.lora.saved == "adapter":
        where, alone, remedy = ("student", "lora", "saved"), "adapter", "use merged"
    else:
        return
    if student.origin == "scratch":
        yield where, f"is {alone}, which is saved without its model, and a scratch student's is kept nowhere; {remedy}"
    elif student.gguf_file is not None:
        yield where, f"is {alone}, which is saved without its model and cannot name one in a .gguf file; {remedy}"


def _check_option_probabilities(params: Params) -> Iterable[tuple[tuple[str, ...], str]]:
    corpus, kd = params.corpus, params.loss.kd
    if kd and not corpus.teachers:
        yield ("loss", "kd"), f"is {kd}, but corpus.teachers is empty; name teachers to learn from, or set it to 0.0"
    elif kd and not corpus.option_probabilities:
        yield ("loss", "kd"), f"is {kd}, but corpus.option_probabilities is false; set that to true, or loss.kd to 0.0"
    for name in corpus.teachers if corpus.option_probabilities else ():
        if name in params.teachers and params.teachers[name].backend not in SCORING:
            yield (
                ("corpus", "option_probabilities"),
                f"is true, but {name} (backend {params.teachers[name].backend}) cannot tell how likely it finds an option; "
                f"backends that can: {', '.join(SCORING)}",
            )


def _can_read(backend: str, dataset: str) -> bool:
    """Experts know casebook alone, and casebook comes with no recorded rationales; a live teacher reads anything."""
    return backend in ("local", "server") or (backend == "expert") == (dataset == "casebook")


def _advice(params: Params) -> str:
    dataset = params.data.dataset
    if dataset == "casebook":
        return "casebook is read by teachers with backend expert"
    if dataset in RELEASED:
        return "the released sets have -S 'corpus.teachers=[flan_t5_xl,llama2_chat_7b]'"
    return "name teachers with backend recorded, or none with -S 'corpus.teachers=[]'"


def _tuples(value: Any) -> Any:
    """Lists become tuples: frozen values hold frozen values."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def sentence(error: Any, root: type[Section] = Params) -> str:
    """What one of pydantic's errors says of a value below `root`."""
    if error["type"] == "extra_forbidden":
        if len(error["loc"]) == 1 and isinstance(error["input"], dict) and "backend" in error["input"]:
            return "unknown section; a teacher stands under `teachers`, two spaces further in"
        return f"unknown key{_did_you_mean(_without_tags(error['loc']), root)}"
    if error["type"] == "missing":
        return "is missing; the file must hold every value"
    if error["type"].startswith("union_tag"):
        return f"{error['msg'][0].lower()}{error['msg'][1:]}"
    if error["type"] == "string_pattern_mismatch":
        return f"found {error['input']!r}; allowed is {PATTERNS[error['loc'][-1]]}"
    allowed = error["msg"].replace("Input should be ", "").replace("Input should have ", "")
    return f"found {_shown(error['input'])}; allowed is {allowed}"


def _shown(value: Any) -> str:
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
