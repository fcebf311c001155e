"""SVAMP, CommonsenseQA and their recorded teachers, from toy files in the layout of their repositories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.datasets.test_release import git_blob
from tinyllm.datasets import strong
from tinyllm.datasets.download import OTHERS, Asset, mirror, read_others
from tinyllm.datasets.load import load_public, recorded_teachers
from tinyllm.export.terms import data_terms, teacher_terms
from tinyllm.params.load import load_params
from tinyllm.params.teacher_entries import RECORDED, RecordedTeacher

ROOT = Path(__file__).resolve().parents[2]


class Toys:
    """A mirror of toy repositories that the manifest is pointed at."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.assets = folder, dict[tuple[str, str], Asset]()
        monkeypatch.setattr(strong, "read_others", lambda: self.assets)
        monkeypatch.setenv("TINYLLM_MIRROR", folder.as_uri())
        monkeypatch.setenv("TINYLLM_DATA_CACHE", str(folder.parent / "cache"))

    def add(self, source: str, path: str, rows: Any, lines: bool = False) -> None:
        text = "\n".join(map(json.dumps, rows)) if lines else json.dumps(rows)
        target = self.folder / OTHERS[source].folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        self.assets[source, path] = Asset(path, len(text.encode()), git_blob(text.encode()), "", OTHERS[source])


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toys:
    monkeypatch.setattr(strong, "FIRST_VALID", 1)
    monkeypatch.setattr(strong, "BLOCKS", 2)
    return Toys(tmp_path / "mirror", monkeypatch)


def test_svamp_is_cut_into_what_teachers_saw_and_a_test(toys: Toys) -> None:
    problems = [
        {"ID": f"chal-{number}", "Body": f"Robin has {number}  pens.", "Question": "How many?", "Answer": float(number)}
        for number in range(1, 6)
    ]
    toys.add("svamp", "SVAMP.json", problems)
    said = [
        {"instruction": f"Robin has {number} pens. How many?", "output": f"It is {number}. "} for number in (4, 1, 2)
    ]
    toys.add("eit", "data/SVAMP_ChatGPT_level1_ranked.json", said)
    toys.add("eit", "data/SVAMP_llama_level2_ranked.json", said[:2])
    loaded = load_public("svamp", ["llama3_70b_2", "endpoint"])
    splits = {split: [question.id for question in questions] for split, questions in loaded.splits.items()}
    assert sorted(splits["train"] + splits["valid"]) == ["chal-1", "chal-2", "chal-4"]
    assert (len(splits["valid"]), splits["test"]) == (1, ["chal-3", "chal-5"])
    assert [question.gold for question in loaded.splits["test"]] == ["3", "5"]
    rows = {row["id"]: row for row in loaded.recorded["llama3_70b_2"]}
    assert rows.keys() == {"chal-1", "chal-4"}
    assert rows["chal-4"] == {"id": "chal-4", "rationale": "It is 4.", "status": "ok"}
    assert loaded.recorded.keys() == {"llama3_70b_2"}
    assert loaded.terms == "SVAMP: MIT"
    assert loaded.notes[0].startswith("llama3_70b_2: Llama 3's licence")
    assert "gpt4o_1" in loaded.notes[-1]


