"""Recorded teachers of other public repositories, and the two sets that come with them: SVAMP and CommonsenseQA.

Sources, each pinned in download.py:
    EIT-NLP/Distilling-CoT-Reasoning (arXiv 2502.18001): GPT-4o, Gemini-1.5-Flash and LLaMA-3-70B, in six levels of detail.
        Its rows match a question by its text, not by position.
    google-research/distilling-step-by-step (arXiv 2305.02301): CommonsenseQA with PaLM-540B, by position.
    cnalty/distilling-step-by-step-rag: a rerun of it with Llama-3-8B, by position.
    arkilpatel/SVAMP (arXiv 2103.07191): the 1,000 problems; 700 of them are EIT's train.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tinyllm.console import progress
from tinyllm.datasets.download import fetch, read_others
from tinyllm.datasets.rows import BadRow, sift
from tinyllm.records.exact_match import normal_answer
from tinyllm.records.jsonl import read_json_list, read_jsonl
from tinyllm.records.questions import Question, collapse_whitespace, normalise

FIRST_VALID = 100  # questions of SVAMP's 700 that are valid: those whose ids have the lowest hashes
VALID_SHARE = 10  # CommonsenseQA: a tenth of train is valid
BLOCKS = 10  # files of one teacher's rationales by position

TERMS = {
    "svamp": "SVAMP: MIT",
    "csqa": "CommonsenseQA: MIT",
}
GPT4O = "OpenAI's terms: its outputs may not be used to build models that compete with OpenAI"
GEMINI = "Google's terms: Gemini's outputs may not be used to build models that compete with it"
LLAMA3 = "Llama 3's licence: a model that is trained on its outputs has to have Llama 3 in its name"
PALM = "released by Google Research with its code (Apache-2.0)"


@dataclass(frozen=True)
class Recording:
    """One teacher's rationales of one set.

    Args:
        source: the repository's short name, see download.py
        file: its path there; with `{}` for a number, the parts of a list that is aligned by position
        forced: whether the teacher was shown the gold answer, or only rationales that reach it were kept
    """

    source: str
    file: str
    forced: bool
    terms: str


def _levels(file: str, most: int, terms: str) -> dict[int, Recording]:
    return {level: Recording("eit", f"data/{file.format(level)}", True, terms) for level in range(1, most + 1)}


def _eit(gpt: str, gemini: str, llama: str, most_of_llama: int = 6) -> dict[str, Recording]:
    families = {
        "gpt4o": _levels(gpt, 6, GPT4O),
        "gemini15_flash": _levels(gemini, 6, GEMINI),
        "llama3_70b": _levels(llama, most_of_llama, LLAMA3),
    }
    return {f"{name}_{level}": file for name, files in families.items() for level, file in files.items()}


RECORDINGS: Mapping[str, Mapping[str, Recording]] = {
    "svamp": _eit(
        "SVAMP_ChatGPT_level{}_ranked.json", "SVAMP_gemini_level{}_ranked.json", "SVAMP_llama_level{}_ranked.json", 4
    ),
    "obqa": {
        **_eit(
            "openbookQA_chatgpt_level_{}_ranked.json",
            "obqa_gemini_level{}_ranked.json",
            "obqa_llama_level{}_ranked.json",
        ),
        "gpt4o_unforced": Recording("eit", "data/openbookQA_ChatGPT_0_shot_without_gt_ranked.json", False, GPT4O),
    },
    "csqa": {
        **_eit(
            "commonsenseQA_chatgpt_level_{}_ranked.json",
            "csqa_gemini_level{}_ranked.json",
            "csqa_llama_level{}_ranked.json",
        ),
        "palm_540b": Recording("dss", "datasets/cqa/llm/train_CoT_{}.json", False, PALM),
        "llama3_8b": Recording("rag", "datasets/cqa/llama_rag/train_CoT_{}.json", False, LLAMA3),
    },
}


@dataclass(frozen=True)
class StrongSet:
    """A set by split, the rows that are no question, and by its number in the source's train file each question there."""

    splits: dict[str, list[Question]]
    bad: list[BadRow]
    by_position: dict[int, Question]


def load_svamp() -> StrongSet:
    """Fetch SVAMP: EIT's 700 problems are train and valid, the other 300 are test.

    Raises:
        ValueError: a file cannot be fetched or read.
    """
    path = _fetch("svamp", "SVAMP.json")
    rows = [_svamp_row(row) for row in read_json_list(path)]
    questions, bad = sift(enumerate(rows, start=1), str(path))
    chosen = {
        collapse_whitespace(row["instruction"])
        for row in _eit_rows(_fetch("eit", "data/SVAMP_ChatGPT_level1_ranked.json"))
    }
    train = [question for question in questions.values() if question.question in chosen]
    test = [question for question in questions.values() if question.question not in chosen]
    valid = {question.id for question in sorted(train, key=_hash)[:FIRST_VALID]}
    return StrongSet(_split(train, valid, test), bad, {})


