"""What the tests of experiments share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dvc_project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return Project(tmp_path)
