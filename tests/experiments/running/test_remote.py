"""What a sweep sends to a cluster with its experiments: the answers of teachers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tinyllm.experiments.running.remote import _cache, _exported


def test_without_any_answer_what_is_sent_is_empty_and_a_node_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYLLM_CACHE", str(tmp_path / "here"))
    sent = _exported()
    assert sent == b"\n"
    monkeypatch.setenv("TINYLLM_CACHE", str(tmp_path / "node"))
    Path("answers.jsonl").write_bytes(sent)
    _cache("import", Path("answers.jsonl"))
    _cache("export", Path("back.jsonl"))
    assert Path("back.jsonl").read_bytes() == b""
