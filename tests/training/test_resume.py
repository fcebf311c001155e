"""The key of a training: equal where it would end with the same student, another one where it might not."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

import pytest

from tests.toys import toy_params
from tinyllm.training import resume
from tinyllm.training.resume import checkpoint_folder, delete_old, training_key


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


DAY = 86400


@pytest.mark.parametrize(
    ("clock", "ages", "left"),
    [
        (0, {"new": 0, "recent": 13, "old": 15}, ["new", "recent"]),
        (0, {"new": 0, "ahead": -400, "old": 15}, ["ahead", "new"]),  # written while the clock was wrong
        (400, {"new": 0, "recent": 13, "old": 15}, ["new", "recent"]),  # the clock has jumped ahead
        (-40000, {"new": 0, "recent": 13, "old": 15}, ["new", "old", "recent"]),  # before 1970
        (0, {"new": 0, "kept": 15}, ["kept", "new"]),  # the one that goes on now
    ],
)
def test_trainings_are_deleted_by_age_and_never_by_a_wrong_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: int, ages: dict[str, int], left: list[str]
) -> None:
    now = 1_800_000_000
    for name, age in ages.items():
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (now - age * DAY, now - age * DAY))
    monkeypatch.setattr("time.time", lambda: float(now + clock * DAY))
    delete_old(tmp_path, tmp_path / "kept")
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_the_folder_of_checkpoints_is_its_owners_alone(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir(mode=0o755)
    with checkpoint_folder(tmp_path, "a" * 64) as folder:
        assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "train", folder)] == [0o700, 0o700]
