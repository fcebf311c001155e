"""Starting a stage in several processes, and what keeps one from starting itself without end."""

from __future__ import annotations

import pytest

from tests.toys import toy_params
from tinyllm.training.distributed import launch


def test_one_process_starts_nothing() -> None:
    assert not launch(toy_params().runtime, "no.such.module", "1")


def test_what_torchrun_started_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert not launch(toy_params(runtime__processes=2).runtime, "no.such.module", "1")
