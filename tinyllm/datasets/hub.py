"""Any set of questions that Hugging Face `datasets` can open, its columns mapped to questions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from tinyllm.datasets.rows import BadRow, Numbered, add_recorded, rationales_of, sift, with_context
from tinyllm.params.schema import Hub, HubColumns
from tinyllm.records.questions import Question


class HubSet(NamedTuple):
    """The questions by split, the rows of recorded teachers by name, and the rows that are no question."""

    splits: dict[str, list[Question]]
    recorded: dict[str, list[dict]]
    bad: list[BadRow]


def load_hub(settings: Hub, split_head: bool = False) -> HubSet:
    """Return the checked questions of every split; an id becomes `split-id`, so that ids differ between splits.

    Where `columns.answer` is itself one of several `columns.choices` (SciQ's `correct_answer`), the gold option would
    always stand in the same place: such options are put in an order drawn from the question's text and their own.

    Args:
        split_head: whether the head of a question is its context

    Raises:
        ValueError: the revision is not pinned, the set cannot be opened, or a column or split is not there;
            one line that names the key.
    """
    builder = _open(settings)
    questions: dict[str, list[Question]] = {}
    recorded: dict[str, list[dict]] = {}
    bad: list[BadRow] = []
    for split in ("train", "valid", "test"):
        part: str = getattr(settings.splits, split)
        rows = _select(builder, split, part)
        _check_columns(settings.columns, _column_paths(rows.features), split)
        names = label_names(rows.features, settings.columns.answer)
        used = [path for _, path in _paths_used(settings.columns)]
        rows = rows.select_columns(sorted({path if path in rows.features else path.split(".")[0] for path in used}))
        source = f"{settings.path} {part}"
        rationales: dict[int, dict[str, list[str | None]]] = {}
        parsed, refused = sift(_rows(rows, settings.columns, names, source, split_head, rationales), source)
        named = {number: replace(question, id=f"{split}-{question.id}") for number, question in parsed.items()}
        questions[split] = list(named.values())
        bad += refused
        if split != "test":
            add_recorded(recorded, named, rationales)
    return HubSet(questions, recorded, bad)


def _rows(
    rows: Iterable[dict],
    columns: HubColumns,
    names: Sequence[str] | None,
    source: str,
    split_head: bool,
    rationales: dict[int, dict[str, list[str | None]]],
) -> Iterator[Numbered]:
    """Yield the fields of a question of each row; its rationales are put into `rationales`."""
    for number, row in enumerate(rows, start=1):
        where = f"{source}:{number}"
        try:
            fields = _plain(row, number, columns, names, where)
            rationales[number] = rationales_of({name: _value(row, path) for name, path in columns.rationales.items()})
        except ValueError as error:
            yield number, BadRow(source, number, str(error).removeprefix(f"{where}: "))
        else:
            yield number, with_context(fields) if split_head else fields


def label_names(features: Mapping[str, Any], path: str) -> Sequence[str] | None:
    """Return the names of a column's labels, which its rows have by number; None of any other column."""
    feature: Any = features.get(path)
    if feature is None:
        feature = features
        for name in path.split("."):
            feature = feature.get(name) if isinstance(feature, Mapping) else None
            feature = getattr(feature, "feature", feature)
    names = getattr(feature, "names", None)
    return names if isinstance(names, list) else None


def _open(settings: Hub) -> Any:
    folder = Path(settings.path).expanduser()
    local = folder.is_dir()
    if not local and not re.fullmatch(r"[0-9a-f]{40}", settings.revision or ""):
        raise ValueError(
            f"data.hub.revision: found {settings.revision or 'null'}; data.hub.path {settings.path} is no folder here, "
            "and a set from the hub needs the 40 digits of a commit"
        )
    import datasets  # half a second, and only this function needs it

    # No script of the set is ever run: datasets 4 and later have no way to do so.
    path = str(folder.resolve()) if local else settings.path  # absolute: `json` alone would name one of its loaders
    try:
        builder = datasets.load_dataset_builder(path, settings.name or None, revision=settings.revision or None)
        builder.download_and_prepare()
    except Exception as error:  # a dozen unrelated classes, all of them about the set that the params name
        raise ValueError(
            f"data.hub: cannot load path {settings.path}, name {settings.name or 'null'}, "
            f"revision {settings.revision or 'null'}: {_reason(error)}; check these three keys and the connection"
        ) from error
    return builder


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:  # the library's own message only says that an error occurred
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _select(builder: Any, split: str, part: str) -> Any:
    try:
        return builder.as_dataset(split=part)
    except ValueError as error:
        raise ValueError(
            f"data.hub.splits.{split}: found {part!r} ({_reason(error)}); there are {', '.join(builder.info.splits)}, "
            "and a slice is written train[:10%]"
        ) from None


def _column_paths(features: Mapping[str, Any], prefix: str = "") -> dict[str, bool]:
    """Map every column's dotted path to whether it holds a value (True) or only other columns (False)."""
    paths: dict[str, bool] = {}
    for name, feature in features.items():
        inner = getattr(feature, "feature", feature)  # a list of structs is descended like a struct of lists
        paths[prefix + name] = not isinstance(inner, Mapping)
        if isinstance(inner, Mapping):
            paths |= _column_paths(inner, f"{prefix}{name}.")
    return paths


def _paths_used(columns: HubColumns) -> Iterator[tuple[str, str]]:
    """Yield (key, dotted path) of every column to be read."""
    yield "question", columns.question
    for path in _split_list(columns.choices or ""):
        yield "choices", path
    yield "answer", columns.answer
    if columns.labels and "," not in columns.labels:
        yield "labels", columns.labels
    if columns.context:
        yield "context", columns.context
    if columns.id:
        yield "id", columns.id
    for name, path in columns.rationales.items():
        yield f"rationales.{name}", path


def _split_list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")] if text else []


def _check_columns(columns: HubColumns, paths: Mapping[str, bool], split: str) -> None:
    there = ", ".join(path for path, holds_value in paths.items() if holds_value)
    for key, path in _paths_used(columns):
        if path not in paths:
            raise ValueError(f"data.hub.columns.{key}: found {path!r}; columns of split {split}: {there}")
        if not paths[path]:
            raise ValueError(f"data.hub.columns.{key}: {path!r} holds other columns; columns of split {split}: {there}")


def _plain(row: dict, number: int, columns: HubColumns, names: Sequence[str] | None, where: str) -> dict:
    """Return one row with the fields that `parse_questions` checks.

    Args:
        names: of the answer's labels, where it is a number that stands for one
    """
    spread = _split_list(columns.choices or "")
    choices = _value(row, spread[0]) if len(spread) == 1 else [_value(row, path) for path in spread]
    question, answer = _value(row, columns.question), _value(row, columns.answer)
    if names is not None:
        answer = _named(answer, names, choices, columns, where)
    if columns.labels:
        answer = _labelled(row, choices, answer, columns.labels, where)
    elif len(spread) > 1 and columns.answer in spread:
        choices = sorted(choices, key=lambda choice: hashlib.sha256(f"{question}\n{choice}".encode()).digest())
    context = _value(row, columns.context) if columns.context else ""
    if isinstance(context, list) and all(isinstance(part, str) for part in context):
        context = "\n".join(context)
    return {
        "id": _value(row, columns.id) if columns.id else number,
        "question": question,
        "choices": choices,
        "answer": answer,
        "context": "" if context is None else context,
    }


def _named(answer: Any, names: Sequence[str], choices: Any, columns: HubColumns, where: str) -> Any:
    """Return the name of a label; it names an option by its text, or by one of `columns.labels`."""
    if not isinstance(answer, int) or not 0 <= answer < len(names):
        raise ValueError(f"{where}: answer {answer!r} is no label; there are {', '.join(names)}")
    name = names[answer]
    if columns.choices and not columns.labels and isinstance(choices, list) and name not in choices:
        raise ValueError(
            f"{where}: the answer's label is {name!r}, of {', '.join(names)}, but the choices are {choices}; name the options' "
            f"labels in their order in data.hub.columns.labels, such as {','.join(names)}"
        )
    return name


def _labelled(row: dict, choices: Any, answer: Any, spec: str, where: str) -> int:
    """Return the index of the option whose label is the answer."""
    literal = "," in spec
    labels = _split_list(spec) if literal else _value(row, spec)
    if not isinstance(labels, list) or not isinstance(choices, list) or len(labels) != len(choices):
        raise ValueError(f"{where}: labels {labels!r}, choices {choices!r}; data.hub.columns.labels must give one each")
    if literal:
        answer = str(answer)  # 1 and "1" are one label here, since params can only write the text
    if labels.count(answer) != 1:
        raise ValueError(f"{where}: answer {answer!r}; data.hub.columns.answer must hold one of the labels {labels}")
    return labels.index(answer)


def _value(row: Any, path: str) -> Any:
    """Return what stands at a dotted path; a list on the way is descended item by item."""
    if isinstance(row, list):
        return [_value(item, path) for item in row]
    if row is None or path in row:  # a column's own name may have a dot in it
        return None if row is None else row[path]
    name, _, rest = path.partition(".")
    return _value(row[name], rest)
