"""Load the question set that the params name: generated, released with the paper, the user's own, or from the hub."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tinyllm.casebook import world as casebook
from tinyllm.datasets import hub, release
from tinyllm.params.schema import RELEASED, Data, Take
from tinyllm.records.jsonl import read_jsonl
from tinyllm.records.questions import Question, describe_kind, drop_leaks, question_key, read_questions
from tinyllm.records.rationales import check_rationales

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class QuestionSet:
    """Questions by split, and by recorded teacher its rows of `id`, `rationale`, `status`; `terms` is the licence."""

    splits: dict[str, list[Question]]
    recorded: dict[str, list[dict]] = field(default_factory=dict)
    terms: str = ""


def load_set(data: Data) -> QuestionSet:
    """Return the whole set, every question checked.

    Raises:
        ValueError: a part of it is missing or faulty, or cannot be fetched; the message names file or key.
    """
    if data.dataset == "casebook":
        loaded = QuestionSet(casebook.make_splits(casebook.World(seed=data.seed, **data.casebook.model_dump())))
    elif data.dataset in RELEASED:
        released = release.load_release(data.dataset)
        loaded = QuestionSet(released.splits, released.rationales, release.TERMS[data.dataset])
    elif data.dataset == "hub":
        loaded = QuestionSet(hub.load_hub(data.hub))
    else:
        loaded = load_folder(Path(data.folder))
    _check_ids(loaded.splits)
    _check_kinds(loaded.splits)
    return loaded


def load_folder(folder: Path) -> QuestionSet:
    """Read train.jsonl, valid.jsonl, test.jsonl and, where they exist, rationales/TEACHER.jsonl.

    Raises:
        ValueError: the folder or one of the three files is missing, or a row is faulty.
    """
    if not folder.is_dir():
        raise ValueError(f"data.folder: {folder} is no folder; it must hold train.jsonl, valid.jsonl and test.jsonl")
    splits = {split: read_questions(folder / f"{split}.jsonl") for split in SPLITS}
    recorded = {}
    for path in sorted((folder / "rationales").glob("*.jsonl")):
        rows = [_recorded_row(row, f"{path}:{number}") for number, row in enumerate(read_jsonl(path), start=1)]
        recorded[path.stem] = check_rationales(rows, str(path))
    return QuestionSet(splits, recorded)


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
    train = drop_leaks(whole["train"], [*whole["valid"], *whole["test"]])
    dropped = len(whole["train"]) - len(train) if drop else 0
    kept = {**whole, "train": train if drop else whole["train"]}
    if not kept["train"]:
        raise ValueError("train: every question stands in valid or test too; nothing is left to learn from")
    used = {split: kept[split][: getattr(take, split)] for split in SPLITS}
    keys = {split: [question_key(question) for question in whole[split]] for split in SPLITS}
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


def _check_ids(splits: dict[str, list[Question]]) -> None:
    """Refuse an id that two splits have: rationales are looked up by id alone."""
    times = Counter(question.id for split in SPLITS for question in splits[split])
    for identifier, count in times.items():
        if count > 1:
            where = " and ".join(split for split in SPLITS if any(q.id == identifier for q in splits[split]))
            raise ValueError(f"id {identifier!r} stands in {where}; ids must differ between splits")


def _check_kinds(splits: dict[str, list[Question]]) -> None:
    """Refuse splits of two kinds. Reading has already checked that each split is of one kind."""
    train = splits["train"][0]
    for split in SPLITS[1:]:
        other = splits[split][0]
        if other.free != train.free:
            raise ValueError(
                f"{split}: {other.id!r} {describe_kind(other.free)}, but train's {train.id!r} {describe_kind(train.free)}; "
                "allowed is one kind in a set"
            )
