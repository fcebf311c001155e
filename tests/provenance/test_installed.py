"""The digest of the installed code, and what stands in a project's tinyllm.version."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tinyllm.provenance.installed import (
    PACKAGE,
    code_digest,
    package_version,
    template_files,
    version_fault,
    version_text,
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return shutil.copytree(PACKAGE, tmp_path / "tinyllm", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("training/loss.py", False),
        ("teachers/server/client.py", False),
        ("datasets/sources.tsv", False),
        ("report/report.css", False),
        ("cli/ask.py", True),
        ("params/schema.py", True),
        ("console.py", True),
        ("scaffold/pipeline.py", True),
    ],
)
def test_the_digest_is_of_what_can_change_a_result(package: Path, name: str, same: bool) -> None:
    assert code_digest(package) == code_digest()
    with (package / name).open("ab") as file:
        file.write(b"\n")
    assert (code_digest(package) == code_digest()) is same


def test_a_file_that_is_renamed_changes_the_digest_and_bytecode_does_not(package: Path) -> None:
    (package / "training/__pycache__").mkdir()
    (package / "training/__pycache__/loss.cpython-311.pyc").write_bytes(b"x")
    assert code_digest(package) == code_digest()
    (package / "training/loss.py").rename(package / "training/losses.py")
    assert code_digest(package) != code_digest()


def test_a_projects_version_is_compared_by_its_code(tmp_path: Path) -> None:
    assert version_fault(tmp_path) == "", "a clone has no such file"
    file = tmp_path / "tinyllm.version"
    file.write_text(version_text(), encoding="utf-8")
    assert version_fault(tmp_path) == ""
    file.write_text(version_text().replace(f"tinyllm-dvc {package_version()}", "tinyllm-dvc 9.9"), encoding="utf-8")
    assert version_fault(tmp_path) == "", "another number for the same code makes no stage run again"
    file.write_text("tinyllm-dvc 9.9\ncode 0123456789abcdef\n", encoding="utf-8")
    assert version_fault(tmp_path).startswith(
        f"{file}: the project is of tinyllm-dvc 9.9, and the code that is installed ("
    )
    file.write_text("", encoding="utf-8")
    assert version_fault(tmp_path).startswith(f"{file}: the project is of tinyllm-dvc an unknown version, and")


def test_a_package_without_a_projects_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.gitignore: no such file; install the package anew"):
        template_files(tmp_path)
