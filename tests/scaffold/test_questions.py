"""One file of questions becomes three: every row in one of them, as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinyllm.scaffold.questions import bring_questions

ROOT = Path(__file__).resolve().parents[2]


def rows(count: int, texts: int | None = None) -> list[dict]:
    """Questions, of which only so many texts differ."""
    return [
        {"id": f"q{i}", "question": f"What is {i % (texts or count)} and 1?", "choices": ["a", f"b{i}"], "answer": 0}
        for i in range(count)
    ]


def write(path: Path, questions: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in questions), encoding="utf-8")
    return path


def lines(folder: Path) -> dict[str, list[str]]:
    return {split: (folder / f"{split}.jsonl").read_text("utf-8").splitlines() for split in ("train", "valid", "test")}


def test_every_row_goes_to_one_split_as_it_was(tmp_path: Path) -> None:
    source = write(tmp_path / "all.jsonl", rows(50))
    loaded = bring_questions(source, tmp_path / "to", seed=1)
    splits = lines(tmp_path / "to")
    assert {split: len(found) for split, found in splits.items()} == {"train": 35, "valid": 5, "test": 10}
    own = source.read_text("utf-8").splitlines()
    assert sorted(sum(splits.values(), [])) == sorted(own)
    for found in splits.values():
        assert found == sorted(found, key=own.index), "the rows keep their order"
    assert {split: len(found) for split, found in loaded.splits.items()} == {"train": 35, "valid": 5, "test": 10}


def test_the_seed_alone_decides(tmp_path: Path) -> None:
    source = write(tmp_path / "all.jsonl", rows(50))
    found = []
    for number, seed in enumerate((1, 1, 2)):
        bring_questions(source, tmp_path / str(number), seed)
        found.append(lines(tmp_path / str(number)))
    assert found[0] == found[1] != found[2]


def test_a_question_that_is_there_twice_stays_in_one_split(tmp_path: Path) -> None:
    bring_questions(write(tmp_path / "all.jsonl", rows(60, texts=20)), tmp_path / "to", seed=3)
    texts = {split: {json.loads(row)["question"] for row in found} for split, found in lines(tmp_path / "to").items()}
    assert all(texts.values()) and sum(map(len, texts.values())) == 20


def test_all_bad_rows_are_told_and_nothing_is_made(tmp_path: Path) -> None:
    bad = [{"id": "q1", "question": "Why?", "choices": ["a", "b"], "answer": 4}] * 14
    source = write(tmp_path / "all.jsonl", rows(20) + bad)
    with pytest.raises(ValueError) as error:
        bring_questions(source, tmp_path / "to", seed=1)
    told = str(error.value).splitlines()
    assert told[:-1] == [f"{source}:{number}: answer 4, but 2 choices (0-1)" for number in range(21, 35)]
    assert told[-1] == "14 bad rows; mend them and run it again; nothing was made"
    assert not (tmp_path / "to").exists()


def test_a_folders_bad_rows_are_told_by_their_own_files(tmp_path: Path) -> None:
    for split in ("train", "valid", "test"):
        write(tmp_path / f"own/{split}.jsonl", [row | {"id": f"{split}{row['id']}"} for row in rows(3)])
    write(tmp_path / "own/test.jsonl", [{"id": "x", "question": "Why?"}, *rows(1)])
    with pytest.raises(ValueError, match=rf"^{tmp_path}/own/test.jsonl:1: "):
        bring_questions(tmp_path / "own", tmp_path / "to", seed=1)


def test_too_few_questions_to_split_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "all.jsonl", rows(9))
    with pytest.raises(ValueError, match=r"all\.jsonl: 9 questions that differ; one file is split from 10 on; "):
        bring_questions(source, tmp_path / "to", seed=1)


def test_rationales_beside_the_questions_and_in_their_rows_come_along(tmp_path: Path) -> None:
    questions = [row | {"rationales": {"ann": "It is a, since a comes first."}} for row in rows(20)]
    write(tmp_path / "rationales/bob.jsonl", [{"id": f"q{i}", "rationale": "Because of a."} for i in range(20)])
    loaded = bring_questions(write(tmp_path / "all.jsonl", questions), tmp_path / "to", seed=1)
    assert {name: len(found) for name, found in loaded.recorded.items()} == {"ann": 16, "bob": 20}


def test_a_folder_is_copied_byte_by_byte(tmp_path: Path) -> None:
    own = ROOT / "examples/own"
    loaded = bring_questions(own, tmp_path / "to", seed=1)
    made = sorted(path.relative_to(tmp_path / "to") for path in (tmp_path / "to").rglob("*.jsonl"))
    assert made == sorted(path.relative_to(own) for path in own.rglob("*.jsonl"))
    assert all((tmp_path / "to" / name).read_bytes() == (own / name).read_bytes() for name in made)
    assert list(loaded.recorded) == ["careful", "concise"]
