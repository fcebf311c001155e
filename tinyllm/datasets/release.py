"""The six question sets of the TinyLLM authors' release, with the rationales of their two teachers.

Source: github YikunHan42/TinyLLM at 9f5bebe, `datasets/{name}/{name}_{split}.json` for the questions and
`datasets/{name}/llm/{split}_CoT_{i}.json` for the rationales. The rationales of the test questions are never fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyllm.console import progress
from tinyllm.datasets.download import fetch, read_manifest
from tinyllm.datasets.rows import BadRow, sift, split_context
from tinyllm.params.teacher_entries import RELEASED
from tinyllm.records.jsonl import read_json_list, read_jsonl
from tinyllm.records.questions import Question, collapse_whitespace, option_letter
from tinyllm.records.reading import read_text

SPLITS = ("train", "valid", "test")
TEACHERS = ("flan_t5_xl", "llama2_chat_7b")
TERMS = {
    "obqa": "OpenBookQA: Apache-2.0",
    "arc": "ARC-Challenge: CC BY-SA 4.0; what is built on it keeps the licence and names its makers",
    "piqa": "PIQA: AFL-3.0",
    "riddle": "RiddleSense: its licence is unclear; ask its makers before passing it on",
    "pubmedqa": "PubMedQA: MIT",
    "bioasq": "BioASQ: its licence is unclear; its makers ask users to register at bioasq.org first",
}
LLAMA_NOTE = "llama2_chat_7b: Llama 2's licence forbids using its outputs to improve any other large language model"
JOINED = ("pubmedqa", "bioasq")  # here the release's one string holds the context and then the question

TRIGGER = "Let's think step by step."
# What may follow the options; a trigger comes first in ARC's test strings (of the sets at hand): the prompt's own end.
_SPACED_TRIGGER = r"\s*".join(map(re.escape, TRIGGER.split()))
REST = re.compile(rf"(\s*A:\s*{_SPACED_TRIGGER})?(\s*llama\s*rationale:(?P<llama>.*)|\s*)", re.DOTALL)
UNPARSABLE = 0.05  # of the rows of a file; more are told


@dataclass(frozen=True)
class Release:
    """A question set by split, and by teacher the rows `id, rationale, status` of train and then valid, in their order.

    A row's `rationale` is a text where `status` is "ok", and None otherwise. The other statuses are "missing" (the string has
    no part of this teacher), "nan", "empty", "trigger_only" and "unparsable" (the string does not fit its question).
    """

    splits: dict[str, list[Question]]
    rationales: dict[str, list[dict]]
    bad: list[BadRow]
    notes: list[str]


def load_release(name: str) -> Release:
    """Fetch and read one question set.

    Raises:
        ValueError: there is no such set, a file cannot be fetched or read, or there are not as many strings as questions.
    """
    if name not in RELEASED:
        raise ValueError(f"question set {name!r} is not in the release; allowed are {', '.join(RELEASED)}")
    splits: dict[str, list[Question]] = {}
    rationales: dict[str, list[dict]] = {teacher: [] for teacher in TEACHERS}
    bad: list[BadRow] = []
    notes: list[str] = []
    for split in SPLITS:
        rows, refused = sift_questions(name, split)
        splits[split] = [question for question in rows if question]
        bad += refused
        if split == "test":
            continue
        parsed = load_rationales(name, split, rows)
        for row in parsed:
            for teacher, said in row.items():
                rationales[teacher].append(said)
        notes += _unparsable(name, split, parsed)
    return Release(splits, rationales, bad, notes)


def load_questions(name: str, split: str) -> list[Question]:
    """Return the questions of one split; the few rows that are none are left out."""
    return [question for question in sift_questions(name, split)[0] if question]


def sift_questions(name: str, split: str) -> tuple[list[Question | None], list[BadRow]]:
    """Return the question of every row of a split, None for a row that is none, and those rows.

    Ids start with the split's name, since PIQA numbers each split anew.
    """
    (path,) = _fetch_all([f"datasets/{name}/{name}_{split}.json"])
    rows = _read_rows(path)
    for row in rows:
        row["id"] = f"{split}-{row['id']}"
        if name in JOINED:
            row["context"], row["question"] = split_context(row["question"])
    questions, bad = sift(enumerate(rows, start=1), str(path))
    return [questions.get(number) for number in range(1, len(rows) + 1)], bad


def _unparsable(name: str, split: str, rows: list[dict[str, dict]]) -> list[str]:
    """Return what is to be told of a file in which more than one row in twenty does not fit its question."""
    places = [place for place, row in enumerate(rows) if row[TEACHERS[0]]["status"] == "unparsable"]
    if len(places) <= UNPARSABLE * len(rows):
        return []
    first = rows[places[0]][TEACHERS[0]]["id"]
    files = f"datasets/{name}/llm/{split}_CoT_*.json"
    return [f"{files}: {len(places)} of {len(rows)} rows do not fit their questions, the first that of {first}"]


def load_rationales(name: str, split: str, questions: Sequence[Question | None]) -> list[dict[str, dict]]:
    """Return for every question the row of each teacher (see `Release`); the string of a row that is no question goes.

    Raises:
        ValueError: there are not as many strings as questions.
    """
    pattern = re.compile(rf"datasets/{name}/llm/{split}_CoT_(\d+)\.json")
    matches = [match for path in read_manifest() if (match := pattern.fullmatch(path))]
    names = [match[0] for match in sorted(matches, key=lambda match: int(match[1]))]  # by number: 9 stands before 10
    texts = [text for path in _fetch_all(names) for text in read_json_list(path)]
    if len(texts) != len(questions):
        raise ValueError(
            f"datasets/{name}/llm/{split}_CoT_*.json: {len(texts)} strings in {len(names)} files, but {len(questions)}"
            f" questions in {name}_{split}.json; they are aligned by position, so both must come from the same release"
        )
    return [parse_rationales(text, question) for text, question in zip(texts, questions, strict=True) if question]


def parse_rationales(text: object, question: Question) -> dict[str, dict]:
    """Take one string of the release apart into the row of each teacher.

    The string is `{T5 rationale} Thus, the answer is ({letter}) {gold}`, an empty line, and question and options as in a
    prompt. All sets but PIQA add ` llama rationale: {LLaMA rationale}`.

    Any of these marks may stand in a rationale, and some in a question, so nothing is split on a mark. Instead the stretch
    from "Thus" to the last option is built from the question. It must stand in the string word for word; only white space may
    differ. So a string of another question never passes.

    The authors put the sentence with the gold answer right before the question: there it is dropped. Anywhere else it is the
    teacher's and stays. A leading trigger stays too: cleaning is a later step.
    """
    parts = _take_apart(text, question) if isinstance(text, str) else None
    if parts is None:
        return {teacher: {"id": question.id, "rationale": None, "status": "unparsable"} for teacher in TEACHERS}
    return {teacher: {"id": question.id, **_judge(part)} for teacher, part in zip(TEACHERS, parts, strict=True)}


def _take_apart(text: str, question: Question) -> tuple[str, str | None] | None:
    """Return the text before and after the words built from the question; None where these are not in it.

    White space is left out of the comparison altogether: some strings lack it around a mark.
    """
    gold = f"Thus, the answer is {question.gold_letter} {question.gold}"
    asked = f"Q: {question.context} {question.question} Answer Choices:"
    options = [f"{option_letter(index)} {choice}" for index, choice in enumerate(question.choices)]
    known = "".join("".join([gold, asked, *options]).split())
    places = [place for place, char in enumerate(text) if not char.isspace()]
    dense = "".join(text.split())
    start = dense.find(known)
    while start >= 0:
        rest = REST.fullmatch(text, places[start + len(known) - 1] + 1)
        if rest:
            return text[: places[start]], rest["llama"]
        start = dense.find(known, start + 1)
    return None


def _judge(part: str | None) -> dict[str, str | None]:
    """Return rationale and status of one teacher's part; None is a missing part."""
    if part is None:
        return {"rationale": None, "status": "missing"}
    text = part.strip()
    if not text:
        return {"rationale": None, "status": "empty"}
    if text == "nan":
        return {"rationale": None, "status": "nan"}
    if TRIGGER.startswith(collapse_whitespace(text)):  # the whole trigger or a part of it, such as "Let's"
        return {"rationale": None, "status": "trigger_only"}
    return {"rationale": text, "status": "ok"}


def _fetch_all(paths: Iterable[str]) -> list[Path]:
    manifest = read_manifest()
    assets = [manifest[path] for path in paths]
    copies = []
    with progress("download", "files", len(assets)) as done:
        for asset in assets:
            copies.append(fetch(asset))
            done(1)
    return copies


def _read_rows(path: Path) -> list[dict]:
    """Return the objects of a JSON array, or of JSON lines, as OBQA has them."""
    return read_json_list(path) if read_text(path).lstrip().startswith("[") else read_jsonl(path)