def load_csqa() -> StrongSet:
    """Fetch CommonsenseQA: a tenth of train is valid; the official validation split is test, whose labels are public.

    Raises:
        ValueError: a file cannot be fetched or read.
    """
    paths = {split: _fetch("dss", f"datasets/cqa/cqa_{split}.json") for split in ("train", "test")}
    parts = {
        split: sift(enumerate(map(_csqa_row, read_jsonl(path)), start=1), str(path)) for split, path in paths.items()
    }
    named = {
        split: {number: replace(question, id=f"{split}-{question.id}") for number, question in questions.items()}
        for split, (questions, _) in parts.items()
    }
    train = list(named["train"].values())
    valid = {question.id for question in sorted(train, key=_hash)[: len(train) // VALID_SHARE]}
    bad = [row for _, refused in parts.values() for row in refused]
    return StrongSet(_split(train, valid, list(named["test"].values())), bad, named["train"])


def load_recording(
    dataset: str, teacher: str, splits: Mapping[str, Sequence[Question]], by_position: Mapping[int, Question]
) -> list[dict]:
    """Return the rows `id, rationale, status` of a recorded teacher, of train and valid; a question without one has none.

    Raises:
        ValueError: a file cannot be fetched or read, or there are fewer rationales than questions by position.
    """
    recording = RECORDINGS[dataset][teacher]
    asked = [*splits["train"], *splits["valid"]]
    texts = _by_position(recording, by_position) if "{}" in recording.file else _by_text(recording, asked)
    return [_row(question.id, texts[question.id]) for question in asked if question.id in texts]


def _by_position(recording: Recording, by_position: Mapping[int, Question]) -> dict[str, object]:
    texts: list[object] = []
    with progress("download", "files", BLOCKS) as done:
        for number in range(BLOCKS):
            texts += read_json_list(_fetch(recording.source, recording.file.format(number)))
            done(1)
    if len(texts) < max(by_position):
        raise ValueError(
            f"{recording.file}: {len(texts)} rationales, but {max(by_position)} questions; both must be of one release"
        )
    return {question.id: texts[number - 1] for number, question in by_position.items()}


def _by_text(recording: Recording, asked: Sequence[Question]) -> dict[str, object]:
    path = _fetch(recording.source, recording.file)
    known = {_key_of_row(row["instruction"]): row["output"] for row in _eit_rows(path)}
    keys = {question.id: _key(question.question, question.choices) for question in asked}
    return {id_: known[key] for id_, key in keys.items() if key in known}


def _eit_rows(path: Path) -> Iterator[dict[str, str]]:
    for number, row in enumerate(read_json_list(path), start=1):
        if not isinstance(row, dict) or not isinstance(row.get("instruction"), str):
            raise ValueError(f"{path}:{number}: no field 'instruction'; allowed is a row with instruction and output")
        yield row


def _key_of_row(instruction: str) -> str:
    """Return the key of a question as EIT writes it: `Q: ... Answer choices: A: ..., B: ...`, or the bare text.

    Commas are in options, too, so the options are cut at `, B: ` and so on.
    """
    match = re.fullmatch(r"\s*Q: (?P<question>.*) Answer choices: A: (?P<options>.*)", instruction, re.DOTALL)
    if not match:
        return _key(instruction, ())
    options, rest = [], match["options"]
    for letter in "BCDEFGH":
        option, cut, behind = rest.partition(f", {letter}: ")
        if not cut:
            break
        options.append(option)
        rest = behind
    return _key(match["question"], [*options, rest])


def _key(question: str, choices: Sequence[str]) -> str:
    return "\n".join([normalise(question), *map(normalise, choices)])


def _row(id_: str, text: object) -> dict:
    said = text.strip() if isinstance(text, str) else ""
    return {"id": id_, "rationale": said or None, "status": "ok" if said else "empty"}


def _svamp_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a problem as a free-text question; its number is written as it is compared: 51.0 is 51."""
    answer = row.get("Answer")
    number = normal_answer(str(answer)) if isinstance(answer, (int, float)) else answer
    return {"id": row.get("ID"), "question": f"{row.get('Body', '')} {row.get('Question', '')}", "answer": number}


def _csqa_row(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in ("id", "question", "choices", "answer")}


def _split(train: Sequence[Question], valid: set[str], test: list[Question]) -> dict[str, list[Question]]:
    return {
        "train": [question for question in train if question.id not in valid],
        "valid": [question for question in train if question.id in valid],
        "test": test,
    }


def _hash(question: Question) -> str:
    return hashlib.sha256(question.id.encode()).hexdigest()


def _fetch(source: str, path: str) -> Path:
    return fetch(read_others()[source, path])
