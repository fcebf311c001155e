"""Load the question set that the params name: generated, released with the paper, the user's own, or from the hub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tinyllm.casebook import world as casebook
from tinyllm.console import one_line
from tinyllm.datasets import hub, release, strong
from tinyllm.datasets.rows import (
    FIELDS,
    SHOWN,
    BadRow,
    Numbered,
    add_recorded,
    rationales_of,
    read_rows,
    sift,
    unknown_field,
    with_context,
)
from tinyllm.params.checks import name_fault
from tinyllm.params.schema import Data, Take
from tinyllm.params.teacher_entries import PUBLIC, RELEASED
from tinyllm.records.questions import Question, describe_kind
from tinyllm.records.rationales import check_rationales
from tinyllm.records.same_question import question_key

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class QuestionSet:
    """Questions by split, and by recorded teacher its rows of `id`, `rationale`, `status`.

    Args:
        terms: the licence
        bad: the rows that are no question, left out
        notes: what else there is to say of the files, a line each
    """

    splits: dict[str, list[Question]]
    recorded: dict[str, list[dict]] = field(default_factory=dict)
    terms: str = ""
    bad: list[BadRow] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load_set(data: Data, teachers: Sequence[str] = ()) -> QuestionSet:
    """Return the whole set, every question checked; a split may be empty where all of its rows are bad.

    Args:
        teachers: recorded ones that are wanted of a public set. Others are not fetched; the release's own come with it.

    Raises:
        ValueError: a part of it is missing or cannot be fetched; the message names file or key.
    """
    if data.dataset == "casebook":
        loaded = QuestionSet(casebook.make_splits(casebook.World(seed=data.seed, **data.casebook.model_dump())))
    elif data.dataset in PUBLIC:
        loaded = load_public(data.dataset, teachers)
    elif data.dataset == "hub":
        found = hub.load_hub(data.hub, data.split_context)
        loaded = QuestionSet(found.splits, found.recorded, bad=found.bad)
    else:
        loaded = load_folder(Path(data.folder), data.split_context)
    _check_kinds(loaded.splits)
    return loaded


def stop_at_bad(data: Data) -> bool:
    """Whether bad rows are refused: those of a set that its owner can mend; public ones leave out their few."""
    return data.on_bad_row == "stop" and data.dataset not in PUBLIC


def load_public(dataset: str, teachers: Sequence[str]) -> QuestionSet:
    """Return a public set with those of its recorded teachers that are wanted; other names are none of its affair.

    Raises:
        ValueError: a file cannot be fetched or read.
    """
    offered = recorded_teachers(dataset)
    recorded: dict[str, list[dict]] = {}
    notes: list[str] = []
    positions: Mapping[int, Question] = {}
    if dataset in RELEASED:
        released = release.load_release(dataset)
        splits, recorded, bad = released.splits, released.rationales, released.bad
        terms, notes = release.TERMS[dataset], released.notes
        notes += [release.LLAMA_NOTE] if "llama2_chat_7b" in teachers else []
    else:
        found = strong.load_svamp() if dataset == "svamp" else strong.load_csqa()
        splits, bad, positions, terms = found.splits, found.bad, found.by_position, strong.TERMS[dataset]
    for teacher in teachers:
        if teacher in offered and teacher not in recorded:
            recorded[teacher] = strong.load_recording(dataset, teacher, splits, positions)
            notes.append(f"{teacher}: {strong.RECORDINGS[dataset][teacher].terms}")
    notes.append(f"teachers whose rationales are recorded with {dataset}: {', '.join(offered) or 'none'}")
    return QuestionSet(splits, recorded, terms, bad, notes)


def recorded_teachers(dataset: str) -> tuple[str, ...]:
    """Return the names of the teachers whose rationales a public set has."""
    return (*(release.TEACHERS if dataset in RELEASED else ()), *strong.RECORDINGS.get(dataset, ()))


def load_folder(folder: Path, split_context: bool = False) -> QuestionSet:
    """Read train.jsonl, valid.jsonl, test.jsonl and, where they exist, rationales/TEACHER.jsonl.

    A row may hold rationales, too, as `"rationales": {TEACHER: text}`.

    Args:
        split_context: whether the head of `question` is its context

    Raises:
        ValueError: the folder or one of the three files is missing or empty, or a rationale's row is faulty.
    """
    if not folder.is_dir():
        raise ValueError(f"data.folder: {folder} is no folder; it must hold train.jsonl, valid.jsonl and test.jsonl")
    splits: dict[str, list[Question]] = {}
    recorded: dict[str, list[dict]] = {}
    bad: list[BadRow] = []
    notes: list[str] = []
    places: dict[str, str] = {}  # of every id, over all splits
    sources: dict[str, list[str]] = {}  # by teacher, the files whose rows have rationales of it
    for split in SPLITS:
        path = folder / f"{split}.jsonl"
        unread: Counter[str] = Counter()
        rationales: dict[int, dict[str, list[str | None]]] = {}
        rows = _own_rows(read_rows(path), str(path), split_context, unread, rationales)
        questions, refused = sift(rows, str(path))
        refused += _known_ids(questions, str(path), places)
        splits[split] = list(questions.values())
        bad += refused
        if unread:
            names = ", ".join(f"{one_line(name, 80)} ({count} rows)" for name, count in unread.most_common(SHOWN))
            notes.append(f"{path}: fields that are not read: {names}")
        if split != "test":
            add_recorded(recorded, questions, rationales)
            for teacher in dict.fromkeys(name for number in questions for name in rationales.get(number, {})):
                sources.setdefault(teacher, []).append(str(path))
    recorded |= _read_recordings(folder / "rationales", sources)
    return QuestionSet(splits, recorded, bad=bad, notes=notes)


def read_file(path: Path) -> tuple[dict[int, Question], list[BadRow]]:
    """Return the questions of one file by row, and the rows that are none.

    Raises:
        ValueError: the file is missing or empty.
    """
    return sift(_own_rows(read_rows(path), str(path), False, Counter(), {}), str(path))


def _read_recordings(folder: Path, sources: Mapping[str, Sequence[str]]) -> dict[str, list[dict]]:
    """Return by teacher the checked rows of TEACHER.jsonl.

    Args:
        sources: by teacher, the files of questions whose rows have rationales of it
    """
    recorded = {}
    for path in sorted(folder.glob("*.jsonl")):
        if fault := name_fault(path.stem):
            raise ValueError(f"{folder}: of the file {path.name!r:.80} what stands before .jsonl {fault}")
        if path.stem in sources:
            inside = " and ".join(sources[path.stem])
            raise ValueError(f"{path}: the rows of {inside} have rationales of {path.stem}, too; allowed is one place")
        numbered = list(read_rows(path))
        if faulty := next((row for _, row in numbered if isinstance(row, BadRow)), None):
            raise ValueError(str(faulty))
        kept = [_recorded_row(row, f"{path}:{number}") for number, row in numbered if isinstance(row, dict)]
        recorded[path.stem] = check_rationales(kept, str(path))
    return recorded


def _own_rows(
    rows: Iterable[Numbered],
    source: str,
    split_context: bool,
    unread: Counter[str],
    rationales: dict[int, dict[str, list[str | None]]],
) -> Iterator[Numbered]:
    """Yield the rows without what is no part of a question: that is put where it belongs."""
    for number, row in rows:
        if isinstance(row, BadRow):
            yield number, row
            continue
        fault = unknown_field(row)
        if fault is None:
            try:
                if said := rationales_of(row.get("rationales")):
                    rationales[number] = said
            except ValueError as error:
                fault = str(error)
        if fault:
            yield number, BadRow(source, number, fault)
            continue
        unread.update(name for name in row if name not in FIELDS)
        fields = {name: value for name, value in row.items() if name in FIELDS and name != "rationales"}
        yield number, with_context(fields) if split_context else fields


def _known_ids(questions: dict[int, Question], source: str, places: dict[str, str]) -> list[BadRow]:
    """Take out the questions whose id another split has, and return their rows: rationales are looked up by id alone."""
    bad = []
    for number, question in list(questions.items()):
        first = places.setdefault(question.id, f"{source}:{number}")
        if first != f"{source}:{number}":
            bad.append(BadRow(source, number, f"id {question.id!r} is in {first} too; ids must differ between splits"))
            del questions[number]
    return bad


def _recorded_row(row: dict, where: str) -> dict:
    if lacking := [field for field in ("id", "rationale") if field not in row]:
        raise ValueError(f"{where}: no field {lacking[0]!r}, found are {', '.join(row)}; a row has id and rationale")
    if not isinstance(row["id"], (str, int)) or not isinstance(row["rationale"], (str, type(None))):
        raise ValueError(f"{where}: a row has id (text or whole number) and rationale (text or null)")
    text = (row["rationale"] or "").strip()
    status = row.get("status", "ok" if text else "missing")
    sample = {} if row.get("sample") is None else {"sample": row["sample"]}
    return {"id": str(row["id"]), **sample, "rationale": text or None, "status": status}


def without_question(loaded: QuestionSet) -> dict[str, list[str]]:
    """Return by teacher the ids of rationales without a question in the set, in order; a teacher without any is left out."""
    known = {question.id for questions in loaded.splits.values() for question in questions}
    lost = {teacher: [row["id"] for row in rows if row["id"] not in known] for teacher, rows in loaded.recorded.items()}
    return {teacher: ids for teacher, ids in lost.items() if ids}


def prepare(whole: dict[str, list[Question]], take: Take, drop: bool) -> tuple[dict[str, list[Question]], dict]:
    """Return the splits as used, and their counts (metrics/questions.json).

    Train first loses the questions that valid or test have too. Then each split is cut to the number in `take`. Leaks are
    searched for in the whole of valid and test: a smaller test leaves train as it is.

    Args:
        drop: whether train loses its leaks; they are counted anyway

    Raises:
        ValueError: nothing is left of train.
    """
    keys = {split: [question_key(question) for question in whole[split]] for split in SPLITS}
    held_out = {*keys["valid"], *keys["test"]}
    train = [question for question, key in zip(whole["train"], keys["train"], strict=True) if key not in held_out]
    dropped = len(whole["train"]) - len(train) if drop else 0
    kept = {**whole, "train": train if drop else whole["train"]}
    if not kept["train"]:
        raise ValueError("train: every question stands in valid or test too; nothing is left to learn from")
    used = {split: kept[split][: getattr(take, split)] for split in SPLITS}
    known = set(keys["train"])
    counts = {
        **{split: len(used[split]) for split in SPLITS},
        **{f"{split}_whole": len(whole[split]) for split in SPLITS},
        "dropped": dropped,
        "valid_in_train": sum(key in known for key in keys["valid"]),
        "test_in_train": sum(key in known for key in keys["test"]),
        "train_duplicates": len(keys["train"]) - len(known),
    }
    return used, counts


def _check_kinds(splits: dict[str, list[Question]]) -> None:
    """Refuse splits of two kinds. Reading has already checked that each split is of one kind."""
    firsts = {split: splits[split][0] for split in SPLITS if splits[split]}
    if "train" not in firsts:
        return
    train = firsts["train"]
    for split, other in firsts.items():
        if other.free != train.free:
            raise ValueError(
                f"{split}: {other.id!r} {describe_kind(other.free)}, but train's {train.id!r} {describe_kind(train.free)}; "
                "allowed is one kind in a set"
            )
