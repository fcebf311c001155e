"""Any set of questions that Hugging Face `datasets` can open, its columns mapped to questions."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tinyllm.datasets.rows import BadRow, Numbered, add_recorded, rationales_of, sift, with_context
from tinyllm.params.schema import Hub, HubColumns
from tinyllm.project import home_path
from tinyllm.records.questions import Question, collapse_whitespace
from tinyllm.records.seen_text import seen_text

FORMATS = (
    "parquet",
    "json",
    "csv",
    "arrow",
    "text",
    "cache",
)  # as `datasets` calls them; the last is what it has prepared


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
        names = _all_label_names(rows.features, settings.columns)
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
    names: Mapping[str, Sequence[str]],
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


def _all_label_names(features: Mapping[str, Any], columns: HubColumns) -> dict[str, Sequence[str]]:
    """Return the names of the labels of every column used whose rows have labels by number."""
    names = {path: label_names(features, path) for _, path in _paths_used(columns)}
    return {path: of_column for path, of_column in names.items() if of_column is not None}


def label_names(features: Mapping[str, Any], path: str) -> Sequence[str] | None:
    """Return the names of a column's labels, which its rows have by number, alone or in lists; None of any other column."""
    feature: Any = features
    for name in [path] if path in features else path.split("."):
        feature = feature.get(name) if isinstance(feature, Mapping) else None
        while (inner := getattr(feature, "feature", None)) is not None:
            feature = inner
    names = getattr(feature, "names", None)
    return names if isinstance(names, list) else None


def _open(settings: Hub) -> Any:
    folder = home_path(settings.path, "data.hub.path")
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
        _check_format(builder)
        builder.download_and_prepare()
    except Exception as error:  # a dozen unrelated classes, all of them about the set that the params name
        raise ValueError(
            f"data.hub: cannot load path {settings.path}, name {settings.name or 'null'}, "
            f"revision {settings.revision or 'null'}: {_reason(error)}; check these three keys and the connection"
        ) from error
    return builder


def _check_format(builder: Any) -> None:
    """Refuse what is no table of texts: the readers of other formats do more than read."""
    package, _, module = type(builder).__module__.rpartition(".")
    if not package.startswith("datasets.packaged_modules.") or module not in FORMATS:
        raise ValueError(f"its files are read as {module}; allowed are {', '.join(FORMATS)}")


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


def _plain(row: dict, number: int, columns: HubColumns, names: Mapping[str, Sequence[str]], where: str) -> dict:
    """Return one row with the fields that `parse_questions` checks.

    Args:
        names: by column the names of its labels, where it holds their numbers
    """

    def value(path: str) -> Any:
        return _by_name(_value(row, path), names.get(path))

    spread = _split_list(columns.choices or "")
    choices = value(spread[0]) if len(spread) == 1 else [value(path) for path in spread]
    question, answer = value(columns.question), value(columns.answer)
    if columns.answer in names:
        _check_named(answer, names[columns.answer], choices, columns, where)
    if columns.labels:
        labels = _split_list(columns.labels) if "," in columns.labels else value(columns.labels)
        answer = _labelled(labels, choices, answer, "," in columns.labels, where)
    elif len(spread) > 1 and columns.answer in spread:
        choices = sorted(choices, key=lambda choice: hashlib.sha256(f"{question}\n{choice}".encode()).digest())
    context = value(columns.context) if columns.context else ""
    if isinstance(context, list) and all(isinstance(part, str) for part in context):
        context = "\n".join(context)
    return {
        "id": value(columns.id) if columns.id else number,
        "question": question,
        "choices": choices,
        "answer": answer,
        "context": "" if context is None else context,
    }


def _by_name(value: Any, names: Sequence[str] | None) -> Any:
    """Return the names of labels that are given by number; what is none of these numbers stays."""
    if names is None:
        return value
    if isinstance(value, list):
        return [_by_name(item, names) for item in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def _check_named(answer: Any, names: Sequence[str], choices: Any, columns: HubColumns, where: str) -> None:
    """Refuse a label that names no option, be it by the option's text or by one of `columns.labels`."""
    if not isinstance(answer, str):
        raise ValueError(f"{where}: answer {answer!r} is no label; there are {', '.join(names)}")
    if not columns.choices or columns.labels or not isinstance(choices, list):
        return
    if seen_text(collapse_whitespace(answer)) not in [
        seen_text(collapse_whitespace(str(choice))) for choice in choices
    ]:
        raise ValueError(
            f"{where}: the answer's label is {answer!r}, of {', '.join(names)}, but the choices are {choices}; name the "
            f"options' labels in their order in data.hub.columns.labels, such as {','.join(names)}"
        )


def _labelled(labels: Any, choices: Any, answer: Any, literal: bool, where: str) -> int:
    """Return the index of the option whose label is the answer.

    Args:
        literal: whether the params write out the labels
    """
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