def test_commonsenseqa_keeps_its_rationales_in_step_where_a_question_is_left_out(toys: Toys) -> None:
    choices = ["ice, cold", "oak", "fire"]
    questions = [
        {"id": f"q{number}", "question": f"What is {number}?", "choices": choices, "answer": "oak"}
        for number in range(20)
    ]
    questions[3]["choices"] = ["oak", "oak", "fire"]  # its answer stands twice
    toys.add("dss", "datasets/cqa/cqa_train.json", questions, lines=True)
    toys.add("dss", "datasets/cqa/cqa_test.json", [{**questions[0], "question": "And this?"}], lines=True)
    for part in range(2):
        toys.add(
            "rag",
            f"datasets/cqa/llama_rag/train_CoT_{part}.json",
            [f"Said of {number}." for number in range(10 * part, 10 * part + 10)],
        )
    eit = [
        {
            "instruction": f"Q: What is {number}? Answer choices: A: ice, cold, B: oak, C: fire",
            "output": f"Thought of {number}.",
        }
        for number in (7, 0)
    ]
    toys.add("eit", "data/csqa_gemini_level1_ranked.json", eit)
    loaded = load_public("csqa", ["llama3_8b", "gemini15_flash_1"])
    assert [(row.row, row.fault[:41]) for row in loaded.bad] == [(4, "the answer 'oak' stands among the choices")]
    assert {split: len(rows) for split, rows in loaded.splits.items()} == {"train": 18, "valid": 1, "test": 1}
    said = {row["id"]: row["rationale"] for row in loaded.recorded["llama3_8b"]}
    assert said == {f"train-q{number}": f"Said of {number}." for number in range(20) if number != 3}
    thought = {row["id"]: row["rationale"] for row in loaded.recorded["gemini15_flash_1"]}
    assert thought == {"train-q0": "Thought of 0.", "train-q7": "Thought of 7."}


def test_fewer_rationales_than_questions_are_refused(toys: Toys) -> None:
    toys.add(
        "dss",
        "datasets/cqa/cqa_train.json",
        [{"id": f"q{row}", "question": f"{row}?", "choices": ["a", "b"], "answer": "a"} for row in range(3)],
        lines=True,
    )
    toys.add(
        "dss",
        "datasets/cqa/cqa_test.json",
        [{"id": "t", "question": "t?", "choices": ["a", "b"], "answer": "a"}],
        lines=True,
    )
    for part in range(2):
        toys.add("dss", f"datasets/cqa/llm/train_CoT_{part}.json", ["Said."])
    with pytest.raises(ValueError, match=r"train_CoT_\{\}.json: 2 rationales, but 3 questions"):
        load_public("csqa", ["palm_540b"])


def test_every_recording_is_in_the_manifest() -> None:
    known = read_others()
    for recordings in strong.RECORDINGS.values():
        for recording in recordings.values():
            for number in range(strong.BLOCKS):
                assert (recording.source, recording.file.format(number)) in known
    assert all(asset.git_blob and (asset.sha256 or asset.size is None) for asset in known.values())


def test_a_mirror_has_each_repository_in_a_folder_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYLLM_MIRROR", raising=False)
    eit = OTHERS["eit"]
    assert mirror(eit) == f"https://raw.githubusercontent.com/EIT-NLP/Distilling-CoT-Reasoning/{eit.commit}"
    monkeypatch.setenv("TINYLLM_MIRROR", "https://mirror.example/copies/")
    assert (mirror(eit), mirror()) == (
        "https://mirror.example/copies/EIT-NLP/Distilling-CoT-Reasoning",
        "https://mirror.example/copies",
    )


def test_the_registry_says_of_each_recorded_teacher_whether_it_was_shown_the_answer() -> None:
    teachers = load_params(ROOT / "params.yaml").teachers
    for dataset, recordings in strong.RECORDINGS.items():
        for name, recording in recordings.items():
            entry = teachers.get(name)
            assert entry is None or (isinstance(entry, RecordedTeacher) and entry.forced is recording.forced), (
                dataset,
                name,
            )
    for dataset, names in RECORDED.items():
        assert set(recorded_teachers(dataset)) == set(names), dataset


def test_a_model_card_has_the_terms_of_a_strong_teacher() -> None:
    params = load_params(ROOT / "params.yaml")
    data = params.data.model_copy(update={"dataset": "svamp"})
    is_what, terms = teacher_terms("gpt4o_1", params.model_copy(update={"data": data}))
    assert "EIT-NLP/Distilling-CoT-Reasoning" in is_what and terms.startswith("OpenAI's terms")
    assert data_terms("csqa") == "CommonsenseQA: MIT"
