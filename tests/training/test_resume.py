"""The key of a training: equal where it would end with the same student, another one where it might not."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from tests.toys import toy_params
from tinyllm.training import resume
from tinyllm.training.resume import training_key


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the program, whose files make the key."""
    copy = tmp_path / "tinyllm"
    shutil.copytree(resume.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(resume, "PACKAGE", copy)
    return copy


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_bytes(b"{}\n" * 400_000)  # more than is read at once
    return path


def key(corpus: Path) -> str:
    return training_key(toy_params(), 1, [str(corpus)])


@pytest.mark.parametrize(
    ("module", "kept"),
    [
        ("report/page.py", True),
        ("corpus/audit.py", True),
        ("teachers/prompts.py", True),
        ("console.py", True),
        ("student/encoding.py", False),
        ("training/loss.py", False),
        ("models/loaded.py", False),
        ("records/questions.py", False),
    ],
)
def test_an_edit_changes_the_key_where_training_reaches_the_module(
    package: Path, corpus: Path, module: str, kept: bool
) -> None:
    before = key(corpus)
    assert (package / module).is_file()
    with (package / module).open("a", encoding="utf-8") as file:
        file.write("# another line\n")
    assert (key(corpus) == before) is kept


def test_a_module_that_is_added_to_a_room_of_training_changes_the_key(package: Path, corpus: Path) -> None:
    before = key(corpus)
    (package / "student" / "other.py").write_text("", encoding="utf-8")
    assert key(corpus) != before


def test_an_edit_of_the_data_changes_the_key(package: Path, corpus: Path) -> None:
    before = key(corpus)
    with corpus.open("ab") as file:
        file.write(b"{}\n")
    assert key(corpus) != before


def test_a_file_is_hashed_as_if_it_were_read_at_once(corpus: Path) -> None:
    assert resume._content(corpus) == hashlib.sha256(corpus.read_bytes()).digest()


def test_data_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train\.jsonl: no such file$"):
        key(tmp_path / "train.jsonl")
